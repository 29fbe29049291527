"""Encoded audio: the same samples from a path, bytes and a file object, one sentence for everything else."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.decode import MAX_BLOCK_SAMPLES, Decoder
from engine.errors import AudioError

RATE = 8000
SUBTYPES = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]


def noise(n_samples, channels=1):
    return (np.random.default_rng(5).uniform(-1, 1, (n_samples, channels))).astype(np.float32)


def encoded(samples, container="WAV", subtype="PCM_16", rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def drained(source):
    decoder = Decoder(source)
    blocks = []
    while len(block := decoder.read()):
        blocks.append(block)
    decoder.close()
    return np.concatenate([*blocks, np.empty((0, decoder.channels), np.float32)])


def refusal(source):
    with pytest.raises(AudioError) as caught:
        drained(source)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("container", "subtype"), SUBTYPES)
def test_every_kind_of_source_gives_the_samples_that_soundfile_reads_at_once(tmp_path, container, subtype, channels):
    data = encoded(noise(3000, channels), container, subtype)
    path = tmp_path / "clip"
    path.write_bytes(data)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        oracle = file.read(dtype="float32", always_2d=True)
    files = (io.BytesIO(data), io.BufferedReader(io.BytesIO(data)))
    for source in (path, str(path), data, bytearray(data), memoryview(data), *files):
        np.testing.assert_array_equal(drained(source), oracle)


def test_16_bit_wav_keeps_every_one_of_the_65536_values():
    values = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(drained(encoded(values))[:, 0], values / 32768)


def test_mp3_does_not_depend_on_where_blocks_end(monkeypatch):
    data = encoded(noise(40_000), "MP3", "MPEG_LAYER_III")
    whole = drained(data)
    monkeypatch.setattr("engine.decode.MAX_BLOCK_SAMPLES", 997)
    np.testing.assert_array_equal(drained(data), whole)


def test_one_read_is_bounded_for_any_number_of_channels():
    for channels in (1, 2, 255):
        decoder = Decoder(encoded(np.zeros((MAX_BLOCK_SAMPLES // channels + 10, channels), np.int16)))
        first = decoder.read()
        assert first.size <= MAX_BLOCK_SAMPLES
        assert len(first) == MAX_BLOCK_SAMPLES // channels
        assert len(decoder.read()) == 10
        assert len(decoder.read()) == 0


def test_bytes_after_the_last_flac_frame_are_not_audio():
    data = encoded(noise(3000), "FLAC")
    np.testing.assert_array_equal(drained(data + b"TAG" + bytes(125)), drained(data))


def test_an_id3_tag_in_front_takes_no_samples_from_the_end(tmp_path):
    data = encoded(noise(3000))
    tagged = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256) + data
    path = tmp_path / "tagged.wav"
    path.write_bytes(tagged)
    for source in (path, tagged, io.BytesIO(tagged)):
        np.testing.assert_array_equal(drained(source), drained(data))


def test_names_and_rates():
    decoder = Decoder(encoded(noise(10, 2), rate=12345))
    assert (decoder.name, decoder.sample_rate, decoder.channels) == (None, 12345, 2)


@pytest.mark.parametrize("name", ["new\nline.wav", "naïve 名前 🐦.wav", "-dash.wav", "[1-2]*?.wav", "no suffix"])
def test_any_name_that_the_file_system_takes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(noise(10)))
    assert len(drained(path)) == 10
    assert Decoder(path).name == str(path)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_unicode(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    try:
        path.write_bytes(encoded(noise(10)))
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    assert len(drained(path)) == 10
    assert Decoder(path).name == str(path)
    path.write_bytes(b"not audio")
    assert r"caf\udce9.wav" in refusal(path)


def test_paths_that_hold_no_audio(tmp_path):
    def wrote(name, data):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    assert "does not exist" in refusal(tmp_path / "missing.wav")
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be opened" in refusal("nul\0.wav")
    assert "cannot be opened" in refusal("x" * 5000)
    assert "empty (0 bytes)" in refusal(wrote("empty.wav", b""))
    assert "no format that libsndfile knows" in refusal(wrote("page.mp3", b"<html>404</html>" * 99))
    assert "without a header" in refusal(wrote("samples.raw", bytes(100)))
    assert "missing.wav" in refusal(tmp_path / "missing.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_named_pipe_is_refused_without_waiting_for_its_other_end(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert "pipe or a device" in refusal(tmp_path / "pipe.wav")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded(noise(10)))

    def denied(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # the user who runs this may be root, who may read everything
    assert "may not be read" in refusal(path)


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\x00\x00\x00\x20ftypM4A ", "MP4/M4A"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (b"\x30\x26\xb2\x75\x8e\x66", "Windows Media"),
        (b"\xff\xf1\x50\x80", "AAC"),
    ],
)
def test_containers_that_libsndfile_cannot_read_are_named(tmp_path, head, container):
    path = tmp_path / "clip"
    path.write_bytes(head + bytes(1000))
    for source in (path, path.read_bytes()):
        message = refusal(source)
        assert container in message
        assert "convert it to WAV or FLAC" in message


def test_damage_inside_a_file_is_an_error_with_its_place():
    data = bytearray(encoded(noise(MAX_BLOCK_SAMPLES * 2), "FLAC"))
    cut = bytes(data[: len(data) * 3 // 4])
    message = refusal(cut)
    assert f"damaged between {MAX_BLOCK_SAMPLES / RATE:.3f} s and {2 * MAX_BLOCK_SAMPLES / RATE:.3f} s" in message
    assert "libsndfile reports" in message


def test_a_wav_file_cut_short_gives_what_is_there():
    data = encoded(noise(3000))
    np.testing.assert_array_equal(drained(data[:-1000]), drained(data)[:-500])


def wav_header(channels=1, rate=RATE, frames=0xFFFFFFFF // 2):
    size = min(frames * channels * 2, 0xFFFFFFF0)
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)


def test_a_header_that_lies_about_the_length_costs_nothing():
    samples = drained(wav_header(channels=255) + bytes(255 * 2 * 10))
    assert samples.shape == (10, 255)


class Failing(io.BytesIO):
    """A file object whose reads raise ``error`` once ``good_reads`` of them have passed."""

    def __init__(self, data, error, good_reads=10**9):
        super().__init__(data)
        self.error = error
        self.good_reads = good_reads

    def read(self, count=-1):
        self.good_reads -= 1
        if self.good_reads < 0:
            raise self.error
        return super().read(count)


@pytest.mark.parametrize(("container", "subtype"), SUBTYPES)
def test_errors_of_a_file_object_come_out_of_the_c_library(container, subtype):
    data = encoded(noise(9000), container, subtype)
    probe = Failing(data, None)
    decoder = Decoder(probe)
    reads_to_open = 10**9 - probe.good_reads
    while len(decoder.read()):
        pass
    reads_to_end = 10**9 - probe.good_reads
    for good_reads in range(reads_to_end):
        assert "disc is gone" in refusal(Failing(data, OSError("disc is gone"), good_reads))
    for good_reads in (reads_to_open - 1, reads_to_end - 1):
        with pytest.raises(KeyboardInterrupt):
            drained(Failing(data, KeyboardInterrupt(), good_reads))
    with pytest.raises(AudioError, match="disc is gone"):
        Decoder(Failing(data, OSError("disc is gone"), reads_to_open - 1))

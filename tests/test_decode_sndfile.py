"""Formats of libsndfile: the samples that it reads at once, in blocks, from any source; damage and its place."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile

from engine.decode import open_decoder
from engine.decode_sndfile import MAX_BLOCK_SAMPLES
from engine.errors import AudioError
from tests.encoded_audio import RATE, Failing, drained, encoded, noise, refusal

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
    monkeypatch.setattr("engine.decode_sndfile.MAX_BLOCK_SAMPLES", 997)
    np.testing.assert_array_equal(drained(data), whole)


def test_one_read_is_bounded_for_any_number_of_channels():
    for channels in (1, 2, 255):
        decoder = open_decoder(encoded(np.zeros((MAX_BLOCK_SAMPLES // channels + 10, channels), np.int16)))
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


@pytest.mark.parametrize(("container", "subtype"), SUBTYPES)
def test_errors_of_a_file_object_come_out_of_the_c_library(container, subtype):
    data = encoded(noise(9000), container, subtype)
    probe = Failing(data, None)
    decoder = open_decoder(probe)
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
        open_decoder(Failing(data, OSError("disc is gone"), reads_to_open - 1))

"""What PyAV reads where libsndfile cannot: exact samples, true starts and lengths, damage and its place."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from engine.decode import open_decoder
from engine.decode_av import MAX_BLOCK_SAMPLES
from tests.encoded_audio import AAC_FRAME, LAYOUTS, Failing, aac, av_encoded, drained, encoded, noise, refusal, sine

# (container, codec, type of its samples, full scale, bits of each sample)
LOSSLESS = [
    ("ipod", "alac", "int32", 2.0**31, 24),
    ("matroska", "flac", "int16", 2.0**15, 16),
    ("mov", "pcm_u8", "uint8", 2.0**7, 8),
    ("mov", "pcm_s16be", "int16", 2.0**15, 16),
    ("mov", "pcm_s24le", "int32", 2.0**31, 24),
    ("mov", "pcm_s32le", "int32", 2.0**31, 32),
    ("mov", "pcm_f32le", "float32", 1.0, None),
    ("mov", "pcm_f64le", "float64", 1.0, None),
    ("wv", "wavpack", "float32", 1.0, None),
]


def delay(got, expected):
    """Samples by which ``got`` comes later than ``expected``."""
    size = len(got) + len(expected)
    product = np.fft.rfft(got, size) * np.conj(np.fft.rfft(expected, size))
    lag = int(np.argmax(np.fft.irfft(product, size)))
    return lag if lag < len(got) else lag - size


def likeness(got, expected):
    """Correlation of the samples that both have, the lowest of all channels but the one for low frequencies."""
    size = min(len(got), len(expected))
    channels = [channel for channel in range(got.shape[1]) if LAYOUTS[got.shape[1]] != "5.1" or channel != 3]
    return min(np.corrcoef(got[:size, channel], expected[:size, channel])[0, 1] for channel in channels)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize(("container", "codec", "dtype", "full_scale", "bits"), LOSSLESS)
def test_lossless_codings_give_exact_samples(container, codec, dtype, full_scale, bits, channels):
    given = noise(5000, channels)
    if bits:
        step = 2.0 ** (1 - bits)
        given = np.floor(given.astype(np.float64) / step) * step
    centre = full_scale if dtype == "uint8" else 0
    data = av_encoded((given * full_scale + centre).astype(dtype), container, codec, 44_100, LAYOUTS[channels])
    np.testing.assert_array_equal(drained(data), given.astype(np.float32))


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_aac_begins_with_the_first_sample_and_ends_within_one_frame_of_the_last(rate, channels):
    given = sine(rate // 2 + 137, rate, channels)
    for container in ("mp4", "matroska"):
        got = drained(av_encoded(given, container, "aac", rate, LAYOUTS[channels]))
        assert 0 <= len(got) - len(given) < AAC_FRAME
        assert delay(got[:, 0], given[:, 0]) == 0
        assert likeness(got, given) > 0.9


def test_a_bare_aac_stream_begins_one_frame_early():
    given = sine(9000, 48_000)
    got = drained(aac(9000, container="adts"))
    assert delay(got[:, 0], given[:, 0]) == AAC_FRAME
    tagged = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256) + aac(9000, container="adts")
    np.testing.assert_array_equal(drained(tagged), got)


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_in_webm_has_the_length_and_start_that_went_in(channels):
    given = sine(24_137, 48_000, channels)
    got = drained(av_encoded(given, "webm", "libopus", 48_000, LAYOUTS[channels]))
    assert got.shape == given.shape
    assert abs(delay(got[:, 0], given[:, 0])) <= 1


@pytest.mark.parametrize(
    ("container", "codec", "dtype"), [("asf", "wmav2", "float32"), ("caf", "adpcm_ima_qt", "int16")]
)
def test_windows_media_and_caf_begin_within_two_frames_of_the_first_sample(container, codec, dtype):
    given = sine(44_100, 44_100)
    scale = 32767 if dtype == "int16" else 1
    got = drained(av_encoded((given * scale).astype(dtype), container, codec, 44_100))
    assert abs(len(got) - len(given)) <= 2048
    assert abs(delay(got[:, 0], given[:, 0])) <= 2048


def test_amr_gives_20_ms_for_each_frame():
    frame = b"\x3c" + bytes(31)  # 12.2 kbit/s (RFC 4867, section 5.3)
    assert drained(b"#!AMR\n" + frame * 50).shape == (50 * 160, 1)


def test_caf_that_libsndfile_reads_stays_with_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(drained(encoded(noise(100), "CAF"))) == 100


def test_every_kind_of_source_gives_the_same_samples(tmp_path):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    data = aac(channels=2)
    path = tmp_path / "clip without a suffix"
    path.write_bytes(data)
    expected = drained(data)
    behind = io.BytesIO(b"before" + data)
    behind.seek(6)
    for source in (path, str(path), bytearray(data), memoryview(data), io.BytesIO(data), behind, Pipe(data)):
        np.testing.assert_array_equal(drained(source), expected)


def test_names_rates_and_handles(tmp_path):
    path = tmp_path / "clip.m4a"
    path.write_bytes(aac(channels=2, rate=44_100))
    decoder = open_decoder(path)
    assert (decoder.name, decoder.label) == (str(path), repr(str(path)))
    assert (decoder.sample_rate, decoder.channels) == (44_100, 2)
    handle = decoder._file
    decoder.close()
    assert handle.closed
    file = io.BytesIO(path.read_bytes())
    open_decoder(file).close()
    assert not file.closed


@pytest.mark.parametrize("size", [1, 997, 10**6])
def test_samples_do_not_depend_on_the_size_of_blocks(monkeypatch, size):
    for data in (aac(9000, channels=2), av_encoded(noise(9000), "wv", "wavpack")):
        whole = drained(data)
        monkeypatch.setattr("engine.decode_av.MAX_BLOCK_SAMPLES", size)
        np.testing.assert_array_equal(drained(data), whole)
        monkeypatch.undo()


def test_one_read_is_bounded():
    decoder = open_decoder(av_encoded(np.zeros((MAX_BLOCK_SAMPLES, 2), np.int16), "mov", "pcm_s16le", layout="stereo"))
    sizes = []
    while len(block := decoder.read()):
        sizes.append(block.size)
    assert sum(sizes) == 2 * MAX_BLOCK_SAMPLES
    assert max(sizes) < MAX_BLOCK_SAMPLES + 2 * AAC_FRAME


def test_a_frame_without_end_is_refused():
    samples = np.zeros((2**20 + 1, 1), np.int16)
    assert "damaged at 0.000 s: FFmpeg reports" in refusal(av_encoded(samples, "matroska", "pcm_s16le"))
    assert len(drained(av_encoded(samples[1:], "matroska", "pcm_s16le"))) == 2**20


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_title_that_is_not_unicode_does_no_harm(container):
    data = av_encoded(sine(5000, 48_000), container, "aac", title="TITLE")
    assert b"TITLE" in data
    np.testing.assert_array_equal(drained(data.replace(b"TITLE", b"\xff\xfe\xe9\x80A")), drained(data))


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_the_first_audio_stream_is_taken_and_video_passed_over(container):
    given = sine(9000, 48_000)
    got = drained(av_encoded(given, container, "aac", more=[noise(9000)], video=True))
    assert delay(got[: len(given), 0], given[:, 0]) == 0
    assert likeness(got, given) > 0.9


def test_a_film_without_sound_is_refused():
    assert "MP4/M4A or QuickTime with video; choose another" in refusal(av_encoded(None, "mp4", "aac", video=True))


def test_a_coding_that_is_not_on_the_list_is_refused():
    data = av_encoded((noise(5000) * 32767).astype(np.int16), "matroska", "tta")
    assert "WebM/Matroska with the coding 'tta'; convert it to WAV or FLAC" in refusal(data)


def test_a_change_of_parameters_is_refused_with_its_place():
    first = aac(container="adts")
    for second, change in (
        (aac(rate=44_100, container="adts"), "44100 Hz with 1"),
        (aac(channels=2, container="adts"), "48000 Hz with 2"),
    ):
        message = refusal(first + second)
        assert f"48000 Hz with 1 channels, then {change} from {6 * AAC_FRAME / 48_000:.3f} s" in message


def test_damage_is_an_error_with_its_place():
    data = aac(48_000, container="adts")
    cut = refusal(data[: len(data) // 2])
    assert "damaged at 0." in cut
    assert "FFmpeg reports: Invalid data found" in cut
    hole = bytearray(aac(48_000))
    hole[len(hole) // 3 : len(hole) // 2] = bytes(len(hole) // 2 - len(hole) // 3)
    assert "damaged at 0." in refusal(bytes(hole))
    caf = av_encoded((sine(44_100, 44_100) * 32767).astype(np.int16), "caf", "adpcm_ima_qt", 44_100)
    assert "a packet is cut short" in refusal(caf[: len(caf) // 2 + 7])


def test_a_file_cut_before_its_index_cannot_be_opened():
    assert "MP4/M4A or QuickTime that cannot be opened: FFmpeg reports: Invalid data" in refusal(aac()[:-1500])


def test_webm_cut_short_gives_what_is_there():
    data = av_encoded(sine(24_000, 48_000), "webm", "libopus")
    whole = drained(data)
    got = drained(data[: len(data) * 3 // 4])
    assert len(whole) / 2 < len(got) < len(whole)
    np.testing.assert_array_equal(got, whole[: len(got)])


@pytest.mark.parametrize("container", ["mp4", "matroska", "adts"])
def test_errors_of_a_file_object_come_out_of_the_library(container):
    data = aac(100_000, container=container)
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


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\x00\x00\x00\x20ftypM4A ", "MP4/M4A"),
        (b"\x00\x00\x00\x08wide\x00\x00", "QuickTime"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"#!AMR\n", "AMR"),
        (b"caff\x00\x01", "CAF"),
        (b"wvpk", "WavPack"),
    ],
)
def test_without_av_the_container_and_the_line_that_installs_it_are_named(tmp_path, monkeypatch, head, container):
    path = tmp_path / "clip"
    path.write_bytes(head + bytes(1000))
    monkeypatch.setitem(sys.modules, "av", None)
    for source in (path, path.read_bytes()):
        message = refusal(source)
        assert container in message
        assert "run pip install 'sound-engine[av]' or convert it to WAV or FLAC" in message

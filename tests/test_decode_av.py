"""What PyAV reads where libsndfile cannot: exact samples, true starts, and nothing but the file itself."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from engine.byte_stream import ByteStream
from engine.decode import open_decoder
from engine.decode_av import MAX_BLOCK_SAMPLES, AvDecoder
from engine.errors import AudioError
from tests.encoded_audio import Failing, av_encoded, drained, encoded, noise, refusal

AAC_FRAME = 1024
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
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


def sine(n_samples, rate, channels=1):
    """Sweeps, a tone of its own in each channel; their start shows in a correlation as one peak."""
    time_s = np.arange(n_samples)[:, None] / rate
    tone = np.arange(1, channels + 1) * rate / 50
    return (0.3 * np.sin(2 * np.pi * (tone * time_s + rate / 20 * time_s**2))).astype(np.float32)


def aac(n_samples=5000, rate=48_000, channels=1, container="mp4", **options):
    return av_encoded(sine(n_samples, rate, channels), container, "aac", rate, LAYOUTS[channels], **options)


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
    ("container", "codec", "rate", "dtype"),
    [("asf", "wmav2", 44_100, "float32"), ("caf", "adpcm_ima_qt", 44_100, "int16")]
    + [(container, "libopencore_amrnb", 8000, "int16") for container in ("amr", "3gp")],
)
def test_other_containers(container, codec, rate, dtype):
    given = sine(rate, rate)
    scale = 32767 if dtype == "int16" else 1
    got = drained(av_encoded((given * scale).astype(dtype), container, codec, rate))
    assert abs(len(got) - len(given)) <= 2048
    assert abs(delay(got[:, 0], given[:, 0])) <= 2048


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
    assert len(drained(data.replace(b"TITLE", b"\xff\xfe\xe9\x80A"))) == 5120


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


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
}


@pytest.mark.parametrize("demuxer", PLAYLISTS)
def test_a_playlist_cannot_have_another_file_read(tmp_path, monkeypatch, demuxer):
    import av

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.aac").write_bytes(aac(48_000, container="adts"))
    text = PLAYLISTS[demuxer].format("secret.aac").encode()
    for suffix in ("m4a", "aac", "mp4", "m3u8"):
        playlist = tmp_path / f"list.{suffix}"
        playlist.write_bytes(text)
        assert "no format that libsndfile knows" in refusal(playlist)
    with av.open("list.m3u8", format=demuxer) as followed:  # FFmpeg itself does read the other file
        assert next(followed.decode(audio=0)).samples
    # Were such a format ever named by its demuxer, it still could not open anything.
    with pytest.raises(AudioError, match="cannot be opened"):
        AvDecoder(ByteStream(io.BytesIO(text)), "the list", "a playlist", demuxer)


def test_a_playlist_cannot_have_an_address_opened():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        text = PLAYLISTS["hls"].format(f"http://127.0.0.1:{server.getsockname()[1]}/secret.aac").encode()
        assert "no format that libsndfile knows" in refusal(text)
        with pytest.raises(AudioError, match="cannot be opened"):
            AvDecoder(ByteStream(io.BytesIO(text)), "the list", "a playlist", "hls")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_an_mp4_whose_sound_is_in_another_file_is_not_followed(tmp_path):
    """The data reference of the track is made to point outside, as QuickTime reference films do."""
    secret = tmp_path / "secret.mov"
    secret.write_bytes(av_encoded((noise(5000) * 9999).astype(np.int16), "mov", "pcm_s16le"))
    data = bytearray(secret.read_bytes())
    place = data.index(b"url \x00\x00\x00\x01") + 4
    data[place : place + 4] = bytes(4)
    for start in range(data.index(b"mdat") + 4, data.index(b"moov") - 4):
        data[start] = 0
    path = tmp_path / "reference.mov"
    path.write_bytes(data)
    assert not drained(path).any()


QUIET = """
import json, logging, sys
from engine.audio import load
from engine.errors import AudioError
import av, av.logging

before = av.logging.get_level(), logging.root.level, logging.root.handlers[:]
outcomes = []
for path in sys.argv[1:]:
    try:
        outcomes.append(len(load(path)[0]))
    except AudioError as error:
        outcomes.append(str(error))
assert before == (av.logging.get_level(), logging.root.level, logging.root.handlers[:])
print(json.dumps(outcomes))
"""


def child(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_nothing_is_printed_and_no_logging_is_changed(tmp_path):
    data = aac(48_000, container="adts")
    files = {
        "good.m4a": aac(5000),
        "cut.aac": data[:-100],
        "cut.m4a": aac()[:-1500],
        "noise.mp4": b"\0\0\0\x18ftypmp42" + os.urandom(5000),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    good, *bad = child(QUIET, *(tmp_path / name for name in files))
    assert good == 5120
    assert all(isinstance(outcome, str) for outcome in bad)


def test_threads_give_the_same_samples_as_one():
    sources = [
        aac(20_000 + 1000 * n, channels=1 + n % 2, container=("mp4", "matroska", "adts")[n % 3]) for n in range(8)
    ]
    expected = [drained(source) for source in sources]
    wrong = []

    def work(start):
        for turn in range(10):
            index = (start + turn) % len(sources)
            if not np.array_equal(drained(sources[index]), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


FORK = """
import json, os, sys, threading, zlib
from engine.audio import load

def checksum(): return zlib.crc32(load(sys.argv[1])[0])

expected = checksum()
running = True
def decode():
    while running: checksum()
threads = [threading.Thread(target=decode) for _ in range(2)]
for thread in threads: thread.start()
codes = []
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if checksum() == expected else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
running = False
for thread in threads: thread.join()
print(json.dumps(codes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_threads_decode_decodes_too(tmp_path):
    path = tmp_path / "clip.m4a"
    path.write_bytes(aac(20_000))
    program = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n" + FORK
    assert child(program, path) == [0] * 10


PEAK = """
import json, pathlib, sys
from engine.audio import open_audio

n_samples = 0
with open_audio(sys.argv[1]) as reader:
    for block in reader.blocks(10_000):
        n_samples += len(block)
status = pathlib.Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps([n_samples, peak / 1024]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc there")  # noqa: PTH110
def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path):
    """Half an hour of AAC, one second over and over; as floats it is 57 MB, and 4 times that before averaging."""
    second = aac(8192 - AAC_FRAME, 8000, container="adts")
    lengths, peaks = {}, {}
    for seconds in (1, 1800):
        path = tmp_path / f"{seconds}.aac"
        path.write_bytes(second * seconds)
        lengths[seconds], peaks[seconds] = child(PEAK, path)
    assert lengths[1800] == 1800 * lengths[1]
    assert peaks[1800] < peaks[1] + 15

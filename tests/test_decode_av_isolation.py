"""What decoding through PyAV leaves alone: other files, the network, stderr, logging, threads, forks and memory."""

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
from engine.decode_av import AvDecoder
from engine.errors import AudioError
from tests.encoded_audio import AAC_FRAME, aac, av_encoded, drained, noise, refusal

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
    assert 5000 <= good < 5000 + AAC_FRAME
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

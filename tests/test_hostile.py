"""Odd, broken and lying files: each is read or refused with a typed error, in bounded memory and time.

Every file goes through a child process, so that a crash, a hang or a header's allocation is seen and not suffered.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from tests.encoded_audio import av_encoded

MAX_PEAK_MIB = 500
MAX_SECONDS_PER_FILE = 20

# soundfile, asked for the whole file at once, refuses to allocate what the header says; block by block it reads well.
READ_ONLY_IN_BLOCKS = {"flac_testbench/uncommon_04 - changing bitdepth.flac": 495_232}
# No format of libsndfile; PyAV reads them.
READ_BY_AV = {"misc/pydub_format_test.m4a": 425_984}
# libsndfile tries its MP3 reader only because of the name, which bytes do not have.
READ_ONLY_BY_NAME = {"made/mp3_garbage_first.mp3"}
# Finite, but the power of its samples (amplitude 1e30) is beyond float32.
BEYOND_THE_FRONT_END = {"made/float_huge.wav"}

MEASURE = """
import json, pathlib, sys, time

def peak_mib():
    # Not ru_maxrss: it begins with the size of the process that started this one.
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

def outcome(function, *arguments):
    start = time.perf_counter()
    try:
        result = {"value": function(*arguments)}
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        result = {"error": str(error), "type": kinds[0], "typed": "EngineError" in kinds}
    return result | {"seconds": time.perf_counter() - start}

root, names = pathlib.Path(sys.argv[1]), json.load(sys.stdin)
"""

READ = (
    MEASURE
    + """
import zlib
from engine.audio import open_audio

def read(source):
    length = crc = 0
    with open_audio(source) as reader:
        for block in reader.blocks(10_000):
            length += len(block)
            crc = zlib.crc32(block, crc)
    return length, crc

ways = {"path": lambda path: path, "bytes": lambda path: path.read_bytes()}
files = {name: {way: outcome(read, ways[way](root / name)) for way in sys.argv[2:]} for name in names}
print(json.dumps({"files": files, "peak_mib": peak_mib()}))
"""
)

TAG = (
    MEASURE
    + """
from engine import Tagger

tagger = Tagger(*sys.argv[2:], device="cpu", threads=1)

def tag(path):
    clip = tagger(path)
    return clip.path, clip.duration_s, len(clip.windows), clip.scores.tolist()

files = {name: outcome(tag, root / name) for name in names}
rate, labels = tagger.card.sample_rate, len(tagger.labels)
print(json.dumps({"files": files, "peak_mib": peak_mib(), "sample_rate": rate, "n_labels": labels}))
"""
)


@pytest.fixture(scope="module")
def hostile(shared_data):
    return shared_data / "hostile"


@pytest.fixture(scope="module")
def manifest(hostile):
    with (hostile / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def run(program, folder, names, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder), *arguments],
        input=json.dumps(list(names)),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"the child ended with {done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


def check(outcomes):
    """No exception but the engine's own, in one sentence, and no file that takes long."""
    for name, outcome in outcomes.items():
        assert outcome.get("typed", True), f"{name}: {outcome}"
        assert "\n" not in outcome.get("error", ""), name
        assert outcome["seconds"] < MAX_SECONDS_PER_FILE, name


def expected_frames(row):
    """Frames that can be read, or None: libsndfile or PyAV reads them, there are some, and none is NaN."""
    unlisted = READ_ONLY_IN_BLOCKS | READ_BY_AV
    if row["path"] in unlisted:
        return unlisted[row["path"]]
    readable = row["sndfile"] == "ok" and row["frames"] != "0" and row["finite"] == "True"
    return int(row["frames"]) if readable else None


@pytest.fixture(scope="module")
def read(hostile, manifest):
    return run(READ, hostile, manifest, "path", "bytes")


def test_the_audio_layer_reads_what_its_libraries_read_and_refuses_the_rest(read, manifest):
    by_path = {name: ways["path"] for name, ways in read["files"].items()}
    check(by_path)
    lengths = {name: outcome["value"][0] if "value" in outcome else None for name, outcome in by_path.items()}
    assert lengths == {name: expected_frames(row) for name, row in manifest.items()}


def test_the_audio_layer_stays_small(read):
    assert read["peak_mib"] < 150


def test_bytes_give_what_the_path_gives(read):
    check({name: ways["bytes"] for name, ways in read["files"].items()})
    differ = {name for name, ways in read["files"].items() if ways["path"].get("value") != ways["bytes"].get("value")}
    assert differ == READ_ONLY_BY_NAME


def damaged_copies(data, generator):
    """Copies with a number of the header made huge, a few bytes changed, or the end gone."""
    for turn in range(20):
        head = bytearray(data)
        place = int(generator.integers(8, min(len(data), 1500) - 4))
        head[place : place + 4] = (0x7FFFFFFF, 0x00FFFFFF, 0)[turn % 3].to_bytes(4, "big")
        changed = bytearray(data)
        for place in generator.integers(8, len(data), 1 + turn):
            changed[place] = generator.integers(256)
        yield from (head, changed, data[: int(generator.integers(12, len(data)))])


def test_damaged_files_that_pyav_reads_are_read_or_refused(tmp_path):
    generator = np.random.default_rng(3)
    tone = (0.3 * np.sin(np.arange(8000) * 0.1)).astype(np.float32)[:, None]
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    clips = [
        av_encoded(tone, "ipod", "aac"),
        av_encoded(tone, "mp4", "aac", options=fragments),
        av_encoded((tone * 32767).astype(np.int16), "ipod", "alac"),
        av_encoded(tone, "webm", "libopus"),
        av_encoded(tone, "matroska", "aac", video=True),
        av_encoded(tone, "adts", "aac"),
        av_encoded(tone, "asf", "wmav2", 44_100),
        av_encoded(tone, "wv", "wavpack"),
        av_encoded((tone * 32767).astype(np.int16), "caf", "adpcm_ima_qt", 44_100),
        b"#!AMR\n" + (b"\x3c" + bytes(31)) * 50,
    ]
    for clip, data in enumerate(clips):
        for number, damaged in enumerate([data, *damaged_copies(data, generator)]):
            (tmp_path / f"{clip}_{number}").write_bytes(damaged)
    result = run(READ, tmp_path, sorted(path.name for path in tmp_path.iterdir()), "path")
    outcomes = {name: ways["path"] for name, ways in result["files"].items()}
    check(outcomes)
    assert all("value" in outcomes[f"{clip}_0"] for clip in range(len(clips)))
    refused = sum("error" in outcome for outcome in outcomes.values())
    assert len(outcomes) / 4 < refused < len(outcomes) * 3 / 4
    assert result["peak_mib"] < 150


def test_a_header_that_announces_hours_of_many_channels_allocates_nothing(tmp_path):
    """255 channels of 16 bits at 1 MHz, 4 GB by the header, 100 frames in the file."""
    size = (0xFFFFFF00).to_bytes(4, "little")
    form = b"".join(
        value.to_bytes(length, "little")
        for value, length in [(16, 4), (1, 2), (255, 2), (1_000_000, 4), (510_000_000, 4), (510, 2), (16, 2)]
    )
    lying = b"RIFF" + size + b"WAVEfmt " + form + b"data" + size + bytes(510 * 100)
    (tmp_path / "lying.wav").write_bytes(lying)
    result = run(READ, tmp_path, ["lying.wav"], "path")
    assert result["files"]["lying.wav"]["path"]["value"][0] == 100
    assert result["peak_mib"] < 150


def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path):
    """Nearly 40 minutes, 200 MiB, of silence in a file with a hole in it, which costs no disc."""
    data_size = 200 * 2**20
    form = bytes.fromhex("10000000 0100 0100 44ac0000 88580100 0200 1000")
    head = (
        b"RIFF"
        + (data_size + 36).to_bytes(4, "little")
        + b"WAVEfmt "
        + form
        + b"data"
        + data_size.to_bytes(4, "little")
    )
    for name, size in (("long.wav", data_size), ("short.wav", 2**20)):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(len(head) + size)
    peaks = {}
    for name, size in (("long.wav", data_size), ("short.wav", 2**20)):
        result = run(READ, tmp_path, [name], "path")
        assert result["files"][name]["path"]["value"][0] == size // 2
        peaks[name] = result["peak_mib"]
    assert peaks["long.wav"] < peaks["short.wav"] + 20


def test_the_tagger_tags_or_refuses_every_file_in_one_process(hostile, manifest, record_property):
    result = run(TAG, hostile, manifest)
    check(result["files"])
    rate = result["sample_rate"]
    for name, outcome in result["files"].items():
        row = manifest[name]
        frames = expected_frames(row)
        source_rate = int(row["sample_rate"] or 44_100)
        fits = max(rate, source_rate) <= 1000 * min(rate, source_rate)
        too_short = frames is not None and frames * rate <= source_rate / 2
        if frames is None or not fits or too_short or name in BEYOND_THE_FRONT_END:
            assert outcome.get("type") == "AudioError", f"{name}: {outcome}"
        else:
            path, duration_s, n_windows, scores = outcome["value"]
            assert path == str(hostile / name)
            assert duration_s == pytest.approx(frames / source_rate, abs=0.6 / rate), name
            assert n_windows >= 1
            assert len(scores) == result["n_labels"]
    tagged = sum("value" in outcome for outcome in result["files"].values())
    record_property("tagged", tagged)
    record_property("peak_mib", result["peak_mib"])
    assert result["peak_mib"] < MAX_PEAK_MIB

"""What goes wrong in the days that an archive takes, done to the command itself, and the rows afterwards."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine import Tagger
from engine.archive import run as run_archive
from engine.errors import AudioError
from engine.scan import AUDIO_SUFFIXES
from tests.archive.recordings import files_in, windows_in, write_clip, write_clips

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")

N_CLIPS = 450
OPTIONS = ("--hop-s", "0.1", "--workers", "2")
LIMIT_S = 120


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny):
    """Folder of the clips, and of their archive as it comes out when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_clips(folder / "in", N_CLIPS, 1.0)
    run_archive([folder / "in"], folder / "out", tiny, hop_s=0.1, workers=2)
    return folder


def same(out, folder):
    """Return whether the tables hold the rows of the undisturbed run."""
    return windows_in(out) == windows_in(folder / "out") and files_in(out) == files_in(folder / "out")


def start(*arguments, **options):
    command = [sys.executable, "-m", "engine", "archive", "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(process):
    """Return the exit code and what was said."""
    try:
        _, said = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, said


def resume(out, *arguments, **options):
    return finish(start("-o", out, "--resume", *arguments, **options))


def workers_of(process):
    """Return the processes that do the work of a run."""
    found = []
    for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
        for pid in map(int, children.read_text().split()):
            try:
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
            except OSError:
                continue
    return found


def until(condition, process=None):
    """Wait until something is so; a run that ends before that is an error."""
    end = time.monotonic() + LIMIT_S
    while not (value := condition()):
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)
    return value


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def one_sentence(said):
    assert said.startswith("engine: ")
    assert said.count("\n") == 1, said
    return said


def dice(name):
    """Return a source of random points, with its seed where a failing test shows it."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"{name}: seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    return random.Random(seed)


N_KILLS = [3, pytest.param(20, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n_kills", N_KILLS)
def test_killing_the_run_at_random_points(undisturbed, tiny, tmp_path, n_kills):
    chance = dice("main")
    out = tmp_path / "out"
    arguments = [undisturbed / "in", "-o", out, "--model", tiny, *OPTIONS]
    for _ in range(n_kills):
        process = start(*arguments, *(["--resume"] if out.exists() else []))
        if chance.random() < 0.8:
            # Where everything was done before the last kill, there is no worker to wait for.
            until(lambda process=process: process.poll() is not None or workers_of(process))
        time.sleep(chance.uniform(0, 1.2))
        orphans = workers_of(process) if process.poll() is None else []
        process.kill()
        finish(process)
        for pid in orphans:
            until(lambda pid=pid: gone(pid))
    code, said = finish(start(*arguments, "--resume"))
    assert code == 0, said
    assert same(out, undisturbed)
    assert list(out.rglob("*.partial")) == []


@pytest.mark.parametrize("n_kills", N_KILLS)
def test_killing_workers_at_random_points(undisturbed, tiny, tmp_path, n_kills):
    chance = dice("workers")
    out = tmp_path / "out"
    process = start(undisturbed / "in", "-o", out, "--model", tiny, *OPTIONS)
    for _ in range(n_kills):
        time.sleep(chance.uniform(0.2, 1.0))
        # A run that has ended before the last kill is no less a test of the others.
        if process.poll() is not None or not (pids := workers_of(process)):
            continue
        os.kill(chance.choice(pids), signal.SIGKILL)
    code, said = finish(process)
    if code == 1:  # on a busy machine so many may be killed before they have begun that the run gives up
        assert "ended before that (exit code -9)" in one_sentence(said)
        code, said = resume(out, "--workers", "2")
    assert code == 0, said
    assert same(out, undisturbed)


# What a part holds is smaller here: the recording need not be hours long.
SMALL_PARTS = "from engine.archive import splitting\nsplitting.PART_BYTES = 500_000\n"


@pytest.mark.parametrize("victim", ["worker", "run"])
def test_killing_a_run_with_a_recording_in_parts(tiny, tmp_path, victim):
    chance = dice(victim)
    write_clip(tmp_path / "long.wav", 300.0)
    (tmp_path / "sitecustomize.py").write_text(SMALL_PARTS)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    arguments = [tmp_path / "long.wav", "--model", tiny, "--hop-s", "0.1", "--workers", "2"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = start(*arguments, "-o", out, env=environment)
    until(lambda: any((out / "parts").glob("*.json")), process)
    time.sleep(chance.uniform(0, 0.5))  # the last part may be done by then, which resuming must not mind either
    if victim == "run":
        process.kill()
        finish(process)
    elif pids := workers_of(process):
        os.kill(chance.choice(pids), signal.SIGKILL)
        finish(process)
    code, said = resume(out, env=environment)
    assert code == 0, said
    code, said = finish(start(*arguments, "-o", whole))
    assert code == 0, said
    assert windows_in(out) == windows_in(whole)
    assert files_in(out) == files_in(whole)
    assert not list((out / "parts").iterdir())


def test_bad_recordings_among_good_ones(shared_data, tiny, tmp_path):
    with (shared_data / "hostile" / "manifest.csv").open(newline="") as file:
        hostile = list(csv.DictReader(file))
    # Other formats may be read by PyAV, where that is installed.
    bad = [row["path"] for row in hostile if row["sndfile"].startswith("error") and row["path"].endswith(".wav")]
    bad += [row["path"] for row in hostile if row["finite"] == "False" or row["frames"] == "0"]
    good = sorted((shared_data / "esc10_dev").rglob("*.ogg"))[:6]
    for i, path in enumerate(bad):
        shutil.copy(shared_data / "hostile" / path, tmp_path / f"{i:03d} bad{Path(path).suffix}")
    for i, path in enumerate(good):
        shutil.copy(path, tmp_path / f"{i * len(bad) // len(good):03d} good.ogg")
    assert len(bad) >= 10
    code, said = finish(start(tmp_path, "-o", tmp_path / "out", "--model", tiny, "--workers", "1"))
    assert code == 3, said
    rows = files_in(tmp_path / "out")
    assert len(rows) == len(bad) + len(good)
    failed = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    assert [row["path"] for row in failed] == [row["uri"] for row in rows if " bad." in row["uri"]]
    for row in failed:
        assert row["stage"] in ("open", "decode")
        assert row["type"] == "AudioError"
        assert row["message"].startswith("expected ")
        assert f"{row['path']!r}" in row["message"] or row["path"] in row["message"]
    for row in rows:
        assert (row["error"] is None) == (" good." in row["uri"])
        assert (row["n_windows"] >= 9) == (" good." in row["uri"])
    assert f"{len(bad)} could not be used: {tmp_path / 'out' / 'failed.jsonl'}" in said


def refusal(tagger, path):
    """Return why a recording cannot be tagged, None where it can."""
    try:
        clip = tagger(path)
    except AudioError as error:
        return str(error)
    assert np.isfinite(clip.scores).all()
    return None


def test_every_file_of_the_hostile_set_among_good_ones(shared_data, tiny, tmp_path):
    hostile = sorted(path for path in (shared_data / "hostile").rglob("*") if path.suffix in AUDIO_SUFFIXES)
    good = sorted((shared_data / "esc10_dev").rglob("*.ogg"))[:8]
    for i, path in enumerate(hostile):
        shutil.copy(path, tmp_path / f"{i:03d} odd{path.suffix}")
    for i, path in enumerate(good):
        shutil.copy(path, tmp_path / f"{i * len(hostile) // len(good):03d} good.ogg")
    assert len(hostile) > 200
    code, said = finish(start(tmp_path, "-o", tmp_path / "out", "--model", tiny, "--workers", "2"))
    assert code == 3, said
    rows = files_in(tmp_path / "out")
    assert len(rows) == len(hostile) + len(good)
    failed = {json.loads(line)["path"] for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()}
    n_windows = Counter(row["file_id"] for row in windows_in(tmp_path / "out"))
    tagger = Tagger(tiny, "cpu", threads=1)
    for row in rows:
        assert n_windows[row["file_id"]] == row["n_windows"]
        # Without an archive the engine says the same of it.
        assert row["error"] == refusal(tagger, row["uri"])
        assert (row["uri"] in failed) == (row["error"] is not None)
        assert row["error"] is not None or row["n_windows"] > 0


def test_a_recording_that_kills_its_worker(tiny, tmp_path):
    clips = write_clips(tmp_path / "in", 12, 1.0)
    clips[5].rename(tmp_path / "in" / "0005 killer.wav")
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "def kill(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('killer.wav'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(kill)\n"
    )
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    code, said = finish(start(tmp_path / "in", "-o", tmp_path / "out", "--model", tiny, env=environment))
    assert code == 3, said
    rows = files_in(tmp_path / "out")
    assert [row["n_windows"] for row in rows] == [1] * 5 + [0] + [1] * 6
    (failed,) = map(json.loads, (tmp_path / "out" / "failed.jsonl").read_text().splitlines())
    assert (failed["path"], failed["stage"], failed["type"]) == (rows[5]["uri"], "worker", "Died")
    assert "3 workers died over it (exit code -9)" in failed["message"]
    # Where it no longer kills, it can be tried again.
    code, said = finish(start("-o", tmp_path / "out", "--retry-failed"))
    assert code == 0, said
    assert [row["n_windows"] for row in files_in(tmp_path / "out")] == [1] * 12


def test_recordings_that_vanish_are_failures_until_they_are_back(undisturbed, tiny, tmp_path):
    process = start(undisturbed / "in", "-o", tmp_path / "out", "--model", tiny, *OPTIONS)
    gone_clips = sorted((undisturbed / "in").iterdir())[-20:]
    try:
        until((tmp_path / "out" / "manifest.jsonl").exists, process)
        for path in gone_clips:
            path.rename(tmp_path / path.name)
        code, said = finish(process)
    finally:
        for path in gone_clips:
            (tmp_path / path.name).rename(path)
    assert code == 3, said
    rows = files_in(tmp_path / "out")
    assert [row["error"] is None for row in rows] == [True] * (N_CLIPS - 20) + [False] * 20
    assert all(row["error_stage"] == "open" for row in rows[-20:])
    code, said = finish(start("-o", tmp_path / "out", "--retry-failed"))
    assert code == 0, said
    assert same(tmp_path / "out", undisturbed)


# Every look at the clock finds it a minute further back.
BACKWARDS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static long looks;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*real)(clockid_t, struct timespec *);
    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec -= 60 * __sync_add_and_fetch(&looks, 1);
    return result;
}
"""


def test_a_clock_that_goes_backwards(undisturbed, tiny, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "clock.c").write_text(BACKWARDS)
    command = [compiler, "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c", "-ldl"]
    subprocess.run(command, check=True)
    env = os.environ | {"LD_PRELOAD": str(tmp_path / "clock.so")}
    out = tmp_path / "out"
    code, said = finish(start(undisturbed / "in", "-o", out, "--model", tiny, *OPTIONS, "--limit", "150", env=env))
    assert code == 0, said
    assert files_in(out) == files_in(undisturbed / "out")[:150]
    windows = windows_in(out)
    assert windows == windows_in(undisturbed / "out")[: len(windows)]
    done = pq.read_table(out / "files.parquet")["done_at"].to_pylist()
    assert any(later < earlier for earlier, later in itertools.pairwise(done))
    # And a run by another clock finds all of it done.
    assert "0 of them now" in resume(out)[1]


def test_a_damaged_shard_is_found_and_done_again(undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(undisturbed / "out", out)
    path = out / "windows" / "000002.parquet"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 1
    path.write_bytes(whole)
    (out / "files" / "000003.parquet").write_bytes(b"PAR1")
    code, said = resume(out)
    assert code == 0, said
    assert "64 of them now" in said
    assert "shards that were damaged and have been done again: 2" in said
    assert same(out, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_that_can_be_taken_up_again(undisturbed, tiny, tmp_path, number):
    out = tmp_path / "an out"
    process = start(undisturbed / "in", "-o", out, "--model", tiny, *OPTIONS, start_new_session=True)
    until(lambda: workers_of(process), process)
    # While one is at work, even if it stands still, no other may be.
    process.send_signal(signal.SIGSTOP)
    code, said = resume(out)
    assert code == 2
    assert f"another run does (process {process.pid} on " in one_sentence(said)
    process.send_signal(signal.SIGCONT)
    # Ctrl-C goes to all processes of a terminal.
    os.killpg(process.pid, number)
    code, said = finish(process)
    assert code == 130, said
    assert f"go on with: engine archive run -o '{out}' --resume" in one_sentence(said)
    assert list(out.rglob("*.partial")) == []
    assert (out / "files.parquet").exists()
    if number == signal.SIGINT:
        return
    # A limit on files' sizes is a full disk to whoever writes.
    few = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))  # noqa: E731
    code, said = resume(out, preexec_fn=few)
    assert code == 1, said
    assert "expected to write " in one_sentence(said)
    assert "File too large; make room or" in said
    code, said = resume(out)
    assert code == 0, said
    assert same(out, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """Give a mounted file system of 160 KiB, and a function that mounts it again with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)

    try:
        mount("size=160k")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a file system here")
    yield place, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_and_one_that_may_not_be_written(undisturbed, tiny, small_disk):
    place, remount = small_disk
    out = place / "out"
    code, said = finish(start(undisturbed / "in", "-o", out, "--model", tiny, *OPTIONS))
    assert code == 1
    assert f"expected to write {out}" in one_sentence(said)
    assert "No space left on device; make room or" in said
    finished = {path.relative_to(out): path.read_bytes() for path in out.glob("*/*")}
    assert {Path("windows/000000.parquet"), Path("files/000000.parquet")} <= set(finished)
    assert not any(path.suffix == ".partial" for path in finished)
    remount("size=10m,ro")
    code, said = resume(out)
    assert code == 1
    assert "Read-only file system" in one_sentence(said)
    remount("size=10m,rw")
    code, said = resume(out)
    assert code == 0, said
    both = {path.name for path in finished if path.parent.name == "windows"}
    assert all((out / path).read_bytes() == data for path, data in finished.items() if path.name in both)
    assert same(out, undisturbed)


@pytest.mark.slow
def test_a_hundred_thousand_tiny_recordings(tiny, tmp_path):
    """About four minutes: ``pytest -m slow tests/archive/test_faults.py -k hundred``."""
    n_clips = 100_000
    data = write_clips(tmp_path, 1, 0.05)[0].read_bytes()
    (tmp_path / "in").mkdir()
    for k in range(n_clips):
        (tmp_path / "in" / f"{k:06}.wav").write_bytes(data)
    began = time.monotonic()
    process = start(tmp_path / "in", "-o", tmp_path / "out", "--model", tiny, "--workers", "2")
    until((tmp_path / "out" / "manifest.jsonl").exists, process)
    assert time.monotonic() - began < 60
    peaks = {}
    while process.poll() is None:
        for pid in [process.pid, *workers_of(process)]:
            with contextlib.suppress(OSError, IndexError):
                status = Path(f"/proc/{pid}/status").read_text()
                peaks[pid] = int(status.split("VmHWM:")[1].split()[0]) / 1024
        time.sleep(0.5)
    code, said = finish(process)
    assert code == 0, said
    print(f"{time.monotonic() - began:.0f} s, peaks of {sorted(map(round, peaks.values()))} MB")  # noqa: T201
    assert max(peaks.values()) < 300
    rows = pq.read_table(tmp_path / "out" / "files.parquet", columns=["n_windows", "duplicate_of"])
    assert rows.num_rows == n_clips
    assert set(rows["n_windows"].to_pylist()) == {1}
    assert rows["duplicate_of"].null_count == 1
    shutil.rmtree(tmp_path / "in")  # pytest would keep them for three runs

"""Batches of a shard: windows of several recordings in one call, and rows that are those of one window at a time."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest

from engine.archive.settings import settings_for
from engine.archive.tables import read_files
from engine.errors import Cancelled, DeviceError, ModelError
from engine.model import Model
from engine.network import Network
from tests.archive.recordings import do_shard, shard_of, store_in, windows_in, write_clip, write_clips

BATCH = 16


@pytest.fixture
def batching(tiny, monkeypatch):
    """A model that takes batches, as it would on a GPU, and the recordings and shapes of each call."""
    with Model.open(tiny, "cpu", threads=1) as model:
        model._batches, model._plain = True, None
        calls = []
        plain = Network.run

        def run(self, contents, state):
            calls.append([np.asarray(content) for content in contents])
            return plain(self, contents, state)

        monkeypatch.setattr(Network, "run", run)
        yield model, calls


def shard_and_rows(tmp_path, model, clips, *, name="out", **options):
    settings = settings_for(model, hop_s=0.25)
    store = store_in(tmp_path / name, settings)
    shard = shard_of(clips)
    do_shard(model, shard, store, **options)
    return windows_in(store.folder), read_files(store.files_path(0))


def assert_same(rows, expected):
    assert [(row["file_id"], row["start_s"], row["end_s"]) for row in rows] == [
        (row["file_id"], row["start_s"], row["end_s"]) for row in expected
    ]
    for column in ("scores", "embedding"):
        np.testing.assert_allclose([r[column] for r in rows], [r[column] for r in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("decoders", [1, 3])
def test_batches_mix_windows_of_recordings(tmp_path, model, batching, decoders):
    clips = [write_clip(tmp_path / "in" / f"{n:02}.wav", 1 + n % 3 / 4, 200 + 9 * n) for n in range(30)]
    clips[7].write_bytes(b"no audio")
    expected, expected_files = shard_and_rows(tmp_path, model, clips, name="one")
    batched, calls = batching
    calls.clear()
    rows, files = shard_and_rows(tmp_path, batched, clips, name="many", decoders=decoders)
    assert_same(rows, expected)
    assert [(row.file_id, row.n_windows, row.error, row.sha256) for row in files] == [
        (row.file_id, row.n_windows, row.error, row.sha256) for row in expected_files
    ]
    # Every call but the last is full, although no recording has as many windows.
    n_windows = len(rows)
    assert [len(call) for call in calls[:-1]] == [BATCH] * (n_windows // BATCH)
    assert max(row.n_windows for row in files) < BATCH / 2


def test_what_is_in_a_batch_depends_on_the_shard_alone(tmp_path, batching):
    clips = write_clips(tmp_path / "in", 25, 1.3)
    model, calls = batching
    seen = []
    for decoders in (1, 2, 4):
        calls.clear()
        shard_and_rows(tmp_path, model, clips, name=str(decoders), decoders=decoders)
        seen.append([np.stack(call).tobytes() for call in calls])
    assert seen[0] == seen[1] == seen[2]


def test_a_window_that_the_network_refuses_is_its_recordings_own_failure(tmp_path, batching, monkeypatch):
    clips = [write_clip(tmp_path / "in" / f"{n}.wav", 2.0, 300.3 + n) for n in range(8)]
    model, calls = batching
    shard_and_rows(tmp_path, model, clips[3:4], name="alone")
    refused = calls[0][4]
    run = Network.run

    def refusing(self, contents, state):
        if any(np.array_equal(content, refused) for content in contents):
            raise ModelError("expected another window")
        return run(self, contents, state)

    monkeypatch.setattr(Network, "run", refusing)
    rows, files = shard_and_rows(tmp_path, model, clips)
    assert [row.error_type for row in files] == [None] * 3 + ["ModelError"] + [None] * 4
    assert files[3].error_stage == "tag"
    assert files[3].n_windows == sum(row["file_id"] == 3 for row in rows) == 4
    assert {row.n_windows for row in files if row.error is None} == {5}


def test_a_device_that_fails_ends_the_shard_and_not_each_recording(tmp_path, batching, monkeypatch):
    def failing(self, contents, state):
        raise DeviceError("expected cuda:0 to run, it does not; look at it")

    monkeypatch.setattr(Network, "run", failing)
    with pytest.raises(DeviceError, match="look at it"):
        shard_and_rows(tmp_path, batching[0], write_clips(tmp_path / "in", 6), decoders=3)
    assert not any((tmp_path / "out" / "windows").iterdir())
    assert "engine-archive" not in {thread.name.rpartition("_")[0] for thread in threading.enumerate()}


def test_cancelling_ends_the_threads(tmp_path, batching):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        shard_and_rows(tmp_path, batching[0], write_clips(tmp_path / "in", 20, 8.0), decoders=4, cancel=cancel)
    assert "engine-archive" not in {thread.name.rpartition("_")[0] for thread in threading.enumerate()}


def test_memory_is_bounded_by_the_queues(tmp_path, batching, monkeypatch):
    """A network that is slower than the decoders holds them up: what waits for it does not grow with the shard."""
    model, calls = batching
    run = Network.run
    peaks = []
    for n_clips in (4, 24):
        clips = write_clips(tmp_path / str(n_clips), n_clips, 40.0)
        slow = threading.Event()

        def waiting(self, contents, state, slow=slow):
            slow.wait(0.02)
            calls.clear()
            return run(self, contents, state)

        monkeypatch.setattr(Network, "run", waiting)
        tracemalloc.start()
        shard_and_rows(tmp_path, model, clips, name=f"out{n_clips}", decoders=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (6 << 20), peaks

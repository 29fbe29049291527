"""Small archives for the tests: clips, a model, one shard done in this process, and the rows that came out."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import soundfile

from engine.archive.items import Item, Opener
from engine.archive.plan import Shard
from engine.archive.shard import run_shard
from engine.archive.store import TABLE_FOLDERS, Store
from engine.archive.tables import FileRow
from tests.tiny_models import RATE

# What two runs need not agree on.
CLOCKS = ("wall_s", "done_at")


def write_clip(path, seconds=2.0, pitch=440.0, channels=1):
    """Write a tone as 16-bit WAV; return its path."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * pitch * t)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, np.column_stack([tone] * channels), RATE, format="WAV", subtype="PCM_16")
    return path


def write_clips(folder, n, seconds=2.0):
    """Write n different clips; return their paths."""
    return [write_clip(folder / f"{i:04d}.wav", seconds, 200 + 7 * i) for i in range(n)]


def shard_of(paths, index=0, first=0):
    return Shard(index, first, tuple(Item(str(path), path.stat().st_size if path.exists() else None) for path in paths))


def store_in(folder, settings):
    store = Store(folder, settings)
    store.place.prepare(*TABLE_FOLDERS)
    return store


def do_shard(model, shard, store, *, retry=False, excluded=None, cancel=None, decoders=1):
    """Do a shard here; return what was said of it."""
    said = []
    with Opener() as opener:
        finish = run_shard(
            model,
            shard,
            store,
            opener=opener,
            retry=retry,
            excluded=excluded or {},
            begun=said.append,
            done=lambda file_id, audio_s, failed: said.append((file_id, audio_s, failed)),
            cancel=cancel or threading.Event(),
            decoders=decoders,
        )
    finish()
    return said


def windows_in(out):
    """Return the windows of all shards, in order."""
    return [row for path in sorted((out / "windows").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def files_in(out):
    """Return the rows of the recordings, without what the clock says."""
    rows = pq.read_table(out / "files.parquet").to_pylist()
    return [{name: value for name, value in row.items() if name not in CLOCKS} for row in rows]


def file_row(file_id=0, **values):
    defaults = {"uri": f"{file_id}.wav", "uri_bytes": f"{file_id}.wav".encode(), "done_at": datetime.now(UTC)}
    return FileRow(file_id=file_id, **defaults | values)

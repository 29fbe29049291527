"""Doing a long recording in parts, and joining them to the shard that it would have been in one piece.

A part that comes out otherwise than its header and its neighbours say is not joined: the shard is then read from the
start by one worker, which tells what is wrong with it as for any other recording.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.archive.batches import Batches
from engine.archive.decoding import BLOCK_SAMPLES, Decoded, unread
from engine.archive.meter import Meter
from engine.archive.recorded import recorded_at
from engine.archive.split import SEAM
from engine.archive.tables import WindowWriter
from engine.audio import AudioReader, open_recording
from engine.decode_sndfile import SndfileDecoder
from engine.errors import ArchiveError, AudioError, Cancelled, DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from engine.archive.items import Opener
    from engine.archive.plan import Shard
    from engine.archive.split import Span
    from engine.archive.store import Store
    from engine.archive.tables import FileRow
    from engine.model import Cancel, Model


class PartMeter(Meter):
    """Measures the samples of a part that are its own, and remembers those before its two ends.

    Parameters
    ----------
    recording : SndfileDecoder
        At the sample where the part is read from.
    span : Span
    """

    def __init__(self, recording: SndfileDecoder, span: Span) -> None:
        super().__init__(recording)
        self._position = span.begin
        self._own = span.frames
        self._seams = {end: hashlib.sha256() for end in span.frames}

    def read(self) -> NDArray[np.float32]:
        """Return the next samples, shape (k, channels)."""
        frames = self.read_unmeasured()
        self.measure(self._within(frames, *self._own))
        for end, digest in self._seams.items():
            digest.update(self._within(frames, max(0, end - SEAM), end).tobytes())
        self._position += len(frames)
        return frames

    def seams(self) -> list[str]:
        """Return the hashes of the samples before the part, and of its last ones."""
        return [self._seams[end].hexdigest() for end in self._own]

    def _within(self, frames: NDArray[np.float32], first: int, end: int) -> NDArray[np.float32]:
        return frames[max(0, first - self._position) : max(0, end - self._position)]


def run_part(model: Model, shard: Shard, part: int, store: Store, *, opener: Opener, cancel: Cancel) -> float:
    """Write the windows of a part and what ``join_parts`` wants to know; return the seconds that were read.

    One that is there already is left as it is, and nothing is written of one that cannot be read.

    Raises
    ------
    Cancelled
        Nothing was written.
    ArchiveError
        The part cannot be written.
    DeviceError
        The device has failed.
    """
    if store.part(shard, part) is not None:
        return 0.0
    began = time.perf_counter()
    try:
        with store.replaced_part(shard, part) as (path, facts):
            facts.update(_write_part(model, shard, part, store, path, opener, cancel))
            facts["wall_s"] = time.perf_counter() - began
    except (Cancelled, ArchiveError, DeviceError):
        raise
    except Exception:  # noqa: BLE001 - the shard, read from the start, says what it is
        return 0.0
    return float(facts["n_frames"] / facts["sample_rate"])


def _write_part(  # noqa: PLR0917 - one call, which names nothing twice
    model: Model, shard: Shard, part: int, store: Store, path: Any, opener: Opener, cancel: Cancel
) -> dict[str, Any]:
    assert shard.split is not None
    (item,) = shard.items
    settings = store.settings
    span = shard.split.span(part, settings)
    n_windows = 0
    rows: list[FileRow] = []
    with opener.open(item) as (source, sha256), WindowWriter(path, settings, store.metadata(shard)) as writer:
        recorded = recorded_at(item.uri, source, settings.time_pattern)
        recording = open_recording(source, repr(item.uri))
        if not isinstance(recording, SndfileDecoder) or recording.n_frames != shard.split.n_frames:
            raise AudioError(f"expected {item.uri!r} as it was planned, got another; read it from the start")
        recording.start_at(span.begin)
        meter = PartMeter(recording, span)
        listener = model.listener(repr(item.uri), span.windows[0] * settings.hop, **settings.options)
        batches = Batches(writer, rows.append)
        held = batches.begin(shard.first)
        with AudioReader(meter, settings.sample_rate, settings.channel) as reader:
            for decoded in _windows(listener, reader, settings.window, span):
                batches.add(held, Decoded(decoded, None if recorded is None else recorded.begin))
                n_windows += 1
                if cancel.is_set():
                    raise Cancelled("cancelled")
                if n_windows == span.windows[1] - span.windows[0]:
                    break
            warnings = recording.warnings() if span.windows[1] < 0 else []
        batches.run()
        if held.error is not None:
            raise held.error
        if meter.n_frames != span.frames[1] - span.frames[0] or 0 < span.windows[1] != span.windows[0] + n_windows:
            raise AudioError(f"expected part {part} of {item.uri!r} as planned, got another; read it from the start")
        return {
            "seams": meter.seams(),
            "n_frames": meter.n_frames,
            "sample_rate": int(meter.sample_rate),
            "channels": meter.channels,
            "n_windows": n_windows,
            "peak": meter.peak,
            "clipped": meter.clipped,
            "silent": meter.silent,
            "recorded": None
            if recorded is None
            else [recorded.begin.isoformat(), recorded.utc_offset_min, recorded.origin],
            # Once for all parts, and all of it: one of them reads the recording to its end.
            "warnings": "; ".join(warnings) or None,
            "sha256": sha256() if part == 0 else None,
        }


def _windows(listener: Any, reader: AudioReader, window: int, span: Span) -> Iterator[Any]:
    missing = span.skipped
    for block in reader.blocks(max(BLOCK_SAMPLES, window)):
        fresh = block[missing:]
        missing = max(0, missing - len(block))
        if len(fresh):
            yield from listener.prepare(fresh)
    yield from listener.prepare_rest()


def join_parts(shard: Shard, store: Store) -> FileRow | None:
    """Write the tables of a shard from its parts, and return its row; None where they are not all there, or at odds."""
    assert shard.split is not None
    parts = range(len(shard.split.starts))
    facts = [store.part(shard, part) for part in parts]
    if any(one is None for one in facts):
        return None
    found = [one for one in facts if one is not None]
    seams = [one["seams"] for one in found]
    if any(before[1] != after[0] for before, after in pairwise(seams)):
        return None
    row = _row(shard, found, store)
    with store.replaced(shard) as (path, rows):
        with WindowWriter(path, store.settings, store.metadata(shard)) as writer:
            for part in parts:
                for table in store.windows_of_part(shard, part):
                    writer.copy(table)
        rows.append(row)
    store.remove_parts(shard.index)
    return row


def _row(shard: Shard, found: list[dict[str, Any]], store: Store) -> FileRow:
    total = {name: sum(one[name] for one in found) for name in ("n_frames", "n_windows", "clipped", "silent", "wall_s")}
    first = found[0]
    n_samples = total["n_frames"] * first["channels"]
    row = replace(
        unread(shard.items[0], shard.first, store.settings),
        sha256=first["sha256"],
        warnings=found[-1]["warnings"],
        duration_s=total["n_frames"] / first["sample_rate"],
        sample_rate=first["sample_rate"],
        channels=first["channels"],
        n_windows=total["n_windows"],
        peak=max(one["peak"] for one in found),
        clipped=total["clipped"] / n_samples,
        silent=total["silent"] / n_samples,
        done_at=datetime.now(UTC),
        wall_s=total["wall_s"],
    )
    if first["recorded"] is None:
        return row
    begin, utc_offset_min, origin = first["recorded"]
    return replace(row, recorded_at=datetime.fromisoformat(begin), utc_offset_min=utc_offset_min, recorded_from=origin)

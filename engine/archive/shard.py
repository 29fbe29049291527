"""One shard: read its recordings once, write what was found. The same function runs here, there and again."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.archive.meter import Meter
from engine.archive.recorded import recorded_at
from engine.archive.tables import FileRow, WindowWriter
from engine.audio import AudioReader, open_recording
from engine.errors import ArchiveError, AudioError, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.archive.items import Item, Opener
    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings
    from engine.archive.store import Store
    from engine.model import Cancel, Model


def run_shard(
    model: Model,
    shard: Shard,
    store: Store,
    *,
    opener: Opener,
    retry: bool,
    excluded: Mapping[int, str],
    begun: Callable[[int], object],
    done: Callable[[float, bool], object],
    cancel: Cancel,
) -> None:
    """Write the tables of a shard, whole or not at all.

    A recording that cannot be used is a row that says why; one that is damaged further on keeps the windows before
    that. What a shard gives is a function of its recordings and the settings alone.

    Parameters
    ----------
    model : Model
    shard : Shard
    store : Store
    opener : Opener
        Kept from shard to shard, so that a container is opened once.
    retry : bool
        The shard is done: read only the recordings that failed, and keep the rows of the others.
    excluded : Mapping from file_id to str
        Recordings that are not to be touched, and what to say of them.
    begun : callable
        Called with each ``file_id`` before.
    done : callable
        Called after each recording with the seconds that were read of it, and whether it failed.
    cancel : object with ``is_set``

    Raises
    ------
    Cancelled
        Nothing was written.
    ArchiveError
        The tables cannot be written, on a full disc for example.
    """
    kept = store.succeeded(shard) if retry else {}
    with store.replaced(shard) as (path, rows):
        with WindowWriter(path, store.settings, store.metadata(shard)) as writer:
            for file_id, item in enumerate(shard.items, shard.first):
                begun(file_id)
                read_s = None
                if file_id in kept:
                    row = kept[file_id]
                    writer.copy(store.windows_of(shard, file_id))
                elif file_id in excluded:
                    row = replace(
                        _unread(item, file_id), error_stage="worker", error_type="Died", error=excluded[file_id]
                    )
                else:
                    row = _run_item(model, opener, item, file_id, store.settings, writer, cancel)
                    read_s = row.duration_s
                rows.append(row)
                done(read_s or 0.0, row.error is not None)
        if cancel.is_set():  # whoever asked for the shard may be gone, and another run at work
            raise Cancelled("cancelled")


def _run_item(  # noqa: PLR0917 - one call, which names nothing twice
    model: Model,
    opener: Opener,
    item: Item,
    file_id: int,
    settings: ArchiveSettings,
    writer: WindowWriter,
    cancel: Cancel,
) -> FileRow:
    began = time.perf_counter()
    row = _unread(item, file_id)
    stage, n_windows, meter = "open", 0, None
    try:
        with opener.open(item) as (source, sha256):
            row = replace(row, sha256=sha256)
            recorded = recorded_at(item.uri, source, settings.time_pattern)
            if recorded is not None:
                row = replace(
                    row,
                    recorded_at=recorded.begin,
                    utc_offset_min=recorded.utc_offset_min,
                    recorded_from=recorded.origin,
                )
            meter = Meter(open_recording(source))
            stage = "tag"
            with AudioReader(meter, settings.sample_rate, settings.channel) as reader:
                for window in model.listen(reader, **settings.options):
                    writer.add(file_id, window, row.recorded_at)
                    n_windows += 1
                    if cancel.is_set():
                        raise Cancelled("cancelled")
    except (Cancelled, ArchiveError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever one recording does, the others go on
        stage = "decode" if stage == "tag" and isinstance(error, AudioError) else stage
        row = replace(row, error_stage=stage, error_type=type(error).__name__, error=str(error) or repr(error))
    if meter is not None:
        row = replace(row, sample_rate=int(meter.sample_rate), channels=meter.channels)
        if meter.n_frames:
            n_samples = meter.n_frames * meter.channels
            row = replace(
                row,
                duration_s=meter.n_frames / meter.sample_rate,
                peak=meter.peak,
                clipped=meter.clipped / n_samples,
                silent=meter.silent / n_samples,
            )
    return replace(row, n_windows=n_windows, done_at=datetime.now(UTC), wall_s=time.perf_counter() - began)


def _unread(item: Item, file_id: int) -> FileRow:
    uri = item.uri.encode("utf-8", "backslashreplace").decode()
    uri_bytes = item.uri.encode("utf-8", "surrogateescape")
    return FileRow(file_id=file_id, uri=uri, uri_bytes=uri_bytes, done_at=datetime.now(UTC), size=item.size)

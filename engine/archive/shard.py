"""One shard: read its recordings once, write what was found. The same function runs here, there and again."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.archive.durable import replace_path
from engine.archive.meter import Meter
from engine.archive.recorded import recorded_at
from engine.archive.tables import FileRow, WindowWriter, write_files
from engine.audio import AudioReader, open_recording
from engine.errors import AudioError, Cancelled, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from engine.archive.items import Item, Opener
    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings
    from engine.archive.store import Store
    from engine.model import Cancel, Model


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What a shard came to.

    Attributes
    ----------
    index : int
    n_files, n_failed, n_windows : int
    duration_s : float
        Of the audio that was read.
    """

    index: int
    n_files: int
    n_failed: int
    n_windows: int
    duration_s: float


def run_shard(
    model: Model,
    shard: Shard,
    store: Store,
    *,
    opener: Opener,
    excluded: Mapping[int, str],
    begun: Callable[[int], object],
    done: Callable[[FileRow], object],
    cancel: Cancel,
) -> ShardReport:
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
    excluded : Mapping from file_id to str
        Recordings that are not to be touched, and what to say of them.
    begun, done : callable
        Called with each ``file_id`` before, and with its row after.
    cancel : object with ``is_set``

    Raises
    ------
    Cancelled
        Nothing was written.
    ArchiveError
        The tables cannot be written, on a full disc for example.
    """
    metadata = store.metadata(shard)
    rows = []
    with replace_path(store.windows_path(shard.index)) as path:
        with WindowWriter(path, store.settings, metadata) as writer:
            for file_id, item in enumerate(shard.items, shard.first):
                begun(file_id)
                if file_id in excluded:
                    row = replace(
                        _unread(item, file_id), error_stage="worker", error_type="Died", error=excluded[file_id]
                    )
                else:
                    row = _run_item(model, opener, item, file_id, store.settings, writer, cancel)
                rows.append(row)
                done(row)
        # The windows take their name last: they are the sign that the shard is done.
        with replace_path(store.files_path(shard.index)) as files:
            write_files(files, rows, metadata)
    return ShardReport(
        shard.index,
        len(rows),
        sum(row.error is not None for row in rows),
        sum(row.n_windows for row in rows),
        sum(row.duration_s or 0.0 for row in rows),
    )


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
            recorded = recorded_at(item.uri, source)
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
    except (AudioError, ModelError, OSError) as error:
        stage = "decode" if stage == "tag" and isinstance(error, AudioError) else stage
        row = replace(row, error_stage=stage, error_type=type(error).__name__, error=str(error))
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
    return replace(row, n_windows=n_windows, wall_s=time.perf_counter() - began)


def _unread(item: Item, file_id: int) -> FileRow:
    uri = item.uri.encode("utf-8", "backslashreplace").decode()
    return FileRow(file_id=file_id, uri=uri, uri_bytes=item.uri.encode("utf-8", "surrogateescape"), size=item.size)

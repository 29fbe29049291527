"""One shard: read its recordings once, write what was found. The same function runs here, there and again."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine.archive.ahead import in_threads
from engine.archive.batches import Batches
from engine.archive.decoding import Turns, decoded, unread
from engine.archive.tables import WindowWriter
from engine.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from engine.archive.batches import Recording
    from engine.archive.decoding import Decoded
    from engine.archive.items import Opener
    from engine.archive.plan import Shard
    from engine.archive.store import Store
    from engine.archive.tables import FileRow
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
    done: Callable[[int, float, bool], object],
    cancel: Cancel,
    decoders: int = 1,
) -> Callable[[], None]:
    """Compute a shard, and return what gives its tables their names, whole or not at all.

    What is returned waits for the disc or the store, and may do so in another thread while the next shard is computed;
    it raises an ArchiveError where the tables cannot be written. Where it is never called nothing is left of them.

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
        Called after each recording with its ``file_id``, the seconds that were read of it, and whether it failed.
    cancel : object with ``is_set``
    decoders : int
        Threads that decode, and run the front end, ahead of the network; with 1 this thread does it all in turn.

    Raises
    ------
    Cancelled
        Nothing was written.
    ArchiveError
        The tables cannot be written, on a full disc for example.
    DeviceError
        The device has failed, so that it would on every recording.
    """
    kept = store.succeeded(shard) if retry else {}
    turns = Turns()
    to_read = [
        (file_id, item)
        for file_id, item in enumerate(shard.items, shard.first)
        if file_id not in kept and file_id not in excluded
    ]

    def starts() -> Generator[Callable[[], Generator[Decoded, None, FileRow]], None, None]:
        for number, (file_id, item) in enumerate(to_read):
            begun(file_id)
            yield partial(decoded, model, opener, item, file_id, store.settings, turns, number)

    with contextlib.ExitStack() as held:
        path, rows = held.enter_context(store.replaced(shard))

        def finished(row: FileRow) -> None:
            rows.append(row)
            done(row.file_id, (row.duration_s or 0.0) if row.file_id in reading else 0.0, row.error is not None)

        reading = {file_id for file_id, _ in to_read}
        with (
            WindowWriter(path, store.settings, store.metadata(shard)) as writer,
            contextlib.closing(in_threads(starts(), decoders)) as sources,
        ):
            batches = Batches(writer, finished)
            for file_id, item in enumerate(shard.items, shard.first):
                recording = batches.begin(file_id)
                if file_id in kept:
                    batches.run()
                    writer.copy(store.windows_of(shard, file_id))
                    recording.n_windows = kept[file_id].n_windows
                    row = kept[file_id]
                elif file_id in excluded:
                    row = replace(
                        unread(item, file_id, store.settings),
                        error_stage="worker",
                        error_type="Died",
                        error=excluded[file_id],
                    )
                else:
                    row = _run(next(sources), batches, recording, cancel)
                batches.end(recording, row)
            batches.run()
        if cancel.is_set():  # whoever asked for the shard may be gone, and another run at work
            raise Cancelled("cancelled")
        return held.pop_all().close


def _run(source: Generator[Decoded, None, FileRow], batches: Batches, recording: Recording, cancel: Cancel) -> FileRow:
    with contextlib.closing(source):
        while True:
            try:
                window = next(source)
            except StopIteration as end:
                row: FileRow = end.value
                return row
            batches.add(recording, window)
            if cancel.is_set():
                raise Cancelled("cancelled")

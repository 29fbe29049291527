"""What a worker does: shards, one after another, as they come over a connection. It is expendable."""

from __future__ import annotations

import contextlib
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.archive.items import Opener
from engine.archive.parts import join_parts, run_part
from engine.archive.shard import run_shard
from engine.archive.store import Store
from engine.errors import Cancelled, EngineError, ModelError
from engine.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to do, without the recordings that killed workers before: ``file_id`` to what to say of them.

    Where it is to be tried again, the recordings of it that succeeded are kept. ``part`` is the one to do of a shard
    that is split. Where one thing is done at a time (``careful``: no recording is read ahead, no shard while another is
    written), a death shows what it was.
    """

    shard: Shard
    retry: bool
    excluded: Mapping[int, str]
    part: int | None = None
    careful: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """A recording is in work."""

    file_id: int


@dataclass(frozen=True, slots=True)
class ItemDone:
    """A recording is done, with or without success, or only a part of it."""

    file_id: int
    audio_s: float
    failed: bool
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Ready:
    """A shard may come: the model is open, and all that may be left of the shard before is to write it."""


@dataclass(frozen=True, slots=True)
class ShardDone:
    """The shard, or the part of it, is written."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing more comes: the model cannot be opened, or results cannot be written."""

    reason: str


def work(
    connection: Connection, model: Path, device: str, folder: Path | str, settings: ArchiveSettings, decoders: int = 1
) -> None:
    """Do the shards that come over the connection, until it says None or is closed at the other end.

    While a shard is computed, another thread writes the one before: a disc that is to make files last takes its time.
    ``decoders`` threads decode ahead of the network; where that is one, the thread that computes does both.
    """
    say = _Line(connection)
    with _reported(say):
        opened = Model.open(model, device, threads=1)
        if (opened.card.model_sha256, opened.card.card_sha256) != (settings.model_sha256, settings.card_sha256):
            raise ModelError(f"expected the model that the run began with, {model} has changed; put it back")
        store = Store(folder, settings)
        say(Ready())
        with Opener() as opener, ThreadPoolExecutor(1, "engine-archive-write") as writing:
            written: Future[None] = Future()
            written.set_result(None)
            while (task := say.heard()) is not None:
                if task.careful:
                    written.result()
                finish = _computed(opened, opener, task, store, say, decoders)
                written.result()
                written = writing.submit(_write, finish, say)
                if task.careful:
                    written.result()
                say(Ready())


class _Line:
    """The connection to the run, for messages of several threads; Cancelled says that its other end is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, message: object) -> None:
        with self._lock:
            try:
                self._connection.send(message)
            except OSError as error:
                raise Cancelled("the run has ended") from error

    def heard(self) -> Task | None:
        """Wait for what the run says: a task, or that there is none."""
        try:
            task: Task | None = self._connection.recv()
        except (EOFError, OSError) as error:
            raise Cancelled("the run has ended") from error
        return task

    def is_set(self) -> bool:
        """Return whether the run has said something; while a shard is computed it only ever says to stop."""
        return self._connection.poll()


@contextlib.contextmanager
def _reported(say: _Line) -> Iterator[None]:
    """Tell the run what ended the work of a thread."""
    try:
        yield
    except Cancelled:
        return  # the run has ended, with or without a word
    except Exception as error:  # noqa: BLE001  (whatever it is, the run must hear of it rather than start another worker)
        reason = str(error)
        if not isinstance(error, EngineError | OSError):
            reason = f"expected a shard to be done, a worker failed:\n{traceback.format_exc()}"
        with contextlib.suppress(Cancelled):
            say(Stopped(reason))


def _write(finish: Callable[[], None], say: _Line) -> None:
    with _reported(say):
        finish()
        say(ShardDone())


def _computed(model: Model, opener: Opener, task: Task, store: Store, say: _Line, decoders: int) -> Callable[[], None]:
    """Do a task but for the writing of what it gives, and return that."""
    shard = task.shard
    if task.part is not None:
        if shard.first not in task.excluded:
            say(Begun(shard.first))
            audio_s = run_part(model, shard, task.part, store, opener=opener, cancel=say)
            say(ItemDone(shard.first, audio_s, failed=False, whole=False))
        return lambda: None
    if shard.split is not None and shard.first not in task.excluded and (row := join_parts(shard, store)) is not None:
        say(ItemDone(row.file_id, 0.0, failed=False))
        return lambda: None
    finish = run_shard(
        model,
        shard,
        store,
        opener=opener,
        retry=task.retry,
        excluded=task.excluded,
        begun=lambda file_id: say(Begun(file_id)),
        done=lambda file_id, audio_s, failed: say(ItemDone(file_id, audio_s, failed)),
        cancel=say,
        decoders=1 if task.careful else decoders,
    )

    def finish_whole() -> None:
        finish()
        store.remove_parts(shard.index)

    return finish_whole

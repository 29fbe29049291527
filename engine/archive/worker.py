"""What a worker does: shards, one after another, as they come over a connection. It is expendable."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.archive.items import Opener
from engine.archive.parts import join_parts, run_part
from engine.archive.shard import run_shard
from engine.archive.store import Store
from engine.errors import Cancelled, EngineError, ModelError
from engine.model import Model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to do, without the recordings that killed workers before: ``file_id`` to what to say of them.

    Where it is to be tried again, the recordings of it that succeeded are kept. ``part`` is the one to do of a shard
    that is split. Where one recording is read at a time (``careful``), a death shows which one it was.
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
    """The model is open."""


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

    ``decoders`` threads decode ahead of the network; where that is one, this thread does both.
    """
    try:
        opened = Model.open(model, device, threads=1)
        if (opened.card.model_sha256, opened.card.card_sha256) != (settings.model_sha256, settings.card_sha256):
            raise ModelError(f"expected the model that the run began with, {model} has changed; put it back")
        store = Store(folder, settings)
        connection.send(Ready())
        with Opener() as opener:
            while (task := connection.recv()) is not None:
                _do(opened, opener, task, store, connection, decoders)
                connection.send(ShardDone())
    except (EOFError, BrokenPipeError, ConnectionResetError, Cancelled):
        return  # the run has ended, with or without a word
    except (EngineError, OSError) as error:
        _say(connection, Stopped(str(error)))
    except Exception:  # noqa: BLE001  (whatever it is, the run must hear of it rather than start another worker)
        _say(connection, Stopped(f"expected a shard to be done, a worker failed:\n{traceback.format_exc()}"))


def _do(model: Model, opener: Opener, task: Task, store: Store, connection: Connection, decoders: int) -> None:
    def begun(file_id: int) -> None:
        connection.send(Begun(file_id))

    cancel = _HungUp(connection)
    shard = task.shard
    if task.part is not None:
        if shard.first not in task.excluded:
            begun(shard.first)
            audio_s = run_part(model, shard, task.part, store, opener=opener, cancel=cancel)
            connection.send(ItemDone(shard.first, audio_s, failed=False, whole=False))
        return
    if shard.split is not None and shard.first not in task.excluded and (row := join_parts(shard, store)) is not None:
        connection.send(ItemDone(row.file_id, 0.0, failed=False))
        return
    run_shard(
        model,
        shard,
        store,
        opener=opener,
        retry=task.retry,
        excluded=task.excluded,
        begun=begun,
        done=lambda file_id, audio_s, failed: connection.send(ItemDone(file_id, audio_s, failed)),
        cancel=cancel,
        decoders=1 if task.careful else decoders,
    )
    store.remove_parts(shard.index)


class _HungUp:
    """Set when the run says something while a shard is in work: it only ever says to stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_set(self) -> bool:
        return self._connection.poll()


def _say(connection: Connection, message: Any) -> None:
    try:
        connection.send(message)
    except OSError:
        return

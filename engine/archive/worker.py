"""What a worker does: shards, one after another, as they come over a connection. It is expendable."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.archive.items import Opener
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

    Where it is to be tried again, the recordings of it that succeeded are kept.
    """

    shard: Shard
    retry: bool
    excluded: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Begun:
    """A recording is in work."""

    file_id: int


@dataclass(frozen=True, slots=True)
class ItemDone:
    """A recording is done, with or without success."""

    audio_s: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is open."""


@dataclass(frozen=True, slots=True)
class ShardDone:
    """The shard is written."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing more comes: the model cannot be opened, or results cannot be written."""

    reason: str


def work(connection: Connection, model: Path, device: str, folder: Path, settings: ArchiveSettings) -> None:
    """Do the shards that come over the connection, until it says None or is closed at the other end."""
    try:
        opened = Model.open(model, device, threads=1)
        if (opened.card.model_sha256, opened.card.card_sha256) != (settings.model_sha256, settings.card_sha256):
            raise ModelError(f"expected the model that the run began with, {model} has changed; put it back")
        store = Store(folder, settings)
        connection.send(Ready())
        with Opener() as opener:
            while (task := connection.recv()) is not None:
                _do(opened, opener, task, store, connection)
                connection.send(ShardDone())
    except (EOFError, BrokenPipeError, ConnectionResetError, Cancelled):
        return  # the run has ended, with or without a word
    except (EngineError, OSError) as error:
        _say(connection, Stopped(str(error)))
    except Exception:  # noqa: BLE001  (whatever it is, the run must hear of it rather than start another worker)
        _say(connection, Stopped(f"expected a shard to be done, a worker failed:\n{traceback.format_exc()}"))


def _do(model: Model, opener: Opener, task: Task, store: Store, connection: Connection) -> None:
    run_shard(
        model,
        task.shard,
        store,
        opener=opener,
        retry=task.retry,
        excluded=task.excluded,
        begun=lambda file_id: connection.send(Begun(file_id)),
        done=lambda audio_s, failed: connection.send(ItemDone(audio_s, failed)),
        cancel=_HungUp(connection),
    )


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

"""The part of a run that never touches a recording: it hands out shards, and outlives the workers that do."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.archive.worker import Begun, ItemDone, Ready, ShardDone, Stopped, Task, work
from engine.errors import ArchiveError, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from engine.archive.plan import Plan, Shard
    from engine.archive.store import Store
    from engine.model import Cancel

# So often may a worker die over one recording before that recording is left out.
DEATHS_ALLOWED = 2
# So often may workers die without a recording done in between: then it is not the recordings.
DEATHS_IN_A_ROW = 8
TICK_S = 0.25
# What a worker gets to finish a window when it is told to stop.
GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    n_done, n_items : int
        Recordings that are done, by this run or before, and all of the archive.
    n_failed : int
        Of those that this run did.
    audio_s : float
        Sound that this run has read, in seconds.
    elapsed_s : float
    eta_s : float or None
        What is left at the pace so far; None before there is one.
    """

    n_done: int
    n_items: int
    n_failed: int
    audio_s: float
    elapsed_s: float
    eta_s: float | None


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None
    # The recording in work, and what of the shard is done, which a death undoes.
    file_id: int | None = None
    n_done: int = 0
    n_failed: int = 0
    audio_s: float = 0.0


@dataclass(eq=False)
class Supervisor:
    """Runs shards in worker processes; a worker that dies is replaced, and its shard done again.

    Parameters
    ----------
    store : Store
    plan : Plan
    device : str
    workers : int
    """

    store: Store
    plan: Plan
    device: str
    workers: int
    audio_s: float = 0.0
    _n_run: int = 0
    _n_failed: int = 0
    _deaths: Counter[int] = field(default_factory=Counter)
    _excluded: dict[int, str] = field(default_factory=dict)
    _deaths_in_a_row: int = 0
    _team: list[_Worker] = field(default_factory=list)

    def run(
        self,
        shards: Iterable[Shard],
        progress: Callable[[Progress], object] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Do the shards.

        Raises
        ------
        ArchiveError
            Workers cannot open the model, cannot write, or die whatever they do.
        Cancelled
        """
        waiting = deque(shards)
        n_before = self.plan.n_items - sum(len(shard.items) for shard in waiting)
        n_pending = self.plan.n_items - n_before
        began = time.perf_counter()
        try:
            while waiting or any(worker.task for worker in self._team):
                if cancel is not None and cancel.is_set():
                    raise Cancelled("cancelled; finished shards are kept, run again with --resume to go on")
                while len(self._team) < min(self.workers, len(waiting) + len(self._busy())):
                    self._start()
                for worker in list(self._team):
                    self._hear(worker, waiting)
                if progress is not None:
                    progress(self._progress(n_before, n_pending, time.perf_counter() - began))
                handles = [handle for worker in self._team for handle in (worker.connection, worker.process.sentinel)]
                multiprocessing.connection.wait(handles, TICK_S)
        finally:
            self._dismiss()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._team if worker.task]

    def _start(self) -> None:
        # A new interpreter, not a fork: neither onnxruntime nor CUDA survive one, and nothing is inherited by accident.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=work,
            args=(theirs, self.plan.model, self.device, self.store.folder, self.store.settings),
            name="engine-archive",
            daemon=True,
        )
        process.start()
        # With our copy closed, the connection ends when the worker does.
        theirs.close()
        self._team.append(_Worker(process, ours))

    def _hear(self, worker: _Worker, waiting: deque[Shard]) -> None:
        """Take what a worker has said, and give it a shard if it has none."""
        try:
            while worker.connection.poll():
                self._take(worker, worker.connection.recv(), waiting)
        except (EOFError, OSError):
            self._bury(worker, waiting)

    def _take(self, worker: _Worker, message: object, waiting: deque[Shard]) -> None:
        match message:
            case Begun(file_id):
                worker.file_id = file_id
            case ItemDone(audio_s, failed):
                self._deaths_in_a_row = 0
                worker.n_done, worker.n_failed = worker.n_done + 1, worker.n_failed + failed
                worker.audio_s += audio_s
            case Stopped(reason):
                raise ArchiveError(reason)
            case Ready() | ShardDone():
                self._n_run, self._n_failed = self._n_run + worker.n_done, self._n_failed + worker.n_failed
                self.audio_s += worker.audio_s
                worker.task, worker.n_done, worker.n_failed, worker.audio_s = None, 0, 0, 0.0
                if waiting:
                    worker.task = Task(waiting.popleft(), dict(self._excluded))
                    worker.connection.send(worker.task)

    def _bury(self, worker: _Worker, waiting: deque[Shard]) -> None:
        self._team.remove(worker)
        worker.process.join(GRACE_S)
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= DEATHS_IN_A_ROW:
            raise ArchiveError(
                f"expected workers to live, {DEATHS_IN_A_ROW} died in a row (exit code {worker.process.exitcode}), "
                "whatever they worked on; check the memory, then run again with --resume"
            )
        if worker.task is None:
            return
        waiting.appendleft(worker.task.shard)
        if worker.file_id is not None:
            self._deaths[worker.file_id] += 1
            if self._deaths[worker.file_id] >= DEATHS_ALLOWED:
                self._excluded[worker.file_id] = (
                    f"expected a recording that can be read, {DEATHS_ALLOWED} processes died over it (exit code "
                    f"{worker.process.exitcode}); look at it on its own"
                )

    def _progress(self, n_before: int, n_pending: int, elapsed_s: float) -> Progress:
        n_run = self._n_run + sum(worker.n_done for worker in self._team)
        n_failed = self._n_failed + sum(worker.n_failed for worker in self._team)
        audio_s = self.audio_s + sum(worker.audio_s for worker in self._team)
        eta_s = elapsed_s / n_run * (n_pending - n_run) if n_run else None
        return Progress(n_before + n_run, self.plan.n_items, n_failed, audio_s, elapsed_s, eta_s)

    def _dismiss(self) -> None:
        """End the workers: those that are idle at once, those in work at their next window, the rest by force."""
        for worker in self._team:
            with contextlib.suppress(OSError):
                worker.connection.send(None)
        until = time.monotonic() + GRACE_S
        for worker in self._team:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._team.clear()

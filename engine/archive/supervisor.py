"""The part of a run that never touches a recording: it hands out shards, and outlives the workers that do."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import shlex
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from engine.archive.worker import Begun, ItemDone, Ready, ShardDone, Stopped, Task, work
from engine.errors import ArchiveError, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess
    from pathlib import Path

    from engine.archive.plan import Plan
    from engine.archive.store import Store
    from engine.model import Cancel

# When workers have died over a recording so often, it is left out.
DEATHS_ALLOWED = 3
# When so many recordings have killed their workers, for each worker and with none done in between, it is not them.
KILLERS_IN_A_ROW = 5
# When so many workers have died before they had the model open, none will get there.
STILLBORN_ALLOWED = 3
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
    ready: bool = False
    task: Task | None = None
    # The recording in work, and what of the shard is done, which a death undoes.
    file_id: int | None = None
    n_done: int = 0
    n_failed: int = 0
    audio_s: float = 0.0


class Supervisor:
    """Runs shards in worker processes; a worker that dies is replaced, and its shard done again.

    Parameters
    ----------
    store : Store
    plan : Plan
    model : Path
    device : str
    workers : int

    Attributes
    ----------
    done : set of int
        Shards that are done.
    audio_s : float
        Sound that was read for them, in seconds.
    """

    def __init__(self, store: Store, plan: Plan, model: Path, device: str, workers: int) -> None:
        self.done: set[int] = set()
        self.audio_s = 0.0
        self._store = store
        self._plan = plan
        self._model = model
        self._device = device
        self._workers = workers
        self._n_run = 0
        self._n_failed = 0
        self._deaths: Counter[int] = Counter()
        self._excluded: dict[int, str] = {}
        self._deaths_in_a_row = 0
        self._stillborn = 0
        self._team: list[_Worker] = []

    def run(
        self,
        pending: Mapping[int, bool],
        progress: Callable[[Progress], object] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        """Do shards.

        Parameters
        ----------
        pending : Mapping from int to bool
            Their numbers, and whether only what failed in them is to be done.
        progress, cancel
            As for ``engine.archive.run``.

        Raises
        ------
        ArchiveError
            Workers cannot open the model, cannot write, or die whatever they do.
        Cancelled
        """
        waiting = deque(pending.items())
        n_pending = sum(self._plan.sizes[index] for index in pending)
        began = time.perf_counter()
        try:
            while waiting or self._busy():
                if cancel is not None and cancel.is_set():
                    raise Cancelled(
                        "cancelled; what is finished is kept, go on with: engine archive run "
                        f"-o {shlex.quote(str(self._store.folder))} --resume"
                    )
                while len(self._team) < min(self._workers, len(waiting) + len(self._busy())):
                    self._start()
                for worker in list(self._team):
                    self._hear(worker, waiting)
                if progress is not None:
                    progress(self._progress(n_pending, time.perf_counter() - began))
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
            args=(theirs, self._model, self._device, self._store.folder, self._store.settings),
            name="engine-archive",
            daemon=True,
        )
        with _without_interrupts():
            process.start()
        # With our copy closed, the connection ends when the worker does.
        theirs.close()
        self._team.append(_Worker(process, ours))

    def _hear(self, worker: _Worker, waiting: deque[tuple[int, bool]]) -> None:
        """Take what a worker has said, and give it a shard if it has none."""
        try:
            while worker.connection.poll():
                self._take(worker, worker.connection.recv())
            # Also a worker that had nothing left to do: the shard of one that died may have come back.
            if worker.ready and worker.task is None and waiting:
                self._give(worker, waiting)
        except (EOFError, OSError):
            self._bury(worker, waiting)

    def _take(self, worker: _Worker, message: object) -> None:
        match message:
            case Begun(file_id):
                worker.file_id = file_id
            case ItemDone(audio_s, failed):
                if worker.file_id not in self._excluded:
                    self._deaths_in_a_row = 0
                worker.file_id = None
                worker.n_done, worker.n_failed = worker.n_done + 1, worker.n_failed + failed
                worker.audio_s += audio_s
            case Stopped(reason):
                raise ArchiveError(reason)
            case Ready():
                worker.ready = True
                self._stillborn = 0
            case ShardDone():
                if worker.task is not None:
                    self.done.add(worker.task.shard.index)
                self._n_run, self._n_failed = self._n_run + worker.n_done, self._n_failed + worker.n_failed
                self.audio_s += worker.audio_s
                worker.task, worker.n_done, worker.n_failed, worker.audio_s = None, 0, 0, 0.0

    def _give(self, worker: _Worker, waiting: deque[tuple[int, bool]]) -> None:
        index, retry = waiting.popleft()
        worker.task = Task(self._plan[index], retry, dict(self._excluded))
        worker.connection.send(worker.task)

    def _bury(self, worker: _Worker, waiting: deque[tuple[int, bool]]) -> None:
        self._team.remove(worker)
        worker.connection.close()
        worker.process.join(GRACE_S)
        code = worker.process.exitcode
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= STILLBORN_ALLOWED:
                raise ArchiveError(
                    f"expected workers to start, {STILLBORN_ALLOWED} ended before that (exit code {code}); check the "
                    'memory, and put the run of a script of your own under if __name__ == "__main__":'
                )
        if worker.task is None:
            return
        waiting.appendleft((worker.task.shard.index, worker.task.retry))
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= DEATHS_ALLOWED * KILLERS_IN_A_ROW * self._workers:
            raise ArchiveError(
                f"expected workers to live, {self._deaths_in_a_row} died in a row (exit code {code}), whatever they "
                "worked on; check the memory, then run again with --resume"
            )
        if worker.file_id is not None:
            self._deaths[worker.file_id] += 1
            if self._deaths[worker.file_id] >= DEATHS_ALLOWED:
                self._excluded[worker.file_id] = (
                    f"expected a recording that can be read, {DEATHS_ALLOWED} processes died over it (exit code "
                    f"{code}); look at it on its own"
                )

    def _progress(self, n_pending: int, elapsed_s: float) -> Progress:
        n_run = self._n_run + sum(worker.n_done for worker in self._team)
        n_failed = self._n_failed + sum(worker.n_failed for worker in self._team)
        audio_s = self.audio_s + sum(worker.audio_s for worker in self._team)
        eta_s = elapsed_s / n_run * (n_pending - n_run) if n_run else None
        n_items = self._plan.n_items
        return Progress(n_items - n_pending + n_run, n_items, n_failed, audio_s, elapsed_s, eta_s)

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


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that are started here never see Ctrl-C, which reaches all of a terminal: the run decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Starting the tracker of multiprocessing would let the signal through again.
    resource_tracker.ensure_running()
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)

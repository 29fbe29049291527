"""The part of a run that never touches a recording: it hands out shards, and outlives the workers that do."""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import shlex
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.archive.worker import Begun, ItemDone, Ready, ShardDone, Stopped, Task
from engine.errors import ArchiveError, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection

    from engine.archive.plan import Plan
    from engine.archive.store import Store
    from engine.model import Cancel

# When workers have died over a recording so often, it is left out.
DEATHS_ALLOWED = 3
# When workers have died over a shard so often with none of its recordings in work, it cannot be written.
SHARD_DEATHS_ALLOWED = 10
# When so many recordings have killed their workers, for each worker and with none done in between, it is not them.
KILLERS_IN_A_ROW = 5
# When so many workers have died before they had the model open, for each that is wanted, none will get there.
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


class Worker(Protocol):
    """One that does shards, wherever it is."""

    @property
    def connection(self) -> Connection | None:
        """The way to it, over which ``engine.archive.worker.work`` talks; None while it is not there yet."""

    @property
    def handles(self) -> list[Any]:
        """What ``multiprocessing.connection.wait`` is to wait for."""

    def is_alive(self) -> bool:
        """Return whether it has not ended."""

    def join(self, timeout_s: float) -> None:
        """Wait for its end, but no longer than this."""

    def kill(self) -> None:
        """End it by force."""

    def cause(self) -> str:
        """Return why it ended, once its connection has."""


class Crew(Protocol):
    """Where workers come from."""

    def hire(self) -> Worker:
        """Get another one."""


class _Unit(NamedTuple):
    """What a worker is given at once: a shard, or a part of one; ``retry`` is only what failed in it."""

    shard: int
    retry: bool
    part: int | None = None


@dataclass(eq=False)
class _Work:
    """A task that a worker has: the recordings in work, and what is done of it, which a death undoes."""

    task: Task
    reading: set[int] = field(default_factory=set)
    n_done: int = 0
    n_failed: int = 0
    audio_s: float = 0.0


@dataclass(eq=False)
class _Member:
    """A worker, and its tasks: of two the first is only to be written; ``hungry`` is one that may be given another."""

    worker: Worker
    ready: bool = False
    hungry: bool = False
    works: deque[_Work] = field(default_factory=deque)


class Supervisor:
    """Has shards done by workers; one that dies is replaced, and its shard done again.

    Parameters
    ----------
    store : Store
    plan : Plan
    crew : Crew
    workers : int
        How many of it.

    Attributes
    ----------
    done : set of int
        Shards that are done.
    audio_s : float
        Sound that was read for them, in seconds.
    """

    def __init__(self, store: Store, plan: Plan, crew: Crew, workers: int) -> None:
        self.done: set[int] = set()
        self.audio_s = 0.0
        self._store = store
        self._plan = plan
        self._crew = crew
        self._workers = workers
        self._n_run = 0
        self._n_failed = 0
        self._deaths: Counter[int] = Counter()
        self._shard_deaths: Counter[int] = Counter()
        self._excluded: dict[int, str] = {}
        self._deaths_in_a_row = 0
        self._stillborn = 0
        self._team: list[_Member] = []
        # Shards over which a worker died that was reading several recordings, and parts that are not done.
        self._careful: set[int] = set()
        self._parts: dict[int, set[int]] = {}

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
        waiting = deque(self._units(pending))
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
                    self._team.append(_Member(self._crew.hire()))
                for member in list(self._team):
                    self._hear(member, waiting)
                if progress is not None:
                    progress(self._progress(n_pending, time.perf_counter() - began))
                handles = [handle for member in self._team for handle in member.worker.handles]
                if handles:
                    multiprocessing.connection.wait(handles, TICK_S)
                else:
                    time.sleep(TICK_S)
        finally:
            self._dismiss()

    def _units(self, pending: Mapping[int, bool]) -> Iterator[_Unit]:
        """Give what is to be done, the heaviest shards first: those that are left at the end are done together."""
        for index in sorted(pending, key=lambda index: -self._plan.weights[index]):
            retry = pending[index]
            n_parts = self._plan.parts.get(index, 0)
            if retry or not n_parts:
                yield _Unit(index, retry)
                continue
            self._parts[index] = set(range(n_parts))
            for part in range(n_parts):
                yield _Unit(index, retry, part)

    def _busy(self) -> list[_Member]:
        return [member for member in self._team if member.works]

    def _hear(self, member: _Member, waiting: deque[_Unit]) -> None:
        """Take what a worker has said, and give it a shard if it can do one."""
        connection = member.worker.connection
        if connection is None:
            if not member.worker.is_alive():
                self._bury(member, waiting)
            return
        try:
            while connection.poll():
                self._take(member, connection.recv(), waiting)
            # Also a worker that had nothing left to do: the shard of one that died may have come back.
            if member.hungry and waiting:
                self._give(member, connection, waiting)
        except (EOFError, OSError):
            self._bury(member, waiting)

    def _take(self, member: _Member, message: object, waiting: deque[_Unit]) -> None:
        match message:
            case Begun(file_id):
                member.works[-1].reading.add(file_id)
            case ItemDone(file_id, audio_s, failed, whole):
                if file_id not in self._excluded:
                    self._deaths_in_a_row = 0
                work = member.works[-1]
                work.reading.discard(file_id)
                work.n_done, work.n_failed = work.n_done + whole, work.n_failed + failed
                work.audio_s += audio_s
            case Stopped(reason):
                raise ArchiveError(reason)
            case Ready():
                member.ready = member.hungry = True
                self._stillborn = 0
            case ShardDone():
                work = member.works.popleft()
                self._tick_off(work.task, waiting)
                self._n_run, self._n_failed = self._n_run + work.n_done, self._n_failed + work.n_failed
                self.audio_s += work.audio_s

    def _tick_off(self, task: Task, waiting: deque[_Unit]) -> None:
        """Note what is done; when the last part of a shard is, the shard itself comes next."""
        index = task.shard.index
        if task.part is None:
            self.done.add(index)
            return
        self._parts[index].discard(task.part)
        if not self._parts[index]:
            waiting.appendleft(_Unit(index, retry=False))

    def _give(self, member: _Member, connection: Connection, waiting: deque[_Unit]) -> None:
        index, retry, part = waiting.popleft()
        task = Task(self._plan[index], retry, dict(self._excluded), part, index in self._careful)
        member.works.append(_Work(task))
        member.hungry = False
        connection.send(task)

    def _bury(self, member: _Member, waiting: deque[_Unit]) -> None:
        self._team.remove(member)
        if member.worker.connection is not None:
            member.worker.connection.close()
        cause = member.worker.cause()
        if not member.ready:
            self._stillborn += 1
            if self._stillborn >= STILLBORN_ALLOWED * self._workers:
                raise ArchiveError(
                    f"expected workers to start, {self._stillborn} ended before that ({cause}); check the "
                    'memory, and put the run of a script of your own under if __name__ == "__main__":'
                )
        if not member.works:
            return
        for work in reversed(member.works):
            waiting.appendleft(_Unit(work.task.shard.index, work.task.retry, work.task.part))
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= DEATHS_ALLOWED * KILLERS_IN_A_ROW * self._workers:
            raise ArchiveError(
                f"expected workers to live, {self._deaths_in_a_row} died in a row ({cause}), whatever they "
                "worked on; check the memory, then run again with --resume"
            )
        suspects = [file_id for work in member.works for file_id in work.reading]
        if len(member.works) > 1 or len(suspects) > 1:
            self._careful.update(work.task.shard.index for work in member.works)
        if len(member.works) > 1:
            return  # done one after the other, they show which it was
        if len(suspects) == 1:
            self._blame_recording(suspects[0], cause)
        else:
            self._blame_shard(member.works[0].task.shard.index, cause)

    def _blame_shard(self, index: int, cause: str) -> None:
        self._shard_deaths[index] += 1
        if self._shard_deaths[index] >= SHARD_DEATHS_ALLOWED:
            raise ArchiveError(
                f"expected shard {index} to be written, {SHARD_DEATHS_ALLOWED} workers died over "
                f"it ({cause}), whatever recording they were at; check the memory, then run again with --resume"
            )

    def _blame_recording(self, file_id: int, cause: str) -> None:
        self._deaths[file_id] += 1
        if self._deaths[file_id] >= DEATHS_ALLOWED:
            self._excluded[file_id] = (
                f"expected a recording that can be read, {DEATHS_ALLOWED} workers died over it ({cause}); "
                "look at it on its own"
            )

    def _progress(self, n_pending: int, elapsed_s: float) -> Progress:
        works = [work for member in self._team for work in member.works]
        n_run = self._n_run + sum(work.n_done for work in works)
        n_failed = self._n_failed + sum(work.n_failed for work in works)
        audio_s = self.audio_s + sum(work.audio_s for work in works)
        eta_s = elapsed_s / n_run * (n_pending - n_run) if n_run else None
        n_items = self._plan.n_items
        return Progress(n_items - n_pending + n_run, n_items, n_failed, audio_s, elapsed_s, eta_s)

    def _dismiss(self) -> None:
        """End the workers: those that are idle at once, those in work at their next window, the rest by force."""
        there = []
        for worker in (member.worker for member in self._team):
            if (connection := worker.connection) is None:
                worker.kill()
                continue
            there.append((worker, connection))
            with contextlib.suppress(OSError):
                connection.send(None)
        until = time.monotonic() + GRACE_S
        for worker, connection in there:
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                worker.kill()
            connection.close()
        self._team.clear()

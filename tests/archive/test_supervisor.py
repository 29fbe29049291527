"""What becomes of shards when workers work, die and go silent; the workers are threads that act a script."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import threading
import time

import pytest

from engine.archive import supervisor as module
from engine.archive.items import Item
from engine.archive.place import Folder
from engine.archive.plan import TYPICAL_BYTES, Shard, make_shards, write_plan
from engine.archive.split import Split
from engine.archive.store import Store
from engine.archive.supervisor import (
    DEATHS_ALLOWED,
    KILLERS_IN_A_ROW,
    SHARD_DEATHS_ALLOWED,
    STILLBORN_ALLOWED,
    Supervisor,
)
from engine.archive.worker import Begun, ItemDone, Ready, ShardDone, Stopped
from engine.errors import ArchiveError, Cancelled


class Actor:
    """A thread in the place of a process: it dies over some recordings, and ends when the connection does."""

    def __init__(self, stage):
        self.stage = stage
        sentinel, self._ended = multiprocessing.Pipe(duplex=False)
        self.connection, theirs = multiprocessing.Pipe()
        self.handles = [self.connection, sentinel]
        self._thread = threading.Thread(target=self._play, args=(theirs,), daemon=True)
        self._thread.start()

    def _play(self, connection):
        try:
            self.stage.script(self.stage, connection)
        except (EOFError, OSError):
            pass
        finally:
            connection.close()
            self._ended.close()

    def join(self, timeout_s):
        self._thread.join(timeout_s)

    def cause(self):
        return "exit code -9"

    def is_alive(self):
        return self._thread.is_alive()

    def kill(self):
        self.stage.killed += 1
        self.stage.released.set()


class Stage:
    def __init__(self, script, killers=(), slow=()):
        self.script, self.killers, self.slow = script, set(killers), set(slow)
        self.starts = self.killed = 0
        self.tasks, self.excluded = [], {}
        self.released = threading.Event()

    def hire(self):
        self.starts += 1
        return Actor(self)


def diligent(stage, connection):
    connection.send(Ready())
    while (task := connection.recv()) is not None:
        stage.tasks.append((task.shard.index, task.retry))
        for file_id in range(task.shard.first, task.shard.first + len(task.shard.items)):
            connection.send(Begun(file_id))
            if file_id in task.excluded:
                stage.excluded[file_id] = task.excluded[file_id]
            elif file_id in stage.killers:
                return
            connection.send(ItemDone(file_id, 10.0, file_id in task.excluded))
        connection.send(ShardDone())
        connection.send(Ready())


def supervised(tmp_path, settings, stage, monkeypatch, *, n_shards=4, per_shard=3, workers=2):
    items = [Item(f"{i}.wav", 1) for i in range(n_shards * per_shard)]
    plan = write_plan(Folder(tmp_path), settings, "tiny", make_shards(items, max_items=per_shard))
    monkeypatch.setattr(module, "TICK_S", 0.01)
    return Supervisor(Store(tmp_path, settings), plan, stage, workers)


def test_every_shard_is_done_once_by_no_more_workers_than_needed(tmp_path, settings, monkeypatch):
    stage = Stage(diligent)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, n_shards=3, workers=8)
    seen = []
    supervisor.run({0: False, 2: True}, seen.append)
    assert sorted(stage.tasks) == [(0, False), (2, True)]
    assert supervisor.done == {0, 2}
    assert stage.starts == 2
    assert supervisor.audio_s == 60
    last = seen[-1]
    assert all(a.n_done <= b.n_done for a, b in itertools.pairwise(seen))
    assert seen[0].n_done >= 3
    assert (last.n_items, last.n_failed) == (9, 0)
    assert last.eta_s is None or last.eta_s >= 0


def test_the_heaviest_shards_come_first_and_those_of_a_container_in_their_order(tmp_path, settings, monkeypatch):
    names = ["light.wav", "heavy.wav", "zip://a.wav::all.zip", "unknown.wav", "zip://b.wav::all.zip"]
    sizes = [10, 1 << 30, 10, None, 1 << 30]
    items = [Item(name, size) for name, size in zip(names, sizes, strict=True)]
    plan = write_plan(Folder(tmp_path), settings, "tiny", make_shards(items, max_items=1))
    assert plan.weights == (10, 1 << 30, math.inf, TYPICAL_BYTES, math.inf)
    monkeypatch.setattr(module, "TICK_S", 0.01)
    stage = Stage(diligent)
    Supervisor(Store(tmp_path, settings), plan, stage, 1).run({0: False, 1: False, 2: True, 3: False, 4: False})
    assert stage.tasks == [(2, True), (4, False), (1, False), (3, False), (0, False)]


def test_a_recording_that_kills_is_left_out_and_the_rest_is_done(tmp_path, settings, monkeypatch):
    stage = Stage(diligent, killers={0, 4, 5})
    supervisor = supervised(tmp_path, settings, stage, monkeypatch)
    supervisor.run(dict.fromkeys(range(4), False))
    assert supervisor.done == {0, 1, 2, 3}
    assert set(stage.excluded) == {0, 4, 5}
    assert stage.excluded[4] == (
        f"expected a recording that can be read, {DEATHS_ALLOWED} workers died over it (exit code -9); look at it on "
        "its own"
    )
    # What the killed ones had done of their shards was undone with them.
    assert supervisor.audio_s == 12 * 10
    assert 3 * DEATHS_ALLOWED < stage.starts <= 2 + 3 * DEATHS_ALLOWED


def test_the_shard_of_a_worker_that_died_goes_to_one_that_had_nothing_left(tmp_path, settings, monkeypatch):
    idle, died = threading.Event(), threading.Event()

    def dies_when_the_other_is_idle(stage, connection):
        connection.send(Ready())
        while (task := connection.recv()) is not None:
            stage.tasks.append((task.shard.index, task.retry))
            if task.shard.index == 0 and not died.is_set():
                died.set()
                idle.wait(10)
                time.sleep(0.1)
                return
            connection.send(ShardDone())
            connection.send(Ready())
            idle.set()

    stage = Stage(dies_when_the_other_is_idle)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, n_shards=2)
    supervisor.run({0: False, 1: True})
    assert sorted(stage.tasks) == [(0, False), (0, False), (1, True)]
    assert (supervisor.done, stage.starts) == ({0, 1}, 2)


def test_when_all_die_the_run_ends(tmp_path, settings, monkeypatch):
    stage = Stage(diligent, killers=range(1000))
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, n_shards=40, per_shard=2, workers=1)
    n = DEATHS_ALLOWED * KILLERS_IN_A_ROW
    with pytest.raises(ArchiveError, match=rf"expected workers to live, {n} died in a row \(exit code -9\), whatever"):
        supervisor.run(dict.fromkeys(range(40), False))
    assert stage.starts == n


def test_a_shard_that_cannot_be_written_ends_the_run(tmp_path, settings, monkeypatch):
    def dies_while_writing(stage, connection):
        connection.send(Ready())
        task = connection.recv()
        for file_id in range(task.shard.first, task.shard.first + len(task.shard.items)):
            connection.send(Begun(file_id))
            connection.send(ItemDone(file_id, 10.0, False))

    stage = Stage(dies_while_writing)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, n_shards=1)
    with pytest.raises(
        ArchiveError, match=rf"expected shard 0 to be written, {SHARD_DEATHS_ALLOWED} workers died over"
    ):
        supervisor.run({0: False})
    assert stage.starts == SHARD_DEATHS_ALLOWED


def test_where_several_are_read_at_once_a_killer_is_found_one_at_a_time(tmp_path, settings, monkeypatch):
    def reading_two_at_once(stage, connection):
        connection.send(Ready())
        while (task := connection.recv()) is not None:
            ids = range(task.shard.first, task.shard.first + len(task.shard.items))
            stage.tasks.append((task.shard.index, task.careful))
            at_once = 1 if task.careful else 2
            for first in ids[::at_once]:
                some = [file_id for file_id in ids if first <= file_id < first + at_once]
                for file_id in some:
                    if file_id not in task.excluded:
                        connection.send(Begun(file_id))
                if any(file_id in stage.killers and file_id not in task.excluded for file_id in some):
                    return
                for file_id in some:
                    connection.send(ItemDone(file_id, 10.0, file_id in task.excluded))
            connection.send(ShardDone())
            connection.send(Ready())

    stage = Stage(reading_two_at_once, killers={2})
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, n_shards=2, per_shard=4, workers=1)
    supervisor.run(dict.fromkeys(range(2), False))
    assert supervisor.done == {0, 1}
    # Only the one that kills is left out.
    assert set(supervisor._excluded) == {2}
    assert stage.tasks == [(0, False), *[(0, True)] * (DEATHS_ALLOWED + 1), (1, False)]


@pytest.mark.parametrize("guilty", ["writing shard 0", "recording 2"])
def test_where_a_shard_was_written_meanwhile_the_killer_is_found_one_at_a_time(tmp_path, settings, monkeypatch, guilty):
    def writing_while_reading(stage, connection):
        connection.send(Ready())
        unwritten = None
        while (task := connection.recv()) is not None:
            stage.tasks.append((task.shard.index, task.careful))
            for file_id in range(task.shard.first, task.shard.first + len(task.shard.items)):
                connection.send(Begun(file_id))
                if file_id == 2 and file_id not in task.excluded and guilty == "recording 2":
                    return
                if unwritten == 0 and guilty == "writing shard 0":
                    return
                connection.send(ItemDone(file_id, 10.0, file_id in task.excluded))
            if unwritten is not None:
                connection.send(ShardDone())
            unwritten = task.shard.index
            if task.careful:
                if unwritten == 0 and guilty == "writing shard 0" and len(stage.tasks) < 8:
                    return
                connection.send(ShardDone())
                unwritten = None
            connection.send(Ready())
            if unwritten is not None and not connection.poll(0.2):
                connection.send(ShardDone())
                unwritten = None

    stage = Stage(writing_while_reading)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, n_shards=3, per_shard=2, workers=1)
    supervisor.run(dict.fromkeys(range(3), False))
    assert supervisor.done == {0, 1, 2}
    assert supervisor.audio_s == 60
    # The first death does not say which it was, the next ones do.
    assert stage.tasks[:3] == [(0, False), (1, False), (0, True)]
    if guilty == "recording 2":
        assert stage.tasks[3:] == [(1, True)] * (DEATHS_ALLOWED + 1) + [(2, False)]
        assert set(supervisor._excluded) == {2}
    else:
        assert stage.tasks[3:] == [(0, True)] * 5 + [(1, True), (2, False)]
        assert (supervisor._excluded, supervisor._shard_deaths) == ({}, {0: 5})


def test_parts_come_before_their_shard_and_one_that_died_is_done_again(tmp_path, settings, monkeypatch):
    died = []

    def doing_parts(stage, connection):
        connection.send(Ready())
        while (task := connection.recv()) is not None:
            stage.tasks.append((task.shard.index, task.part))
            connection.send(Begun(task.shard.first))
            if task.part == 1 and not died:
                died.append(task.part)
                return
            connection.send(ItemDone(task.shard.first, 5.0, failed=False, whole=task.part is None))
            connection.send(ShardDone())
            connection.send(Ready())

    split = Split(8000, 800_000, 1, 0, (0, 16, 32))
    shards = [Shard(0, 0, (Item("long.wav", 1 << 30),), split), Shard(1, 1, (Item("b.wav", 1),))]
    plan = write_plan(Folder(tmp_path), settings, "tiny", shards)
    assert plan[0] == shards[0]
    monkeypatch.setattr(module, "TICK_S", 0.01)
    stage = Stage(doing_parts)
    supervisor = Supervisor(Store(tmp_path, settings), plan, stage, 1)
    seen = []
    supervisor.run({0: False, 1: False}, seen.append)
    assert stage.tasks == [(0, 0), (0, 1), (0, 1), (0, 2), (0, None), (1, None)]
    assert supervisor.done == {0, 1}
    assert supervisor.audio_s == 25
    assert max(progress.n_done for progress in seen) <= 2


def test_workers_that_never_get_ready(tmp_path, settings, monkeypatch):
    stage = Stage(lambda stage, connection: None)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, workers=1)
    with pytest.raises(ArchiveError, match=rf"{STILLBORN_ALLOWED} ended before that.*if __name__ == \"__main__\":"):
        supervisor.run({0: False})
    assert stage.starts == STILLBORN_ALLOWED


def test_a_worker_that_gives_up_ends_the_run_with_its_reason(tmp_path, settings, monkeypatch):
    stage = Stage(lambda stage, connection: connection.send(Stopped("expected room, got none; make some")))
    supervisor = supervised(tmp_path, settings, stage, monkeypatch)
    with pytest.raises(ArchiveError, match=r"^expected room, got none; make some$"):
        supervisor.run({0: False})


def test_cancelling_tells_the_workers_and_says_how_to_go_on(tmp_path, settings, monkeypatch):
    told = []

    def waiting(stage, connection):
        connection.send(Ready())
        connection.recv()
        cancel.set()
        told.append(connection.recv())

    cancel = threading.Event()
    stage = Stage(waiting)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, workers=1)
    with pytest.raises(Cancelled, match=r"what is finished is kept, go on with: engine archive run -o .* --resume$"):
        supervisor.run({0: False, 1: False}, cancel=cancel)
    assert told == [None]
    assert (supervisor.done, stage.killed) == (set(), 0)


def test_a_worker_that_does_not_listen_is_killed(tmp_path, settings, monkeypatch):
    def deaf(stage, connection):
        connection.send(Ready())
        connection.recv()
        cancel.set()
        stage.released.wait(10)

    cancel = threading.Event()
    stage = Stage(deaf)
    supervisor = supervised(tmp_path, settings, stage, monkeypatch, workers=1)
    monkeypatch.setattr(module, "GRACE_S", 0.05)
    with pytest.raises(Cancelled):
        supervisor.run({0: False}, cancel=cancel)
    assert stage.killed == 1

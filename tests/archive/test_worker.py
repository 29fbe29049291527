"""What a worker says of its shards: one is computed while another is written, and what goes wrong is heard."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading

import pytest

from engine.archive.store import Store
from engine.archive.worker import Begun, ItemDone, Ready, ShardDone, Stopped, Task, work
from engine.errors import ArchiveError
from tests.archive.recordings import shard_of, store_in, windows_in, write_clip

PATIENCE_S = 20.0


class Slow(Store):
    """Writes when it is let."""

    let, asked = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def replaced(self, shard):
        with super().replaced(shard) as given:
            yield given
            self.asked.set()
            assert self.let.wait(PATIENCE_S)


class Failing(Store):
    """Cannot write."""

    @contextlib.contextmanager
    def replaced(self, shard):
        with super().replaced(shard) as given:
            yield given
            raise ArchiveError("expected room, got none; make some")


class Lost(Store):
    """Loses its own connection at the end."""

    @contextlib.contextmanager
    def replaced(self, shard):
        with super().replaced(shard) as given:
            yield given
        raise ConnectionResetError("the store is gone")


@contextlib.contextmanager
def worker(tiny, store, kind, monkeypatch):
    """Give the run's end of a connection to a worker in a thread, which has a store of this kind."""
    monkeypatch.setattr("engine.archive.worker.Store", kind)
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=work, args=(theirs, tiny, "cpu", store.folder, store.settings), daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        with contextlib.suppress(OSError):
            ours.send(None)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def said(connection, until):
    """Return what is said up to a message of a kind."""
    messages = []
    while not messages or not isinstance(messages[-1], until):
        assert connection.poll(PATIENCE_S), messages
        messages.append(connection.recv())
    return messages


@pytest.fixture
def shards(tmp_path):
    clips = [write_clip(tmp_path / f"{n}.wav", 1.0, 300 + n) for n in range(2)]
    return [shard_of(clips[:1]), shard_of(clips[1:], first=1, index=1)]


def test_a_shard_is_computed_while_the_one_before_is_written(tmp_path, tiny, settings, shards, monkeypatch):
    Slow.let.clear()
    Slow.asked.clear()
    store = store_in(tmp_path / "out", settings)
    with worker(tiny, store, Slow, monkeypatch) as connection:
        assert said(connection, Ready) == [Ready()]
        connection.send(Task(shards[0], retry=False, excluded={}))
        assert said(connection, Ready) == [Begun(0), ItemDone(0, 1.0, failed=False), Ready()]
        assert Slow.asked.wait(PATIENCE_S)
        connection.send(Task(shards[1], retry=False, excluded={}))
        assert said(connection, ItemDone) == [Begun(1), ItemDone(1, 1.0, failed=False)]
        # Two are held and no more: nothing is asked for before the first is written.
        assert not connection.poll(0.2)
        assert store.written() == []
        Slow.let.set()
        messages = [message for _ in range(3) for message in said(connection, (ShardDone, Ready))]
        assert sorted(map(repr, messages)) == ["Ready()", "ShardDone()", "ShardDone()"]
        assert messages[0] == ShardDone()
    assert store.written() == [0, 1]
    assert {row["file_id"] for row in windows_in(store.folder)} == {0, 1}


def test_a_careful_worker_does_one_thing_at_a_time(tmp_path, tiny, settings, shards, monkeypatch):
    Slow.let.set()
    store = store_in(tmp_path / "out", settings)
    with worker(tiny, store, Slow, monkeypatch) as connection:
        said(connection, Ready)
        for shard in shards:
            connection.send(Task(shard, retry=False, excluded={}, careful=True))
            assert said(connection, Ready)[-2:] == [ShardDone(), Ready()]


def test_tables_that_cannot_be_written_are_heard_of_with_nothing_left_to_do(
    tmp_path, tiny, settings, shards, monkeypatch
):
    store = store_in(tmp_path / "out", settings)
    with worker(tiny, store, Failing, monkeypatch) as connection:
        said(connection, Ready)
        connection.send(Task(shards[0], retry=False, excluded={}))
        assert said(connection, Stopped)[-1] == Stopped("expected room, got none; make some")
    assert store.written() == []
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_store_that_loses_its_connection_is_not_a_run_that_hung_up(tmp_path, tiny, settings, shards, monkeypatch):
    store = store_in(tmp_path / "out", settings)
    with worker(tiny, store, Lost, monkeypatch) as connection:
        said(connection, Ready)
        connection.send(Task(shards[0], retry=False, excluded={}))
        assert "the store is gone" in said(connection, Stopped)[-1].reason


def test_a_run_that_hangs_up_gets_what_is_being_written_and_no_more(tmp_path, tiny, settings, shards, monkeypatch):
    Slow.let.clear()
    Slow.asked.clear()
    store = store_in(tmp_path / "out", settings)
    with worker(tiny, store, Slow, monkeypatch) as connection:
        said(connection, Ready)
        connection.send(Task(shards[0], retry=False, excluded={}))
        assert Slow.asked.wait(PATIENCE_S)
        connection.close()
        Slow.let.set()
    assert store.written() == [0]

"""Archives in object stores: files are there whole or not at all, and one run at a time writes."""

from __future__ import annotations

import threading
import time

import pytest

from engine.archive import lease as lease_module
from engine.archive import open_archive, run, summarise
from engine.archive.lease import lease
from engine.archive.place import Folder, ObjectStore, place_of
from engine.archive.plan import make_shards, write_plan
from engine.archive.store import Store
from engine.errors import ArchiveError, Cancelled, ConfigError
from tests.archive.recordings import do_shard, files_in, shard_of, store_in, windows_in, write_clips


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(lease_module, "RENEW_S", 0.05)
    monkeypatch.setattr(lease_module, "DEAD_S", 0.4)


@pytest.fixture(params=["folder", "memory", "file"])
def place(request, tmp_path, memory):
    names = {"folder": tmp_path / "out", "memory": "memory://bucket/out", "file": f"file://{tmp_path}/out"}
    return place_of(names[request.param])


def test_files_are_there_whole_or_not_at_all(place):
    place.prepare("windows")
    assert (place.names("windows"), place.size("windows/a"), place.names("nowhere")) == ([], None, [])
    with place.replaced("windows/a") as path:
        path.write_bytes(b"first")
        assert place.size("windows/a") is None
    with pytest.raises(ZeroDivisionError), place.replaced("windows/a") as path:
        path.write_bytes(b"%d" % (1 // 0))
    with place.reading("windows/a") as path:
        assert path.read_bytes() == b"first"
    assert (place.names("windows"), place.size("windows/a")) == (["a"], 5)
    with pytest.raises(FileNotFoundError), place.reading("windows/b") as path:
        path.read_bytes()
    place.remove("windows/a")
    place.remove("windows/a")
    assert place.names("windows") == []


def test_what_was_not_finished_is_swept(place):
    place.prepare("windows")
    names = (
        ("a.12.partial", "windows/b.3.partial") if isinstance(place, Folder) else ("partial.12", "windows/partial.3")
    )
    for name in ("windows/kept", *names):
        with place.replaced(name) as path:
            path.write_bytes(b"x")
    place.sweep("windows")
    assert [*place.names("windows"), *place.names()] == ["kept", "windows"]


def test_a_place_is_held_by_one(place):
    place.prepare()
    with place.locked("lock"), pytest.raises(ConfigError, match=r"alone, another run does \(process \d+ on "):
        place.locked("lock").__enter__()
    with place.locked("lock"):
        pass


def test_a_shard_in_a_store_has_the_rows_of_one_in_a_folder(tmp_path, model, settings, memory):
    clips = write_clips(tmp_path / "in", 4)
    clips[2].write_bytes(b"no audio")
    shard = shard_of(clips)
    local, remote = store_in(tmp_path / "out", settings), store_in("memory://bucket/out", settings)
    for store in (local, remote):
        write_plan(store.place, settings, "tiny", [shard])
        do_shard(model, shard, store)
        assert store.is_done(shard)
        assert store.gather([0]) == 1
    opened = open_archive("memory://bucket/out")
    rows = [row for batch in opened.windows() for row in batch.to_pylist()]
    assert rows == windows_in(tmp_path / "out")
    assert [row["uri"] for row in opened.failures()] == [str(clips[2])]
    assert summarise("memory://bucket/out").n_failed == 1
    assert sorted(remote.place.names()) == ["failed.jsonl", "files", "files.parquet", "manifest.jsonl", "windows"]
    # Trying again keeps what succeeded.
    write_clips(tmp_path / "in", 4)
    said = do_shard(model, shard, remote, retry=True)
    assert [one for one in said if isinstance(one, int)] == [2]
    # One that is cut short is done again.
    memory.pipe("/bucket/out/windows/000000.parquet", b"half")
    assert not remote.is_done(shard)


def test_a_run_writes_straight_to_a_store(tmp_path, tiny):
    clips = write_clips(tmp_path / "in", 40)
    clips[5].write_bytes(b"no audio")
    url = f"file://{tmp_path}/store"
    cancel = threading.Event()
    with pytest.raises(Cancelled, match="go on with: engine archive run -o file://"):
        run([tmp_path / "in"], url, tiny, workers=1, cancel=cancel, progress=lambda _: cancel.set())
    with pytest.raises(ConfigError, match=r"expected a new folder, file://.* is not empty; go on with --resume"):
        run([tmp_path / "in"], url, tiny)
    summary = run([], url, resume=True, workers=2, formats=["csv"], threshold=0.5)
    assert (summary.folder, summary.n_items, summary.n_failed) == (url, 40, 1)
    run([tmp_path / "in"], tmp_path / "out", tiny, workers=2, formats=["csv"], threshold=0.5)
    assert windows_in(tmp_path / "store") == windows_in(tmp_path / "out")
    assert files_in(tmp_path / "store") == files_in(tmp_path / "out")
    assert (tmp_path / "store" / "results.csv").read_bytes() == (tmp_path / "out" / "results.csv").read_bytes()
    assert run([], url, resume=True).n_run == 0
    assert sorted({path.name for path in (tmp_path / "store").iterdir()}) == sorted(
        {path.name for path in (tmp_path / "out").iterdir()} - {"lock"}
    )
    with pytest.raises(ConfigError, match="expected a folder for the product index"):
        run([], url, resume=True, products=["index"])


def test_the_dead_hold_nothing(memory):
    memory.pipe("/out/lock", b"process 1 on gone, 1234, 7\n")
    began = time.monotonic()
    with lease(memory, "/out/lock", "memory://out"):
        assert time.monotonic() - began >= lease_module.DEAD_S
        first = memory.cat("/out/lock")
        time.sleep(0.2)
        assert memory.cat("/out/lock") != first
    assert not memory.exists("/out/lock")


def test_an_object_that_is_seen_empty_is_looked_at_again(memory):
    """As a file system shows it that empties a file before it writes it."""

    class Blinking:
        pipe_file, rm_file, n_looks = memory.pipe_file, memory.rm_file, 0

        def cat_file(self, path):
            self.n_looks += 1
            return b"" if self.n_looks % 2 else memory.cat_file(path)

    files = Blinking()
    with (
        lease(files, "/out/lock", "memory://out"),
        pytest.raises(ConfigError, match=r"another run does \(process \d+ on "),
    ):
        lease(files, "/out/lock", "memory://out").__enter__()
    assert files.n_looks >= 4


def test_of_two_that_begin_at_once_one_writes(memory):
    held, refused = [], []
    barrier = threading.Barrier(2)

    def begin(n):
        barrier.wait()
        try:
            with lease(memory, "/out/lock", "memory://out"):
                held.append(n)
                time.sleep(0.3)
        except ConfigError:
            refused.append(n)

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 1)


def test_a_store_that_refuses_is_one_sentence(settings, memory, monkeypatch):
    store = Store("memory://bucket/out", settings)

    def refusing(*_, **__):
        raise PermissionError("403\nForbidden")

    monkeypatch.setattr(type(memory), "put_file", refusing)
    with pytest.raises(ArchiveError, match=r"expected to write memory://bucket/out, got 403 Forbidden; check the"):
        write_plan(store.place, settings, "tiny", make_shards([]))


def test_urls_with_passwords_are_refused():
    with pytest.raises(ConfigError, match="expected a URL without a password"):
        place_of("s3://key:secret@bucket/out")
    assert isinstance(place_of("memory://bucket/out/"), ObjectStore)

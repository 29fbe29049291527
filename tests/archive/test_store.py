"""The folder: what counts as done, what is gathered, and who may write."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from engine.archive.place import Folder
from engine.archive.plan import write_plan
from engine.archive.read import Archive
from engine.archive.store import TABLE_FOLDERS, Store
from engine.errors import ArchiveError, ConfigError
from tests.archive.recordings import do_shard, files_in, shard_of, store_in, write_clips


@pytest.fixture(scope="module")
def finished(tmp_path_factory, model, settings):
    """A shard of four clips that is done, one of them no audio."""
    folder = tmp_path_factory.mktemp("archive")
    clips = write_clips(folder / "in", 3, 1.0)
    bad = folder / "in" / "bad.wav"
    bad.write_bytes(b"no audio")
    store = store_in(folder / "out", settings)
    shard = shard_of([clips[0], bad, *clips[1:]])
    do_shard(model, shard, store)
    return store, shard


def copied(finished, folder):
    store, shard = finished
    copy = store_in(folder, store.settings)
    for name in TABLE_FOLDERS:
        for path in (store.folder / name).iterdir():
            (copy.folder / name / path.name).write_bytes(path.read_bytes())
    return copy, shard


def test_a_finished_shard_is_done_and_another_is_not(finished, tmp_path):
    store, shard = finished
    assert store.is_done(shard)
    assert not store.is_done(shard_of([], index=1))
    assert not Store(tmp_path, store.settings).is_done(shard)


def test_tables_say_what_they_are(finished):
    store, shard = finished
    for path in (store.windows_path(0), store.files_path(0)):
        metadata = pq.read_schema(path).metadata
        assert metadata[b"engine.shard"].decode() == shard.fingerprint(store.settings)
        assert json.loads(metadata[b"engine.settings"]) == store.settings.to_dict()


@pytest.mark.parametrize("table", ["windows", "files"])
def test_one_wrong_byte_anywhere_and_the_shard_is_not_done(finished, tmp_path, table):
    store, shard = copied(finished, tmp_path)
    path = tmp_path / table / "000000.parquet"
    whole = path.read_bytes()
    # Behind the footer's length everything is a checksum of the whole or told by pyarrow; its metadata is read at once.
    pages = pq.ParquetFile(path).metadata
    end = len(whole) if table == "windows" else len(whole) - 8 - pages.serialized_size
    for position in range(0, end, max(1, end // 97)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        intact = store.is_done(shard)
        # Of the small table, the headers of pages hold what nobody reads; its rows are then the same.
        assert not intact or (table == "files" and store.succeeded(shard) == finished[0].succeeded(shard))
    path.write_bytes(whole)
    assert store.is_done(shard)


def test_a_damaged_header_of_a_page_is_no_empty_column(finished, tmp_path):
    store, shard = copied(finished, tmp_path)
    path = store.files_path(0)
    whole = path.read_bytes()
    rows = pq.read_table(path).to_pylist()
    chunks = pq.ParquetFile(path).metadata.row_group(0)
    n_damaged = 0
    for k in range(chunks.num_columns):
        chunk = chunks.column(k)
        starts = {chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset}
        for position in (start + byte for start in starts for byte in range(24)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
            done = store.is_done(shard)
            try:
                read = [row for batch in Archive(tmp_path, store.settings).files() for row in batch.to_pylist()]
            except ArchiveError:
                n_damaged += 1
                assert not done
            else:
                # Headers also hold what nobody reads.
                assert read == rows
    assert n_damaged > chunks.num_columns


@pytest.mark.parametrize("table", ["windows", "files"])
def test_a_table_that_is_cut_short_is_not_done(finished, tmp_path, table):
    store, shard = copied(finished, tmp_path)
    path = tmp_path / table / "000000.parquet"
    whole = path.read_bytes()
    for n_bytes in (0, 1, 8, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n_bytes])
        assert not store.is_done(shard)
    path.unlink()
    assert not store.is_done(shard)


def test_tables_of_another_plan_or_another_run_are_not_done(finished, tmp_path, model):
    store, shard = copied(finished, tmp_path)
    fewer = shard_of([])
    assert not store.is_done(fewer)
    foreign = store_in(tmp_path / "foreign", store.settings)
    do_shard(model, fewer, foreign)
    store.windows_path(0).write_bytes(foreign.windows_path(0).read_bytes())
    assert not store.is_done(shard)


def test_failures_and_rows_of_a_shard(finished):
    store, shard = finished
    assert store.has_failures(shard)
    assert sorted(store.succeeded(shard)) == [0, 2, 3]
    assert store.windows_of(shard, 2)["file_id"].to_pylist() == [2]
    assert store.windows_of(shard, 1).num_rows == 0


def test_gathering(finished, tmp_path, model):
    store, _ = copied(finished, tmp_path)
    copy = tmp_path / "odd \udcff.wav"
    try:
        copy.write_bytes(b"no audio")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes only Unicode names")
    do_shard(model, shard_of([copy], index=2, first=9), store)
    assert store.gather({2, 0}) == 2
    rows = files_in(store.folder)
    assert [row["file_id"] for row in rows] == [0, 1, 2, 3, 9]
    assert [row["duplicate_of"] for row in rows] == [None, None, None, None, 1]
    lines = (store.folder / "failed.jsonl").read_bytes().splitlines()
    bad, odd = map(json.loads, lines)
    assert list(bad) == ["path", "stage", "type", "message", "when", "file_id", "n_windows"]
    assert bad["path"].endswith("bad.wav")
    assert bad["type"] == "AudioError"
    assert odd["path"].endswith("odd \\udcff.wav")
    assert os.fsdecode(bytes.fromhex(odd["path_hex"])) == str(copy)
    assert store.gather(set()) == 0
    assert files_in(store.folder) == []


def test_gathering_where_nothing_can_be_written(finished, tmp_path):
    store, _ = copied(finished, tmp_path)
    (tmp_path / "files.parquet").mkdir()
    with pytest.raises(ArchiveError, match=r"expected to write .*, got Is a directory"):
        store.gather({0})
    assert list(tmp_path.glob("*.partial")) == []


def test_one_process_at_a_time_may_write(tmp_path, settings):
    program = (
        "import sys; from pathlib import Path; from engine.archive.store import TABLE_FOLDERS, Store\n"
        f"with Store(Path({str(tmp_path)!r}), None).locked(): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(
                ConfigError, match=rf"expected to write .* alone, another run does \(process {other.pid} on "
            ),
            Store(tmp_path, settings).locked(),
        ):
            pass
        other.kill()
    with Store(tmp_path, settings).locked():
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_lock_that_cannot_be_made(tmp_path, settings):
    with (
        pytest.raises(ArchiveError, match=r"expected to write .*absent, got No such file"),
        Store(tmp_path / "absent", settings).locked(),
    ):
        pass


def test_opening_gives_the_plan_and_its_settings(tmp_path, settings):
    write_plan(Folder(tmp_path), settings, "tiny", [shard_of([])])
    store, plan = Store.open(tmp_path)
    assert (store.settings, plan.sizes) == (settings, (0,))

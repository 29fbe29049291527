"""The tables: types, what is null, and that rows leave memory as they come."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.archive import tables
from engine.archive.tables import WindowWriter, read_files, window_schema, with_duplicates, write_files
from engine.errors import ArchiveError
from engine.results import Window
from tests.archive.recordings import file_row
from tests.tiny_models import EMBEDDING_SIZE, LABELS


def window(i):
    scores = np.linspace(i, i + 1, len(LABELS), dtype=np.float32)
    embedding = np.full(EMBEDDING_SIZE, -i, np.float32)
    return Window(i * 0.5, i * 0.5 + 1, scores, embedding)


def test_windows_come_back_with_their_times(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_HELD", 4)
    path = tmp_path / "windows.parquet"
    begin = datetime(2024, 2, 28, 23, 59, 59, 999999)
    with WindowWriter(path, settings, {"key": "value"}) as writer:
        for i in range(10):
            writer.add(i // 4, window(i), begin if i % 2 else None)
        assert len(writer._rows) == 2
    file = pq.ParquetFile(path)
    assert file.schema_arrow == window_schema(settings, {})
    assert file.schema_arrow.metadata[b"key"] == b"value"
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 2]
    rows = file.read().to_pylist()
    for i, row in enumerate(rows):
        assert (row["file_id"], row["start_s"], row["end_s"]) == (i // 4, i * 0.5, i * 0.5 + 1)
        assert np.array_equal(np.float32(row["scores"]), window(i).scores)
        assert np.array_equal(np.float32(row["embedding"]), window(i).embedding)
    assert [row["time"] for row in rows[:4]] == [
        None,
        datetime(2024, 2, 29, 0, 0, 0, 499999),
        None,
        datetime(2024, 2, 29, 0, 0, 1, 499999),
    ]


def test_the_types_are_the_documented_ones(settings):
    schema = window_schema(settings, {})
    assert schema.names == ["file_id", "start_s", "end_s", "time", "scores", "embedding"]
    assert schema.field("time").type == pa.timestamp("us")
    assert schema.field("scores").type == pa.list_(pa.float32(), len(LABELS))
    assert schema.field("embedding").type == pa.list_(pa.float32(), EMBEDDING_SIZE)


def test_rows_of_an_earlier_table_keep_their_place(tmp_path, settings):
    with WindowWriter(tmp_path / "before", settings, {"key": "old"}) as writer:
        writer.add(1, window(5), None)
    with WindowWriter(tmp_path / "after", settings, {"key": "new"}) as writer:
        writer.add(0, window(0), None)
        writer.copy(pq.read_table(tmp_path / "before"))
        writer.add(2, window(6), None)
    table = pq.read_table(tmp_path / "after")
    assert table["file_id"].to_pylist() == [0, 1, 2]
    assert table.schema.metadata[b"key"] == b"new"


def test_a_table_without_windows_is_a_table(tmp_path, settings):
    with WindowWriter(tmp_path / "empty", settings, {}):
        pass
    assert pq.read_table(tmp_path / "empty").num_rows == 0


def test_files_come_back_as_they_were_and_what_is_not_known_is_null(tmp_path):
    full = file_row(
        7,
        size=3,
        sha256="ab" * 32,
        duration_s=0.5,
        sample_rate=1_000_000,
        channels=2,
        n_windows=9,
        peak=0.25,
        clipped=0.5,
        silent=1.0,
        recorded_at=datetime(1999, 12, 31, 1, 2, 3, 4),
        utc_offset_min=-570,
        recorded_from="name",
        error_stage="decode",
        error_type="AudioError",
        error="expected 🦜",
        wall_s=1.5,
        done_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    rows = [full, file_row(8, uri="\\xff.wav", uri_bytes=b"\xff.wav")]
    write_files(tmp_path / "files", rows, {"key": "value"})
    assert read_files(tmp_path / "files") == rows
    table = pq.read_table(tmp_path / "files")
    assert table.schema.metadata[b"key"] == b"value"
    nulls = {name for name in table.column_names if table[name][1].as_py() is None}
    assert nulls == set(table.column_names) - {"file_id", "uri", "uri_bytes", "done_at", "n_windows", "wall_s"}


def test_a_table_that_cannot_be_written(tmp_path, settings):
    with pytest.raises(ArchiveError, match=r"expected to write .*absent, got "):
        WindowWriter(tmp_path / "absent" / "windows", settings, {})
    with pytest.raises(ArchiveError, match=r"expected to write .*absent, got "):
        write_files(tmp_path / "absent" / "files", [], {})


def test_duplicates_name_the_first_file_with_the_same_bytes(tmp_path):
    hashes = [["aa", "bb", None], ["bb", "aa", "cc"], [None, "cc", "bb"]]
    for i, shard in enumerate(hashes):
        rows = [file_row(3 * i + j, sha256=value and value * 32) for j, value in enumerate(shard)]
        write_files(tmp_path / str(i), rows, {})

    def tables(columns):
        return (pq.read_table(tmp_path / str(i), columns=columns) for i in range(3))

    found = [table["duplicate_of"].to_pylist() for table in with_duplicates(tables)]
    assert found == [[None, None, None], [1, 0, None], [None, 5, 1]]
    assert list(with_duplicates(lambda _: iter([]))) == []

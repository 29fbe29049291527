"""Results as tables for other programs, read back by readers that know nothing of this engine."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import datetime

import pyarrow.parquet as pq
import pytest

from engine.archive.formats import FORMATS, write_results
from engine.archive.read import open_archive
from engine.archive.run import run
from engine.errors import ConfigError
from tests.archive.test_scan import NOT_UNICODE
from tests.encoded_audio import encoded, noise
from tests.tiny_models import RATE, save

NAMES = ["a\tb.wav", "20190522_000000.wav", "bad.wav", 'c,"d"\r\n🦜.wav', NOT_UNICODE, "~.wav"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    (folder / "clips").mkdir()
    for k, name in enumerate(NAMES):
        data = b"no audio" if "bad" in name else encoded(noise(RATE + 400 * k))
        try:
            (folder / "clips" / name).write_bytes(data)
        except OSError:
            pytest.skip("this file system takes only Unicode names")
    run([folder / "clips"], folder / "out", save(folder / "tiny.onnx"), workers=1)
    return folder / "out"


@pytest.fixture(scope="module")
def expected(out):
    """The tags with the exact names, straight from the tables."""
    files = {row["file_id"]: row for row in pq.read_table(out / "files.parquet").to_pylist()}
    tags = [row for batch in open_archive(out).tags(min_score=0.3) for row in batch.to_pylist()]
    assert len({row["file_id"] for row in tags}) == len(NAMES) - 1
    return [
        row | {"file": os.fsdecode(files[row["file_id"]]["uri_bytes"]), "of": files[row["file_id"]]} for row in tags
    ]


def written(out, kind, **options):
    stream = io.BytesIO()
    write_results(open_archive(out), stream, kind, **options)
    return stream.getvalue()


def same_times(found, row):
    assert float(found["start_s"]) == pytest.approx(row["start_s"], abs=5e-7)
    assert float(found["end_s"]) == pytest.approx(row["end_s"], abs=5e-7)
    assert float(found["score"]) == pytest.approx(row["score"], rel=5e-6)


def test_csv(out, expected):
    text = written(out, "csv", min_score=0.3).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(row["file"], row["label"]) for row in rows] == [(row["uri"], row["label"]) for row in expected]
    for found, row in zip(rows, expected, strict=True):
        same_times(found, row)
        assert found["time"] == ("" if row["time"] is None else row["time"].isoformat())
    assert {row["time"] for row in rows} >= {"", "2019-05-22T00:00:00"}


def test_json_lines(out, expected):
    rows = [json.loads(line) for line in written(out, "jsonl", min_score=0.3).decode().splitlines()]
    names = [os.fsdecode(bytes.fromhex(row["file_hex"])) if "file_hex" in row else row["file"] for row in rows]
    assert names == [row["file"] for row in expected]
    assert [(row["file"], row["label"]) for row in rows] == [(row["uri"], row["label"]) for row in expected]
    for found, row in zip(rows, expected, strict=True):
        same_times(found, row)
        assert found["time"] == (row["time"] and row["time"].isoformat())


def test_parquet(out, expected):
    rows = pq.read_table(io.BytesIO(written(out, "parquet", min_score=0.3))).to_pylist()
    assert rows == [{name: value for name, value in row.items() if name not in ("file", "of")} for row in expected]
    assert datetime(2019, 5, 22) in {row["time"] for row in rows}


def test_raven(out, expected):
    """A selection table: one header line, tab separated; times of a sequence of files are those of the files joined."""
    header, *lines = written(out, "raven", min_score=0.3).decode("utf-8", "surrogateescape").split("\n")[:-1]
    names = header.split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    assert [row["Selection"] for row in rows] == [str(k) for k in range(1, len(expected) + 1)]
    for found, row in zip(rows, expected, strict=True):
        before = [file for file in pq.read_table(out / "files.parquet").to_pylist() if file["file_id"] < row["file_id"]]
        begin_s = sum(file["duration_s"] or 0 for file in before)
        same_times({"start_s": found["File Offset (s)"], "end_s": row["end_s"], "score": found["Score"]}, row)
        assert float(found["Begin Time (s)"]) == pytest.approx(begin_s + row["start_s"], abs=1e-6)
        assert float(found["End Time (s)"]) == pytest.approx(begin_s + row["end_s"], abs=1e-6)
        path = row["file"].translate({ord(character): " " for character in "\t\r\n"})
        assert (found["Begin Path"], found["Begin File"]) == (path, os.path.basename(path))  # noqa: PTH119
        assert (found["Annotation"], found["High Freq (Hz)"]) == (row["label"], "4000")


def test_audacity(out, expected):
    """A label track: start, end and text of each label, separated by tabs."""
    lines = [line.split("\t") for line in written(out, "audacity", min_score=0.3).decode().splitlines()]
    raven = [
        line.split("\t") for line in written(out, "raven", min_score=0.3).decode("utf-8", "replace").split("\n")[1:-1]
    ]
    assert lines == [[row[3], row[4], label["label"]] for row, label in zip(raven, expected, strict=True)]


def same_in_a_frame(frame, expected):
    assert list(frame["label"]) == [row["label"] for row in expected]
    assert list(frame["start_s"]) == pytest.approx([row["start_s"] for row in expected], abs=5e-7)
    assert list(frame["end_s"]) == pytest.approx([row["end_s"] for row in expected], abs=5e-7)
    assert list(frame["score"]) == pytest.approx([row["score"] for row in expected], rel=5e-6)


def test_pandas_reads_them(out, expected):
    pandas = pytest.importorskip("pandas")
    text = io.StringIO(written(out, "csv", min_score=0.3).decode(), newline="")
    frames = [
        pandas.read_csv(text, lineterminator="\n", parse_dates=["time"]),
        pandas.read_json(io.BytesIO(written(out, "jsonl", min_score=0.3)), lines=True, dtype=False),
        pandas.read_parquet(io.BytesIO(written(out, "parquet", min_score=0.3))),
    ]
    times = [row["time"] for row in expected]
    for frame in frames:
        frame["time"] = pandas.to_datetime(frame["time"])
        same_in_a_frame(frame, expected)
        assert [None if pandas.isna(time) else time.to_pydatetime() for time in frame["time"]] == times
    raven = io.BytesIO(written(out, "raven", min_score=0.3))
    raven = pandas.read_csv(raven, sep="\t", quoting=csv.QUOTE_NONE, encoding_errors="replace")
    assert list(raven["Annotation"]) == [row["label"] for row in expected]
    assert list(raven["File Offset (s)"]) == pytest.approx([row["start_s"] for row in expected], abs=5e-7)
    tracks = io.BytesIO(written(out, "audacity", min_score=0.3))
    tracks = pandas.read_csv(tracks, sep="\t", header=None, quoting=csv.QUOTE_NONE)
    assert list(tracks[2]) == [row["label"] for row in expected]
    assert list(tracks[0]) == pytest.approx(list(raven["Begin Time (s)"]))
    # The tables of the archive themselves.
    windows = pandas.read_parquet(out / "windows")
    files = pandas.read_parquet(out / "files.parquet")
    assert len(windows) == files["n_windows"].sum()
    assert set(windows["file_id"]) == set(files.loc[files["error"].isna(), "file_id"])


def test_duckdb_reads_them(out, expected, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    for kind, suffix, reader in (
        ("csv", "csv", "read_csv('{}', header = true, delim = ',', quote = '\"', escape = '\"', encoding = 'utf-8')"),
        ("jsonl", "jsonl", "read_json('{}')"),
        ("parquet", "parquet", "'{}'"),
    ):
        path = tmp_path / f"results.{suffix}"
        path.write_bytes(written(out, kind, min_score=0.3))
        rows = duckdb.sql(f"SELECT label, start_s, end_s, score, time FROM {reader.format(path)}").fetchall()
        assert [row[0] for row in rows] == [row["label"] for row in expected]
        assert [row[3] for row in rows] == pytest.approx([row["score"] for row in expected], rel=5e-6)
        assert {row[4] and str(row[4]) for row in rows} >= {"2019-05-22 00:00:00", None}
    query = f"""
        SELECT uri, start_s, scores[2] AS low FROM '{out}/windows/*.parquet' JOIN '{out}/files.parquet' USING (file_id)
        WHERE low > 0.3 ORDER BY file_id, start_s
    """
    second = open_archive(out).labels[1]
    assert duckdb.sql(query).fetchall() == [
        (row["uri"], row["start_s"], pytest.approx(row["score"])) for row in expected if row["label"] == second
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_found_is_an_empty_table(out, kind):
    data = written(out, kind, labels=["low"], min_score=2)
    if kind == "parquet":
        assert pq.read_table(io.BytesIO(data)).num_rows == 0
    else:
        assert len(data.splitlines()) == (1 if kind in ("csv", "raven") else 0)


def test_formats_and_labels_that_there_are_not(out):
    with pytest.raises(
        ConfigError, match=r"expected a format of \['audacity', 'csv', 'jsonl', 'parquet', 'raven'\], got 'xls'"
    ):
        written(out, "xls")
    with pytest.raises(ConfigError, match="expected labels"):
        written(out, "csv", labels=["rain"])

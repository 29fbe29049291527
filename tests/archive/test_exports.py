"""Tables for other programs that a run writes from its finished shards."""

from __future__ import annotations

import io
import sys

import pytest

from engine.archive import open_archive, run, write_results
from engine.archive.exports import NAMES
from engine.archive.formats import FORMATS
from engine.errors import ArchiveError, ConfigError
from tests.archive.recordings import write_clips


@pytest.fixture
def out(tmp_path, tiny):
    write_clips(tmp_path / "in", 3)
    run([tmp_path / "in"], tmp_path / "out", tiny, workers=1)
    return tmp_path / "out"


def stamps(out):
    return {path: path.stat().st_mtime_ns for place in ("windows", "files") for path in (out / place).iterdir()}


def test_formats_come_from_the_shards_that_are_there(engine, out):
    before = stamps(out)
    command = ("archive", "run", "-o", out, "--resume", "--formats", "csv, raven,parquet,jsonl,audacity")
    code, printed, said = engine(*command, "--threshold", "0.3")
    assert (code, printed) == (0, b"")
    assert "3 recordings, 0 of them now" in said
    assert stamps(out) == before
    assert set(NAMES) == set(FORMATS)
    for kind, name in NAMES.items():
        stream = io.BytesIO()
        write_results(open_archive(out), stream, kind, min_score=0.3)
        assert (out / name).read_bytes() == stream.getvalue()
    # Another threshold needs no shard again either.
    run([], out, resume=True, formats=["csv"], threshold={"low": 0.0})
    assert {line.split(",")[4] for line in (out / "results.csv").read_text().splitlines()[1:]} == {"low"}
    assert stamps(out) == before


def test_a_first_run_writes_them_too_and_one_that_adds_recordings_leaves_no_old_ones(tmp_path, tiny):
    out = tmp_path / "out"
    clips = write_clips(tmp_path / "in", 2)
    run(clips[:1], out, tiny, workers=1, formats=["csv", "raven"])
    assert str(clips[0]) in (out / "results.csv").read_text()
    run(clips, out, resume=True, workers=1, formats=["csv"])
    assert str(clips[1]) in (out / "results.csv").read_text()
    assert not (out / "results.selections.txt").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"formats": ["xls"]}, r"expected formats of \[.*'csv'.*\], got \['xls'\]"),
        ({"formats": "csv"}, r"write \['csv'\]"),
        ({"threshold": 0.5}, "expected formats for a threshold, got none"),
        ({"formats": ["csv"], "products": ["embeddings"]}, "expected tags for the formats"),
        ({"formats": ["csv"], "threshold": {"eagle": 0.5}}, r"got \['eagle'\]"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path, tiny, options, reason):
    with pytest.raises(ConfigError, match=reason):
        run(write_clips(tmp_path / "in", 1), tmp_path / "out", tiny, **options)
    assert not (tmp_path / "out").exists()


def test_a_table_that_cannot_be_written(out):
    (out / "results.csv").mkdir()
    with pytest.raises(ArchiveError, match="expected to write"):
        run([], out, resume=True, formats=["csv"])
    assert list(out.glob("*.partial")) == []


def test_a_store_whose_package_is_missing_is_refused_in_one_sentence(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match="expected the package s3fs, which reads s3://; pip install s3fs"):
        run(write_clips(tmp_path / "in", 1), "s3://bucket/out", tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(engine, tmp_path, tiny, monkeypatch):
    clips = write_clips(tmp_path / "in", 3)
    clips[1].write_bytes(b"no audio")
    command = ("archive", "run", tmp_path / "in", "--model", tiny, "--workers", "1", "-o")
    monkeypatch.setattr("engine.cli.archive.LINE_EVERY_S", 0.0)
    code, _, said = engine(*command, tmp_path / "a")
    assert code == 3
    lines = said.splitlines()[:-2]
    assert lines
    assert all(
        " of 3 recordings, " in line and " x real time, " in line and line.count(" failed") == 1 for line in lines
    )
    monkeypatch.setattr("engine.cli.archive.LINE_EVERY_S", 60.0)
    code, _, said = engine(*command, tmp_path / "b")
    assert len(said.splitlines()) == 2
    code, _, said = engine(*command, tmp_path / "c", "--quiet")
    assert len(said.splitlines()) == 2

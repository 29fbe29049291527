"""Reading an archive back, against what the tagger says of each recording."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.archive import read
from engine.archive.read import open_archive
from engine.archive.run import run
from engine.errors import ArchiveError, ConfigError
from engine.tagger import Tagger
from tests.encoded_audio import encoded, noise
from tests.tiny_models import LABELS, RATE, save

MIDNIGHT = datetime(2019, 5, 22)
# Two shards.
N_CLIPS = 140


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Recordings of different levels, each a minute later, one without a time in its name, and one that is none."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(N_CLIPS):
        at = MIDNIGHT + timedelta(minutes=k)
        samples = noise(RATE + 700 * (k % 5)) * np.float32(10 ** (-k / 40))
        (folder / f"{at:%Y%m%d_%H%M%S}.wav").write_bytes(encoded(samples))
    (folder / "untimed.wav").write_bytes(encoded(noise(RATE)))
    (folder / "zz bad.wav").write_bytes(b"no audio")
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory, model, clips):
    folder = tmp_path_factory.mktemp("archive") / "out"
    run([clips], folder, model, workers=1)
    return folder


@pytest.fixture(scope="module")
def expected(model, clips):
    """What the tagger says: (path, start_s, end_s, time, scores) of each window, in order."""
    rows = []
    with Tagger(model, device="cpu") as tagger:
        for path in sorted(clips.iterdir()):
            if "bad" not in path.name:
                begin = None if path.stem == "untimed" else datetime.strptime(path.stem, "%Y%m%d_%H%M%S")  # noqa: DTZ007
                rows += [
                    (str(path), w.start_s, w.end_s, begin and begin + timedelta(seconds=w.start_s), w.scores)
                    for w in tagger(path).windows
                ]
    return rows


@pytest.fixture
def damaged(out, tmp_path):
    """A copy to do damage to."""
    return shutil.copytree(out, tmp_path / "out")


def rows_of(batches):
    return [row for batch in batches for row in batch.to_pylist()]


def test_labels_and_settings(out):
    archive = open_archive(out)
    assert archive.labels == LABELS
    assert archive.settings.sample_rate == RATE
    assert len(list((out / "files").glob("*.parquet"))) == 5


def test_windows_are_the_taggers(out, expected):
    rows = rows_of(open_archive(str(out)).windows())
    assert [(row["start_s"], row["end_s"], row["time"]) for row in rows] == [row[1:4] for row in expected]
    np.testing.assert_array_equal([row["scores"] for row in rows], [row[4] for row in expected])
    assert all(len(row["embedding"]) == 4 for row in rows)


def test_some_columns(out):
    (first, *_) = open_archive(out).windows(["end_s", "file_id"])
    assert set(first.schema.names) == {"end_s", "file_id"}
    with pytest.raises(ConfigError, match=r"got \['score'\]"):
        list(open_archive(out).windows(["score"]))


def test_files_and_failures(out, clips):
    archive = open_archive(out)
    files = rows_of(archive.files())
    assert [row["uri"] for row in files] == [str(path) for path in sorted(clips.iterdir())]
    assert [row["file_id"] for row in files] == list(range(N_CLIPS + 2))
    (failure,) = archive.failures()
    assert failure["uri"] == str(clips / "zz bad.wav")
    assert failure["error"].startswith("expected audio")


def long_form(expected, wanted):
    """One row for each window and label that ``wanted`` (label, score) takes."""
    return [
        (path, start_s, end_s, time, label, float(score))
        for path, start_s, end_s, time, scores in expected
        for label, score in zip(LABELS, scores, strict=True)
        if wanted(label, float(score))
    ]


@pytest.mark.parametrize(
    ("labels", "min_score", "wanted"),
    [
        (None, None, lambda label, score: True),
        (["high"], None, lambda label, score: label == "high"),
        (["high", "low"], 0.2, lambda label, score: label != "both" and score >= 0.2),
        (None, 0.3, lambda label, score: score >= 0.3),
        (None, {"low": 0.1, "both": 0.4}, lambda label, score: score >= {"low": 0.1, "both": 0.4}.get(label, 9)),
        (["low"], {"low": 0.1, "both": 0.4}, lambda label, score: label == "low" and score >= 0.1),
        (None, 2, lambda label, score: False),
        ([], None, lambda label, score: False),
    ],
)
def test_tags(out, expected, labels, min_score, wanted):
    rows = rows_of(open_archive(out).tags(labels, min_score))
    columns = ("uri", "start_s", "end_s", "time", "label", "score")
    reference = long_form(expected, wanted)
    assert [tuple(row[column] for column in columns) for row in rows] == reference
    assert len(reference) < len(expected) * len(LABELS) or labels is min_score is None


def test_a_score_that_is_exactly_the_least_is_given(out, expected):
    score = float(expected[0][4][0])
    rows = rows_of(open_archive(out).tags(["low"], score))
    assert rows[0]["score"] == score
    assert all(row["score"] > score for row in rows_of(open_archive(out).tags(["low"], np.nextafter(score, 1))))


def test_tags_in_batches_of_any_size(out, monkeypatch):
    whole = rows_of(open_archive(out).tags(min_score=0.2))
    monkeypatch.setattr(read, "_BATCH_ROWS", 7)
    batches = list(open_archive(out).tags(min_score=0.2))
    assert len(batches) > 10
    assert rows_of(batches) == whole


def test_options_that_make_no_sense(out, tmp_path):
    archive = open_archive(out)
    for options in ({"labels": ["rain"]}, {"min_score": {"rain": 0.5}}):
        with pytest.raises(ConfigError, match=r"got \['rain'\]"):
            list(archive.tags(**options))
    with pytest.raises(ConfigError, match=r"write \['low'\]"):
        list(archive.tags("low"))
    with pytest.raises(ConfigError, match="expected an archive"):
        open_archive(tmp_path)


def test_an_archive_without_tags(tmp_path, model, clips):
    run([clips], tmp_path / "out", model, products=["embeddings"], workers=1, limit=2)
    archive = open_archive(tmp_path / "out")
    assert "scores" not in next(archive.windows()).schema.names
    with pytest.raises(ConfigError, match="has embeddings only"):
        list(archive.tags())


def test_an_archive_that_is_not_finished(damaged, expected, out):
    whole = rows_of(open_archive(out).windows())
    (damaged / "windows" / "000004.parquet").unlink()
    (damaged / "files.parquet").unlink()
    archive = open_archive(damaged)
    part = rows_of(archive.windows())
    assert part == whole[: len(part)]
    assert 0 < len(part) < len(whole)
    assert {row["file_id"] for row in rows_of(archive.files())} >= {row["file_id"] for row in part}


@pytest.mark.parametrize("table", ["windows", "files"])
def test_tables_that_are_cut_are_said_and_not_skipped(damaged, table):
    path = damaged / table / "000001.parquet"
    data = path.read_bytes()
    for broken in (data[:-20], b"", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ArchiveError, match="run again with --resume") as caught:
            list(open_archive(damaged).tags())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["windows", "files"])
def test_damage_in_any_column_is_said(damaged, table):
    path = damaged / table / "000001.parquet"
    data = path.read_bytes()
    chunks = pq.ParquetFile(path).metadata.row_group(0)
    for k in range(chunks.num_columns):
        chunk = chunks.column(k)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        # The last byte of the content of the column's last page.
        place = start + chunk.total_compressed_size - 1
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with pytest.raises(ArchiveError, match="run again with --resume"):
            list(getattr(open_archive(damaged), table)())


def test_tables_of_another_run_are_refused(damaged):
    path = damaged / "windows" / "000000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"engine.settings": "{}"}), path)
    with pytest.raises(ArchiveError, match="one of other settings"):
        list(open_archive(damaged).windows())
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(ArchiveError, match="one of other settings"):
        list(open_archive(damaged).windows())

"""The tab Archive: activity, failures, detections in context, and corrections that can be taught."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.app.archive_tab import _Answers
from engine.app.detections import Detection, Recordings, activity, corrected, summary_text
from engine.archive import run
from engine.audio import load
from engine.errors import AudioError, ConfigError
from engine.model import Model
from engine.teach.examples import read_examples

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    place = tmp_path_factory.mktemp("archive")
    (place / "in").mkdir()
    for hour in ("05", "17"):
        (place / "in" / f"a_20240511_{hour}0000.flac").write_bytes((EXAMPLES / "rain.flac").read_bytes())
    with zipfile.ZipFile(place / "more.zip", "w") as made:
        made.write(EXAMPLES / "clock_tick.flac", "tick_20240511_180000.flac")
    (place / "in" / "bad.wav").write_bytes(b"no sound")
    run([place / "in", f"zip://{place / 'more.zip'}"], place / "out", time_pattern="%Y%m%d_%H%M%S", workers=1)
    return Recordings(place / "out")


def test_activity_is_the_share_of_windows_by_hour(archive):
    found = archive.summary("rain", 0.5)
    assert activity(found, "rain") == [("05", 1.0), ("17", 1.0), ("18", 0.0)]
    assert "4 of 4 recordings from 2024-05-11T05:00:00" in summary_text(found)
    assert "1 failed. rain: heard in 2 windows" in summary_text(found)


def test_failures_come_with_their_reason(archive):
    ((name, stage, reason),) = archive.failures()
    assert name.endswith("bad.wav")
    assert stage == "open"
    assert "no format that libsndfile knows" in reason


def test_detections_are_heard_in_context_from_files_and_containers(archive):
    rain = archive.detections("rain", 0.5)
    assert [each.score for each in rain] == sorted((each.score for each in rain), reverse=True)
    assert {each.time for each in rain} == {"2024-05-11 05:00:00", "2024-05-11 17:00:00"}
    samples, rate, start_s = archive.context(rain[0])
    np.testing.assert_array_equal(samples, load(EXAMPLES / "rain.flac")[0])
    assert (rate, start_s) == (44_100, 0.0)
    (tick,) = archive.detections("clock tick", 0.9)
    assert tick.uri.startswith("zip://")
    np.testing.assert_array_equal(archive.context(tick)[0], load(EXAMPLES / "clock_tick.flac")[0])
    gone = Detection(str(EXAMPLES / "gone.wav"), 0.0, 1.0, "", "rain", 1.0)
    with pytest.raises(AudioError):
        archive.context(gone)
    assert archive.detections("rain", 1.0) == []


def test_corrections_are_a_table_that_teach_reads(archive, tmp_path):
    rain = archive.detections("rain", 0.5)
    (tick,) = archive.detections("clock tick", 0.9)
    kept = corrected([], rain[0], "drizzle")
    kept = corrected(kept, rain[0], "sea waves ; rain")  # the last word on a detection holds
    kept = corrected(kept, tick, "-")
    assert len(kept) == 2
    archive.write_training(kept, tmp_path / "corrections.zip")
    with zipfile.ZipFile(tmp_path / "corrections.zip") as made:
        made.extractall(tmp_path)
    lesson = read_examples(tmp_path / "corrections.csv")
    assert [example.labels for example in lesson.examples] == [("rain", "sea waves"), ()]
    assert [example.recording for example in lesson.examples] == [rain[0].uri, tick.uri]
    samples, rate = load(lesson.examples[0].path)
    np.testing.assert_array_equal(samples, load(EXAMPLES / "rain.flac")[0])
    assert rate == 44_100


@pytest.mark.parametrize("label", ["", " ", "rain;", "-;rain"])
def test_a_correction_without_a_label_is_refused(archive, label):
    with pytest.raises(ConfigError, match="expected a label"):
        corrected([], archive.detections("rain", 0.5)[0], label)


def test_what_is_not_shared_is_neither_heard_nor_exported_nor_named_in_full(archive, tmp_path):
    private = Recordings(archive.folder, shares_recordings=False)
    found = private.detections("rain", 0.5)
    with pytest.raises(ConfigError, match="--share-nothing"):
        private.context(found[0])
    with pytest.raises(ConfigError, match="--share-nothing"):
        private.write_training(corrected([], found[0], "rain"), tmp_path / "no.zip")
    with pytest.raises(ConfigError, match="expected corrections to export, got none"):
        archive.write_training([], tmp_path / "no.zip")
    assert private.table(found)[0][-1].startswith("a_2024")
    assert archive.table(found)[0][-1].startswith("/")
    assert not (tmp_path / "no.zip").exists()


def test_an_archive_without_tags_still_shows_what_failed(archive, tmp_path):
    run([archive.folder.parent / "in"], tmp_path / "out", products=["embeddings"], workers=1)
    untagged = Recordings(tmp_path / "out")
    answers = _Answers([untagged], Model.open("esc10", "cpu", 1).card, tmp_path)
    said, hours, table, failures, found = answers.look(str(untagged.folder), None, 0.5)
    assert "3 of 3 recordings" in said
    assert "It has no tags" in said
    assert (hours, table, found) == ("", [], [])
    assert [row[1] for row in failures] == ["open"]

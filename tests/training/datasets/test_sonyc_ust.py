"""The loader of SONYC-UST on a miniature of its tree: a clip for each rule about annotators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from tests.training.trees import write_table
from training.datasets.sonyc_ust import load_sonyc_ust

if TYPE_CHECKING:
    from pathlib import Path

    from training.datasets.record import Record


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, Record]:
    return {record.path.stem: record for record in load_sonyc_ust(layouts.sonyc_ust(tmp_path)).records}


def test_labels_are_the_taxonomys_without_the_unknown(tmp_path: Path) -> None:
    data = load_sonyc_ust(layouts.sonyc_ust(tmp_path))
    assert data.labels == tuple(column[4:] for column in layouts.SONYC_FINE if column[2] != "X")
    assert len(data.labels) == 23


def test_training_labels_are_the_volunteers(clips: dict[str, Record]) -> None:
    assert (clips["crowd"].split, clips["crowd"].source) == ("train", "7")
    # The team's dog is not in it.
    assert "non-machinery-impact" in clips["crowd"].labels
    assert "dog-barking-whining" not in clips["crowd"].labels


def test_an_unknown_of_a_group_hides_its_siblings(clips: dict[str, Record]) -> None:
    engines = {"small-sounding-engine", "medium-sounding-engine", "large-sounding-engine"}
    observed = clips["crowd"].observed
    assert observed is not None
    assert not observed & engines
    assert len(observed) == 20
    # A present sibling is no longer a label either.
    assert clips["crowd"].labels == ("non-machinery-impact",)


def test_what_nobody_annotated_is_unknown(clips: dict[str, Record]) -> None:
    observed = clips["nobody"].observed
    assert observed is not None
    assert "dog-barking-whining" not in observed
    assert len(observed) == 22


def test_an_unannotated_mark_cancels_nothing_unless_asked_for(tmp_path: Path, clips: dict[str, Record]) -> None:
    assert clips["cancelled"].labels == ("siren",)
    observed = clips["cancelled"].observed
    assert observed is not None
    assert "dog-barking-whining" in observed
    summed = {record.path.stem: record for record in load_sonyc_ust(tmp_path, "summed").records}
    assert summed["cancelled"].labels == ()
    assert len(summed["nobody"].observed or ()) == 23


def test_validation_and_test_labels_are_the_agreed_ones(clips: dict[str, Record]) -> None:
    assert (clips["agreed"].split, clips["agreed"].labels) == ("validation", ("ice-cream-truck",))
    assert (clips["later"].split, clips["later"].labels) == ("test", ("dog-barking-whining",))


def test_clips_without_the_needed_annotation_are_dropped_and_absent_ones_missing(tmp_path: Path) -> None:
    data = load_sonyc_ust(layouts.sonyc_ust(tmp_path))
    assert data.dropped == ("audio-18/only_team.wav", "audio-0/team.wav")
    assert data.missing == ("gone.wav",)


def test_other_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"annotations\.csv"):
        load_sonyc_ust(tmp_path)
    row = layouts.sonyc_row("train", "a.wav", 1)
    write_table(tmp_path / "annotations.csv", [row, layouts.sonyc_row("test", "a.wav", 1)])
    with pytest.raises(ConfigError, match=r"\['test', 'train'\]"):
        load_sonyc_ust(tmp_path)
    layouts.clips(tmp_path, ["a.wav"])
    write_table(tmp_path / "annotations.csv", [layouts.sonyc_row("train", "a.wav", 1, g1_1=2)])
    with pytest.raises(ConfigError, match="small-sounding-engine"):
        load_sonyc_ust(tmp_path)
    write_table(tmp_path / "annotations.csv", [row | {"8-1_dog-barking-whining_presence": ""}])
    with pytest.raises(ConfigError, match=r"a number in .*annotations\.csv, got ''"):
        load_sonyc_ust(tmp_path)
    del row["3-1_non-machinery-impact_presence"]
    write_table(tmp_path / "annotations.csv", [row])
    with pytest.raises(ConfigError, match=r"29 fine labels .* got 28"):
        load_sonyc_ust(tmp_path)
    with pytest.raises(ConfigError, match="'never'"):
        load_sonyc_ust(tmp_path, "never")  # type: ignore[arg-type]

"""The loader of DCASE 2018 task 4 on a miniature of its tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.dcase2018 import LABELS, load_dcase2018

if TYPE_CHECKING:
    from pathlib import Path


def test_every_part_becomes_its_split(tmp_path: Path) -> None:
    data = load_dcase2018(layouts.dcase2018(tmp_path))
    splits = [record.split for record in data.records]
    assert splits == ["train"] * 4 + ["unlabelled", "unlabelled_out_of_domain", "validation"] + ["test"] * 3
    assert data.labels == tuple(sorted(LABELS))
    assert all(record.path.is_file() for record in data.records)


def test_names_are_parsed_from_the_right(tmp_path: Path) -> None:
    records = load_dcase2018(layouts.dcase2018(tmp_path), ["weak"]).records
    assert [record.source for record in records] == ["KK227gPpRn4", "-4ZFguO-v8M", "0eNfQDAbn_Y", "ab_cd-efg_h"]
    assert [record.duration_s for record in records] == [10, 10, 10, 4]


def test_labels_are_split_at_commas_and_events_collapsed(tmp_path: Path) -> None:
    data = load_dcase2018(layouts.dcase2018(tmp_path))
    train = data.select(split="train").records
    assert [record.labels for record in train] == [
        ("Alarm_bell_ringing", "Speech"),
        ("Dog",),
        ("Cat", "Speech"),
        ("Frying",),
    ]
    assert [record.labels for record in data.select(split="validation").records] == [("Speech", "Vacuum_cleaner")]
    assert data.select(split="train").targets().sum(axis=0).tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 2, 0]


def test_empty_events_stay_as_clips_without_a_label(tmp_path: Path) -> None:
    test = load_dcase2018(layouts.dcase2018(tmp_path)).select(split="test")
    assert [record.labels for record in test.records] == [("Dishes",), (), ()]
    assert test.mask().all()


def test_unlabelled_clips_know_nothing(tmp_path: Path) -> None:
    data = load_dcase2018(layouts.dcase2018(tmp_path))
    for split in ("unlabelled", "unlabelled_out_of_domain"):
        assert not data.select(split=split).mask().any()


def test_missing_videos_are_counted_and_removed_clips_dropped(tmp_path: Path) -> None:
    data = load_dcase2018(layouts.dcase2018(tmp_path))
    assert data.missing == ("audio/train/unlabel_in_domain/YaaaaaaaaaaB_0.000_10.000.wav",)
    assert data.dropped == ("audio/test/Y0a8RB5eOGJ4_30.000_40.000.wav",)


@pytest.mark.parametrize("name", ["KK227gPpRn4_30.000_40.000.wav", "YKK227gPpRn4_30.000.wav", "YKK227gPpRn4_a_b.wav"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    layouts.dcase2018(tmp_path)
    layouts.lines(tmp_path / "metadata" / "train" / "weak.csv", [("filename", "event_labels"), (name, "Dog")])
    with pytest.raises(ConfigError, match=r"Y, 11 characters, _START_END\.wav"):
        load_dcase2018(tmp_path)


def test_parts_labels_and_files_that_are_not_there(tmp_path: Path) -> None:
    layouts.dcase2018(tmp_path)
    with pytest.raises(ConfigError, match=r"\['strong'\]"):
        load_dcase2018(tmp_path, ["strong"])
    rows = [("filename", "event_labels"), ("YKK227gPpRn4_30.000_40.000.wav", "Speech;Dog")]
    layouts.lines(tmp_path / "metadata" / "train" / "weak.csv", rows)
    with pytest.raises(ConfigError, match=r"\['Speech;Dog'\]"):
        load_dcase2018(tmp_path)
    (tmp_path / "metadata" / "train" / "weak.csv").unlink()
    with pytest.raises(ConfigError, match=r"weak\.csv"):
        load_dcase2018(tmp_path)

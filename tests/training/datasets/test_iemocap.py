"""The loader of IEMOCAP on a miniature of its tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.iemocap import load_iemocap

if TYPE_CHECKING:
    from pathlib import Path


def test_utterances_of_a_session(tmp_path: Path) -> None:
    data = load_iemocap(layouts.iemocap(tmp_path)).complete()
    first = data.select(fold=1)
    assert [(record.path.stem, record.label) for record in first.records] == [
        ("Ses01F_impro01_F000", "neutral"),
        ("Ses01F_impro01_M001", "happy"),
        ("Ses01F_impro01_F002", "happy"),
    ]
    assert first.records[0].duration_s == pytest.approx(1.9456)
    assert len(data) == 6


def test_the_speaker_is_not_the_recorded_side(tmp_path: Path) -> None:
    records = load_iemocap(layouts.iemocap(tmp_path)).select(fold=2).records
    assert [record.source for record in records] == ["Ses02F", "Ses02M", "Ses02F"]


def test_subsets_count_what_they_leave_out(tmp_path: Path) -> None:
    layouts.iemocap(tmp_path)
    four, strict, every = (load_iemocap(tmp_path, name) for name in ("four", "four_without_excited", "all"))
    assert [(len(data), len(data.dropped)) for data in (four, strict, every)] == [(6, 2), (4, 4), (8, 0)]
    assert four.labels == strict.labels == ("angry", "happy", "neutral", "sad")
    assert {record.label for record in every.records} == {"neutral", "excited", "happy", "undecided"}
    assert four.dropped[0].endswith("Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_MXX3.wav")


def test_a_missing_utterance_is_counted(tmp_path: Path) -> None:
    layouts.iemocap(tmp_path)
    next(tmp_path.rglob("Ses01F_impro01_F000.wav")).unlink()
    assert len(load_iemocap(tmp_path).missing) == 1


def test_the_release_by_any_of_its_folders(tmp_path: Path) -> None:
    layouts.iemocap(tmp_path)
    assert len(load_iemocap(tmp_path / "IEMOCAP_full_release")) == 6
    (tmp_path / "IEMOCAP_full_release").rename(tmp_path / "IEMOCAP")
    assert len(load_iemocap(tmp_path)) == 6


@pytest.mark.parametrize("line", ["[1.0 - 2.0]\tSes01F_impro01_F000\tbor\t[1, 1, 1]", "[1.0] Ses01F"])
def test_other_lines_and_folders_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match="Session1 to Session5"):
        load_iemocap(tmp_path)
    with pytest.raises(ConfigError, match="'five'"):
        load_iemocap(tmp_path, "five")  # type: ignore[arg-type]
    layouts.iemocap(tmp_path)
    folder = tmp_path / "IEMOCAP_full_release" / "Session1" / "dialog" / "EmoEvaluation"
    layouts.lines(folder / "Ses01F_impro02.txt", [line])
    with pytest.raises(ConfigError, match=r"Ses01F_impro02\.txt"):
        load_iemocap(tmp_path)

"""The loader of the Vocal Imitation Set on miniatures of both its trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from tests.training.datasets import layouts
from training.datasets.vocal_imitation import load_vocal_imitation

if TYPE_CHECKING:
    from pathlib import Path

MOUSE = layouts.MOUSE.removesuffix("___3Samples")
LABELS = (layouts.GROWLING, layouts.HISS, MOUSE)


def test_imitations_references_and_recordings(tmp_path: Path) -> None:
    data = load_vocal_imitation(layouts.vocal_imitation(tmp_path)).complete()
    assert data.labels == LABELS
    assert [record.split for record in data.records] == ["imitation"] * 2 + ["reference"] * 3 + ["recording"] * 3
    imitation = data.records[0]
    assert imitation.path.name == "000Animal_Domestic animals_ pets_Cat_Growling-4808870065078272.wav"
    assert (imitation.label, imitation.source) == (layouts.GROWLING, "12")
    # The class is known by its number, not by what follows.
    assert data.records[1].label == MOUSE
    references = data.select(split="reference").records
    assert [record.label for record in references] == list(LABELS)


def test_only_included_imitations_count(tmp_path: Path) -> None:
    data = load_vocal_imitation(layouts.vocal_imitation(tmp_path))
    assert data.dropped == (f"vocal_imitations/excluded/{layouts.HISS}-4808870065078274.wav",)


def test_a_recording_of_two_classes_is_one_source(tmp_path: Path) -> None:
    data = load_vocal_imitation(layouts.vocal_imitation(tmp_path))
    twins = [record for record in data.records if record.path.name == layouts.SHARED]
    assert [record.label for record in twins] == [layouts.GROWLING, layouts.HISS]
    assert {record.source for record in twins} == {"277515"}
    reference = data.select(split="reference").records[0]
    assert (reference.source, reference.path.name) == ("368011", f"{layouts.GROWLING}_reference.wav")


def test_first_version(tmp_path: Path) -> None:
    data = load_vocal_imitation(layouts.first_vocal_imitation(tmp_path)).complete()
    assert data.labels == LABELS
    assert [record.split for record in data.records] == ["imitation"] * 2 + ["reference"] * 3
    assert data.records[2].source == "146968"
    assert data.dropped == (f"excluded/{layouts.HISS}-4808870065078274.wav",)
    (tmp_path / "reference_audio_credits.csv").unlink()
    assert load_vocal_imitation(tmp_path).records[2].source == f"{layouts.GROWLING}_reference.wav"


def test_missing_files_are_counted(tmp_path: Path) -> None:
    layouts.vocal_imitation(tmp_path)
    next(tmp_path.rglob("146968*.wav")).unlink()
    assert len(load_vocal_imitation(tmp_path).missing) == 1


def test_imitations_of_nothing_are_refused(tmp_path: Path) -> None:
    layouts.vocal_imitation(tmp_path)
    table = tmp_path / "vocal_imitations.txt"
    text = table.read_text()
    table.write_text(text.replace("\t000Animal", "\t300Animal"))
    with pytest.raises(ConfigError, match="a class for 300Animal"):
        load_vocal_imitation(tmp_path)
    table.write_text(text.replace("\t000Animal", "\tAnimal"))
    with pytest.raises(ConfigError, match="three digits"):
        load_vocal_imitation(tmp_path)
    table.write_text(text.replace("\tTrue\t", "\tyes\t"))
    with pytest.raises(ConfigError, match="'yes'"):
        load_vocal_imitation(tmp_path)

"""Trials of ranking: who may say what, and recordings that are in two classes."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError
from training.datasets.ranking import RankingClass, divided_by_speaker, draw_trial, load_words
from training.datasets.record import Record


def record(name):
    return Record(Path(name), ("word",), source=name)


def ranking_class(name, originals):
    references = tuple(record(f"{name}{i}") for i in range(len(originals)))
    return RankingClass(references, originals, {part: (record(f"{name}-{part}"),) for part in ("train", "validation")})


def test_a_recording_of_two_classes_stays_in_one_and_is_never_a_copy_of_a_target():
    classes = {"b": ranking_class("b", ("3", "9", "4")), "a": ranking_class("a", ("1", "3", "9"))}
    trial = draw_trial(classes, 2, np.random.default_rng(0))
    assert trial.labels == ("a", "b")
    part = trial.parts["train"]
    assert [reference.path.name for reference in part.references] == ["a0", "a2", "b0", "b2"]
    assert part.reference_class.tolist() == [0, 0, 1, 1]
    assert part.fits.tolist() == [[True, False, False, False], [False, False, True, False]]
    assert trial.parts["validation"].references == part.references


def test_more_classes_than_there_are_is_an_error():
    with pytest.raises(ConfigError, match="1 to 1 classes"):
        draw_trial({"a": ranking_class("a", ("1", "2"))}, 2, np.random.default_rng(0))


def test_no_speaker_has_two_roles(shared_data):
    said = load_words(shared_data / "speech_commands_dev")
    words = divided_by_speaker(said, 0.7, np.random.default_rng(0))
    assert len(words) > 15
    assert {"yes", "go"} < words.keys()
    assert not {"silence", "unknown"} & words.keys()
    roles = [
        {reference.source for each in words.values() for reference in each.references},
        {query.source for each in words.values() for query in each.queries["train"]},
        {query.source for each in words.values() for query in each.queries["validation"]},
    ]
    assert roles[0].isdisjoint(roles[1] | roles[2])
    assert roles[1].isdisjoint(roles[2])
    for each in words.values():
        assert len(each.references) <= 10
        assert len({reference.source for reference in each.references}) == len(each.references)

"""Trials of ranking: who may say what, and recordings that are in two classes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError
from tests.training import voices
from training.datasets.ranking import RankingClass, divided_by_speaker, draw_trial, load_imitations, load_words
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


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_number_of_classes_is_the_one_asked_for(n_classes, tmp_path):
    """Trap 7: the published code stops where ten classes are asked for, and takes half of all otherwise."""
    classes = load_imitations(voices.imitation_set(tmp_path), 0.7, np.random.default_rng(0))
    trial = draw_trial(classes, n_classes, np.random.default_rng(0))
    assert len(trial.labels) == n_classes
    assert set(trial.parts["train"].query_class) == set(range(n_classes))


def test_classes_are_drawn_alike_whatever_the_hash_seed(tmp_path):
    """Trap 8: classes in the order of a set would differ from one start of Python to the next."""
    voices.imitation_set(tmp_path)
    program = (
        "import sys; from pathlib import Path; import numpy as np; from training.datasets import ranking as r;"
        "g = np.random.default_rng(3); print(r.draw_trial(r.load_imitations(Path(sys.argv[1]), 0.7, g), 2, g).labels)"
    )
    said = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1


def test_drafts_and_rejects_are_no_queries(tmp_path):
    """Traps 5 and 6: the public layout, of which only ``included`` counts."""
    classes = load_imitations(voices.imitation_set(tmp_path), 0.7, np.random.default_rng(0))
    assert len(classes) == len(voices.CLASSES)
    for each in classes.values():
        queries = [record.path for part in each.queries.values() for record in part]
        assert len(queries) == 4
        assert {path.parent.name for path in queries} == {"included"}
        assert each.references[0].path.parent.name == "reference"
        assert len(each.references) == 4

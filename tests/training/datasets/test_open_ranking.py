"""Trials with every role divided by source: nobody and nothing in two parts, and what a query means."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import ConfigError
from tests.training.datasets.layouts import clips, lines
from training.datasets.esc50 import load_esc50
from training.datasets.open_ranking import disguised_trial, load_pairs, spoken_trial
from training.datasets.ranking import load_words
from training.datasets.record import Record


def said(n_speakers=10, n_words=6, takes=2):
    """Every speaker says every word; the last word only twice."""
    return {
        f"w{word}": [
            Record(Path(f"w{word}-{who}-{take}"), (f"w{word}",), source=f"s{who}")
            for who in range(n_speakers if word < n_words - 1 else 2)
            for take in range(takes)
        ]
        for word in range(n_words)
    }


def speakers(records):
    return {record.source for record in records}


def test_a_query_means_its_word_and_no_speaker_is_on_two_sides():
    trial = spoken_trial(said(), 0.6, 0, np.random.default_rng(0))
    train, judged = trial.parts["train"], trial.parts["validation"]
    assert set(trial.parts) == {"train", "validation"}
    words = [record.label for record in train.references]
    expected = [[a.label == b for b in words] for a in train.queries]
    assert train.fits.tolist() == expected
    groups = [speakers(train.queries), speakers(judged.queries), speakers(judged.references)]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert judged.fits.sum(axis=1).tolist() == [1] * len(judged.queries)
    assert len({record.label for record in judged.references}) == len(judged.references)
    for query, row in zip(judged.queries, judged.fits, strict=True):
        assert judged.references[int(row.argmax())].label == query.label


def test_unheard_words_are_no_part_of_training():
    trial = spoken_trial(said(), 0.6, 3, np.random.default_rng(1))
    unheard = {record.label for record in trial.parts["unheard"].queries}
    assert unheard
    assert not unheard & {record.label for part in ("train", "validation") for record in trial.parts[part].references}
    assert not unheard & set(trial.labels)
    assert not speakers(trial.parts["unheard"].queries) & speakers(trial.parts["train"].queries)


def test_real_words_by_unseen_speakers(shared_data):
    words = load_words(shared_data / "speech_commands_dev", takes=20)
    trial = spoken_trial(words, 0.7, 10, np.random.default_rng(0))
    train, judged = trial.parts["train"], trial.parts["validation"]
    assert not speakers(train.queries) & (speakers(judged.queries) | speakers(judged.references))
    commands = {"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"}
    assert sum(record.label in commands for record in judged.queries) >= 200
    assert len({record.label for record in judged.references} & commands) == 10


@pytest.mark.parametrize("changes", [{"n_speakers": 2}, {"n_words": 1}])
def test_too_little_to_divide_is_an_error(changes):
    with pytest.raises(ConfigError, match="two training speakers, two others and two words"):
        spoken_trial(said(**changes), 0.5, 0, np.random.default_rng(0))


def test_disguises_mean_their_recording_and_no_source_is_in_two_parts(shared_data):
    records = load_esc50(shared_data / "esc10_dev", "esc10").records
    trial = disguised_trial(records, 0.7, np.random.default_rng(0), n_disguises=2)
    sources = [{record.source for record in trial.parts[part].references} for part in ("train", "validation")]
    assert not sources[0] & sources[1]
    assert sum(len(part.references) for part in trial.parts.values()) == len(records)
    for part in trial.parts.values():
        assert len(part.queries) == 2 * len(part.references)
        meant = [part.references[i].path for i in part.fits.argmax(axis=1)]
        assert [query.path for query in part.queries] == meant
        assert {query.split for query in part.queries} == {"disguise 0", "disguise 1"}


ROWS = (
    ("query", "reference", "split", "class"),
    *(("q0.wav", "r0.wav", "train", "cat"), ("q0.wav", "r1.wav", "train", "cat"), ("q1.wav", "r2.wav", "train", "dog")),
    *(("q2.wav", "r1.wav", "validation", "cat"), ("q3.wav", "r2.wav", "validation", "dog")),
)


def test_pairs_of_ones_own(tmp_path):
    lines(tmp_path / "pairs.csv", ROWS, ",")
    clips(tmp_path, [f"{kind}{i}.wav" for kind in "qr" for i in range(4)])
    trial = load_pairs(tmp_path)
    train = trial.parts["train"]
    assert [record.path.name for record in train.references] == ["r0.wav", "r1.wav", "r2.wav"]
    assert train.fits.tolist() == [[True, True, False], [False, False, True]]
    assert trial.labels == ("cat", "dog")
    assert train.query_class.tolist() == [0, 1]
    lines(tmp_path / "pairs.csv", [row[:3] for row in ROWS], ",")
    assert load_pairs(tmp_path).labels == ("r0.wav", "r1.wav", "r2.wav")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, ("q0.wav", "r0.wav", "test", "cat")], "splits train and validation"),
        (ROWS[:4], "splits train and validation"),
        ([*ROWS, ("q0.wav", "r2.wav", "train", "dog")], "one class for q0.wav"),
        ([*ROWS, ("q9.wav", "r2.wav", "train", "dog")], "none of"),
        ([row[:2] for row in ROWS], "split"),
    ],
)
def test_pairs_that_are_none(tmp_path, rows, message):
    lines(tmp_path / "pairs.csv", rows, ",")
    clips(tmp_path, [f"{kind}{i}.wav" for kind in "qr" for i in range(4)])
    with pytest.raises(ConfigError, match=message):
        load_pairs(tmp_path)

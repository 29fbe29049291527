"""Records and data sets: targets and masks against a loop, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record

LABELS = ("cat", "dog", "rain", "saw")
subsets = st.sets(st.sampled_from(LABELS))


@given(st.lists(st.tuples(subsets, st.none() | subsets), max_size=5))
def test_targets_and_mask_are_those_of_a_loop(rows: list[tuple[set[str], set[str] | None]]) -> None:
    records = tuple(
        Record(Path(f"{i}.wav"), tuple(sorted(labels)), None if seen is None else frozenset(seen))
        for i, (labels, seen) in enumerate(rows)
    )
    data = DataSet("made", LABELS, records)
    targets, mask = data.targets(), data.mask()
    assert (targets.dtype, mask.dtype) == (np.uint8, np.bool_)
    assert targets.shape == mask.shape == (len(rows), 4)
    for i, (labels, seen) in enumerate(rows):
        for j, label in enumerate(LABELS):
            assert targets[i, j] == (label in labels)
            assert mask[i, j] == (seen is None or label in seen)


def test_select_by_split_and_fold() -> None:
    records = tuple(
        Record(Path(f"{split}{fold}.wav"), (), split=split, fold=fold) for split in ("train", "test") for fold in (1, 2)
    )
    data = DataSet("made", LABELS, records, missing=("x.wav",))
    assert [record.path.name for record in data.select(split="test").records] == ["test1.wav", "test2.wav"]
    assert [record.path.name for record in data.select(fold=2).records] == ["train2.wav", "test2.wav"]
    assert len(data.select(split="train", fold=1)) == 1
    assert data.select(fold=1).missing == ("x.wav",)
    with pytest.raises(ConfigError, match="split='validation'"):
        data.select(split="validation")


def test_one_label_or_an_error() -> None:
    assert Record(Path("a.wav"), ("dog",)).label == "dog"
    for labels in ((), ("cat", "dog")):
        with pytest.raises(ConfigError, match=r"one label for a\.wav"):
            _ = Record(Path("a.wav"), labels).label


def test_labels_that_the_data_set_lacks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\['quack'\]"):
        DataSet("made", LABELS, (Record(Path("a.wav"), ("quack",)),))
    with pytest.raises(ConfigError, match=r"\['quack'\]"):
        DataSet("made", LABELS, (Record(Path("a.wav"), (), frozenset({"quack"})),))
    with pytest.raises(ConfigError, match="once"):
        DataSet("made", ("cat", "cat"), ())


def test_complete_or_an_error() -> None:
    data = DataSet("made", LABELS, (Record(Path("a.wav"), ()),))
    assert data.complete() is data
    with pytest.raises(ConfigError, match=r"3 audio files of made, 1 are missing, among them b\.wav"):
        DataSet("made", LABELS, data.records, ("b.wav",), ("c.wav",)).complete()

"""Evaluation through the engine, against a loop over the tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine import Tagger
from engine.errors import ConfigError
from tests.training import trees
from tests.training.cards import small_card, small_network
from training.datasets.record import Record
from training.evaluate import evaluate
from training.export import export

if TYPE_CHECKING:
    from pathlib import Path


def test_scores_are_the_taggers(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    records = []
    for i, label in enumerate(("low", "high", "high", "both")):
        # Up to two windows of half a second.
        trees.write_clip(tmp_path / f"{i}.wav", 300.0 * (i + 1), 0.2 + 0.2 * i, seed=i)
        records.append(Record(tmp_path / f"{i}.wav", (label,), fold=1, source=str(i)))
    result = evaluate(tmp_path / "small.onnx", records)
    tagger = Tagger(tmp_path / "small.onnx", device="cpu", threads=1)
    right = 0
    for i, record in enumerate(records):
        clip = tagger(record.path)
        assert result.scores[i].tolist() == clip.scores.tolist()
        right += clip.top(1)[0].label == record.label
    assert result.truth.tolist() == [0, 1, 1, 2]
    figures = result.to_dict()
    assert (figures["accuracy"], figures["n_clips"]) == (right / 4, 4)
    assert result.ms_per_clip > 0


def test_labels_that_the_model_does_not_know_are_refused(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    with pytest.raises(ConfigError, match=r"\['quack'\]"):
        evaluate(tmp_path / "small.onnx", [Record(tmp_path / "x.wav", ("quack",))])

"""Evaluation through the engine, against a loop over the tagger."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import f1_score

from engine import Tagger
from engine.errors import ConfigError
from tests.training import trees
from tests.training.cards import small_card, small_network
from training.__main__ import main
from training.datasets.catalogue import CATALOGUE
from training.datasets.record import DataSet, Record
from training.evaluate import evaluate, evaluate_data_set
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


def test_a_data_sets_figures_are_those_of_the_taggers_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "small.onnx"
    thresholds = {"low": 0.4, "high": 0.45, "both": 0.5}
    export(small_network(), small_card(thresholds=thresholds, threshold_method="by hand"), model)
    known = frozenset({"low", "high"})
    records = []
    for i, labels in enumerate(((), ("low",), ("low", "high"), ("high",))):
        trees.write_clip(tmp_path / f"{i}.wav", 300.0 * (i + 1), 0.4, seed=i)
        records.append(Record(tmp_path / f"{i}.wav", labels, known if i else frozenset({"low"}), split="test"))
    data = DataSet("tones", ("high", "low"), tuple(records), missing=("4.wav",))
    found = evaluate_data_set(model, data)
    tagger = Tagger(model, device="cpu", threads=1)
    scores = np.array([tagger(record.path).scores for record in records])
    f1 = {
        label: f1_score([label in r.labels for r in records[start:]], scores[start:, i] >= 0.5, zero_division=0)
        for i, (label, start) in enumerate((("low", 0), ("high", 1)))
    }
    assert found["f1"] == {**f1, "both": None}
    assert found["macro_f1"] == pytest.approx(np.mean(list(f1.values())))
    assert (found["n_clips"], found["n_missing"]) == (4, 1)
    assert "macro_f1_card" in found
    assert "accuracy" not in found

    monkeypatch.setitem(CATALOGUE, "fsdd", replace(CATALOGUE["fsdd"], load=lambda root: data))
    arguments = ["evaluate", str(model), "--dataset", "fsdd", "--data", "x", "--split", "test"]
    assert main([*arguments, "-o", str(tmp_path / "figures.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "figures.json").read_text())
    assert (printed["macro_f1"], printed["split"]) == (found["macro_f1"], "test")
    assert main([*arguments, "-o", str(tmp_path / "figures.json")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments[:-1], "none"]) == 2
    (tmp_path / "run").mkdir()
    assert main(["evaluate", str(tmp_path / "run"), *arguments[2:]]) == 2
    assert "one model" in capsys.readouterr().err


def test_a_single_label_data_set_has_accuracy(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    records = []
    for i, label in enumerate(("low", "high", "both")):
        trees.write_clip(tmp_path / f"{i}.wav", 300.0 * (i + 1), 0.4, seed=i)
        records.append(Record(tmp_path / f"{i}.wav", (label,)))
    found = evaluate_data_set(tmp_path / "small.onnx", DataSet("tones", ("low", "high", "both"), tuple(records)))
    assert found["accuracy"] == evaluate(tmp_path / "small.onnx", records).to_dict()["accuracy"]
    assert {"equal_error_rate", "expected_calibration_error"} <= found.keys()
    with pytest.raises(ConfigError, match="got none"):
        evaluate_data_set(tmp_path / "small.onnx", DataSet("tones", ("low",), ()))
    unlabelled = DataSet("tones", ("low",), (Record(tmp_path / "0.wav", (), frozenset()),))
    with pytest.raises(ConfigError, match="labelled"):
        evaluate_data_set(tmp_path / "small.onnx", unlabelled)
    with pytest.raises(ConfigError, match="quack"):
        evaluate_data_set(tmp_path / "small.onnx", DataSet("tones", ("quack",), (Record(tmp_path / "0.wav", ()),)))

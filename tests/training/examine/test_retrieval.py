"""Retrieval: who is searched by whom, against a loop over scikit-learn's average precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from engine import Embedder
from tests.training import trees
from tests.training.cards import small_card, small_network
from training.datasets.record import Record
from training.examine.retrieval import embeddings, retrieval
from training.export import export
from training.metrics import retrieval_precisions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(4))
def test_precisions_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distances = np.round(rng.random((6, 9)), 1)  # they tie
    alike, searched = rng.random((6, 9)) < 0.4, rng.random((6, 9)) < 0.8
    alike[0] = False
    precisions, first = retrieval_precisions(distances, alike, searched)
    assert np.isnan([precisions[0], first[0]]).all()
    for i in range(1, 6):
        there = searched[i]
        if alike[i, there].any():
            assert precisions[i] == pytest.approx(average_precision_score(alike[i, there], -distances[i, there]))
            assert first[i] == alike[i, there][distances[i, there].argmin()]


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="without NaN"):
        retrieval_precisions(np.full((1, 2), np.nan), np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="n_items"):
        retrieval_precisions(np.zeros((1, 2)), np.ones((1, 3)), np.ones((1, 2)))


def test_neither_own_source_nor_own_side_is_searched(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    records = []
    for i, (label, source) in enumerate(
        [("low", "a"), ("low", "a"), ("low", "b"), ("high", "c"), ("low", "d"), ("high", "e"), ("high", "c")]
    ):
        trees.write_clip(tmp_path / f"{i}.wav", 200.0 * (i + 1), 0.5, seed=i)
        records.append(Record(tmp_path / f"{i}.wav", (label,), source=source))
    held_out, seen = records[:4], records[4:]
    figures = retrieval(tmp_path / "small.onnx", held_out, seen)
    embedder = Embedder(tmp_path / "small.onnx", device="cpu", threads=1)
    vectors = np.stack([embedder(record.path).embedding for record in records])
    assert np.array_equal(vectors, embeddings(tmp_path / "small.onnx", records))
    for name, side in (("unseen", held_out), ("seen", seen)):
        found = []
        for i, query in enumerate(held_out):
            others = [j for j, r in enumerate(records) if r in side and r.source != query.source]
            alike = [records[j].label == query.label for j in others]
            cosine = [float(vectors[i] @ vectors[j]) for j in others]
            if any(alike):
                found.append((average_precision_score(alike, cosine), alike[int(np.argmax(cosine))]))
        assert figures[name]["map"] == pytest.approx(np.mean([precision for precision, _ in found]))
        assert figures[name]["p_at_1"] == pytest.approx(np.mean([hit for _, hit in found]))
        assert (figures[name]["n_queries"], figures[name]["n_left_out"]) == (len(found), 4 - len(found))


def test_figures_without_a_query_are_missing(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    trees.write_clip(tmp_path / "0.wav", 300.0, 0.5, seed=0)
    clip = Record(tmp_path / "0.wav", ("low",), source="a")
    figures = retrieval(tmp_path / "small.onnx", [clip], [clip])
    assert figures["seen"] == figures["unseen"] == {"map": None, "p_at_1": None, "n_queries": 0, "n_left_out": 1}

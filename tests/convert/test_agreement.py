"""How far two models agree, against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from engine.convert.agreement import agreement
from engine.convert.recordings import Recording
from engine.results import Clip, Labelling

LABELS = ("a", "b", "c", "d")


def clips(rows, embeddings=None, labels=LABELS):
    vectors = [None] * len(rows) if embeddings is None else [np.array(row, np.float32) for row in embeddings]
    return [
        Clip(None, 1.0, np.array(row, np.float32), vector, (), Labelling(labels))
        for row, vector in zip(rows, vectors, strict=True)
    ]


def recordings(*labels):
    return [Recording(None, np.zeros(1, np.float32), label) for label in labels]


ORIGINAL = [[0.9, 0.5, 0.1, 0.2], [0.1, 0.8, 0.3, 0.2], [0.2, 0.1, 0.6, 0.5]]
VARIANT = [[0.8, 0.5, 0.2, 0.1], [0.1, 0.7, 0.3, 0.2], [0.2, 0.1, 0.4, 0.5]]


def test_without_labels_the_best_label_of_the_original_is_the_truth():
    found = agreement(recordings(None, None, None), clips(ORIGINAL), clips(VARIANT))
    assert found.accuracy_drop == pytest.approx(1 / 3)
    assert not found.labelled
    assert found.largest_difference == pytest.approx(0.2)
    assert found.mean_difference == pytest.approx(np.mean(np.abs(np.array(ORIGINAL) - VARIANT)))
    expected = np.mean([spearmanr(a, b).statistic for a, b in zip(ORIGINAL, VARIANT, strict=True)])
    assert found.rank_correlation == pytest.approx(expected)
    assert found.embedding_cosine is None


def test_with_labels_accuracy_is_compared():
    found = agreement(recordings("a", "b", "d"), clips(ORIGINAL), clips(VARIANT))
    assert found.labelled
    assert found.accuracy_drop == pytest.approx(-1 / 3)  # what the variant changes happens to be right


def test_one_label_is_ranked_over_the_recordings():
    rows, other = [[0.1], [0.5], [0.9]], [[0.2], [0.3], [0.4]]
    found = agreement(recordings(None, None, None), clips(rows, labels=("a",)), clips(other, labels=("a",)))
    assert found.rank_correlation == pytest.approx(1)
    assert found.accuracy_drop is None


def test_embeddings_alone_have_a_cosine():
    rows = [[], []]
    found = agreement(
        recordings(None, None),
        clips(rows, [[1, 0], [0, 2]], ()),
        clips(rows, [[1, 0], [2, 2]], ()),
    )
    assert found.rank_correlation is None
    assert found.embedding_cosine == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert found.largest_difference == pytest.approx(1)  # 2 of at most 2


def test_constant_scores_have_no_ranks():
    even = clips([[0.5] * 4])
    assert agreement(recordings(None), even, even).rank_correlation == 1
    assert agreement(recordings(None), even, clips([[0.1, 0.2, 0.3, 0.4]])).rank_correlation == 0

"""Metrics against slow loops, and their degenerate cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.metrics import accuracy, best_f1_thresholds, confusion_matrix, recall


def f1(scores: np.ndarray, positive: np.ndarray, threshold: float) -> float:
    true_positives = false_positives = false_negatives = 0
    for score, is_positive in zip(scores, positive, strict=True):
        accepted = score >= threshold
        true_positives += bool(accepted and is_positive)
        false_positives += bool(accepted and not is_positive)
        false_negatives += bool(not accepted and is_positive)
    return 2 * true_positives / (2 * true_positives + false_positives + false_negatives)


@pytest.fixture(params=range(5))
def example(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(request.param)
    truth = rng.integers(0, 4, 40)
    # Coarse steps, so that scores tie.
    scores = np.round(rng.random((40, 4)) + 0.4 * np.eye(4)[truth], 1).astype(np.float32)
    return scores, truth


def test_confusion_accuracy_and_recall_match_loops(example: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = example
    expected = [[0] * 4 for _ in range(4)]
    for row, true in zip(scores, truth, strict=True):
        expected[true][max(range(4), key=lambda label: row[label])] += 1
    confusion = confusion_matrix(scores, truth)
    assert confusion.tolist() == expected
    assert accuracy(confusion) == sum(expected[i][i] for i in range(4)) / 40
    assert recall(confusion).tolist() == [expected[i][i] / sum(expected[i]) for i in range(4)]


def test_thresholds_reach_the_best_f1_of_all(example: tuple[np.ndarray, np.ndarray]) -> None:
    scores, truth = example
    for label, threshold in enumerate(best_f1_thresholds(scores, truth)):
        column, positive = scores[:, label], truth == label
        best = max(f1(column, positive, candidate) for candidate in column)
        assert f1(column, positive, threshold) == best
        higher = [candidate for candidate in column if candidate > threshold]
        assert all(f1(column, positive, candidate) < best for candidate in higher if candidate > min(higher))


def test_a_threshold_lies_halfway_between_what_it_separates() -> None:
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9]])
    assert best_f1_thresholds(scores, np.array([0, 0, 1, 1])) == pytest.approx([0.45, 0.55])


def test_a_label_without_clips_has_no_recall_and_no_threshold() -> None:
    scores, truth = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0])
    assert math.isnan(recall(confusion_matrix(scores, truth))[1])
    assert best_f1_thresholds(scores, truth)[1] == math.inf


@pytest.mark.parametrize(
    ("scores", "truth"),
    [
        (np.zeros((0, 2)), np.zeros(0, int)),
        (np.zeros((2, 2)), np.array([0])),
        (np.zeros(2), np.array([0, 1])),
        (np.zeros((2, 2)), np.array([0, 2])),
        (np.zeros((2, 2)), np.array([0, -1])),
        (np.full((2, 2), np.nan), np.array([0, 1])),
    ],
)
def test_input_that_means_nothing_is_refused(scores: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        confusion_matrix(scores, truth)

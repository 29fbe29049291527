"""Figures of merit of single-label classification, from scores of shape (n_clips, n_labels) and true label indices.

Degenerate input is defined: no clips is a ValueError, a class without clips has the recall NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def confusion_matrix(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return how many clips of each true label (rows) have each label as their best (columns)."""
    validate(scores, truth)
    counts = np.zeros((scores.shape[1], scores.shape[1]), np.int64)
    np.add.at(counts, (truth, scores.argmax(axis=1)), 1)
    return counts


def accuracy(confusion: NDArray[np.int64]) -> float:
    """Return the share of clips whose best label is the true one."""
    return float(np.trace(confusion) / confusion.sum())


def recall(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, per true label, the share of its clips whose best label is the true one; NaN where it has no clips."""
    clips = confusion.sum(axis=1)
    return np.where(clips > 0, np.diag(confusion) / np.maximum(clips, 1), np.nan)


def best_f1_thresholds(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return, per label, the threshold with the largest F1 = 2 TP / (2 TP + FP + FN) of "score >= threshold".

    It lies half-way between the two neighbouring scores that it separates; among equally good ones it is the highest.
    A label without clips gets infinity.
    """
    validate(scores, truth)
    return np.array([_best_f1(scores[:, label], truth == label) for label in range(scores.shape[1])])


def _best_f1(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(positive[order])
    # With the k best accepted, 2 TP + FP + FN = k + number of positives.
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + positive.sum())
    below = np.append(ranked[1:], 0.0)
    f1[ranked == below] = -1  # equal scores cannot be separated
    best = int(f1.argmax())
    return float((ranked[best] + below[best]) / 2) if positive.any() else np.inf


def validate(scores: NDArray[np.floating], truth: NDArray[np.integer]) -> None:
    """Raise ValueError unless there is one row of finite scores and one existing label per clip."""
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or truth.size == 0:
        raise ValueError(f"expected scores (n_clips, n_labels) and truth (n_clips,), got {scores.shape}, {truth.shape}")
    if not np.isfinite(scores).all() or truth.min() < 0 or truth.max() >= scores.shape[1]:
        raise ValueError(f"expected finite scores and label indices below {scores.shape[1]}, got others")

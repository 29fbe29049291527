"""Areas under precision-recall curves, from scores and targets of shape (n_clips, n_labels), missing labels masked.

Degenerate input is defined: the area of a label without an observed positive clip is missing (NaN) and left out of a
mean; equal scores are one point of the curve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.metrics.means import nanmean
from training.metrics.multilabel import observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


def precision_recall_curve(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision and recall of "score >= t" for falling t, from the point (1, 0) on, shape (n_thresholds + 1,).

    Parameters
    ----------
    scores : ndarray, shape (n_clips,)
    positive : ndarray of bool, shape (n_clips,)
        With at least one True.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[last]
    return np.append(1.0, hits / (last + 1)), np.append(0.0, hits / positive.sum())


def area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the trapezoidal area under the precision-recall curve, which begins at (recall 0, precision 1)."""
    if not positive.any():
        return float("nan")
    precision, recall = precision_recall_curve(scores, positive)
    return float((np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum())


def average_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the sum of precision times rise in recall, without interpolation between the points."""
    if not positive.any():
        return float("nan")
    precision, recall = precision_recall_curve(scores, positive)
    return float((precision[1:] * np.diff(recall)).sum())


def macro_auprc(scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the mean over labels of the trapezoidal area, each over its observed clips.

    Parameters
    ----------
    scores : array_like, shape (n_clips, n_labels)
    targets : array_like, shape (n_clips, n_labels)
        1 where the label applies, else 0; not read where ``mask`` is False.
    mask : array_like of bool, shape (n_clips, n_labels), optional
        True where the target is known; None where all are.
    """
    return nanmean(_per_label(area, *observed(scores, targets, mask)))


def micro_auprc(scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the trapezoidal area over all observed entries of all labels together; parameters as ``macro_auprc``."""
    values, positive, known = observed(scores, targets, mask)
    return area(values[known], positive[known])


def mean_average_precision(scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Return the mean over labels of the average precision (mAP); parameters as for ``macro_auprc``."""
    return nanmean(_per_label(average_precision, *observed(scores, targets, mask)))


def _per_label(
    figure: Callable[[NDArray[np.float64], NDArray[np.bool_]], float],
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> list[float]:
    return [figure(scores[known[:, c], c], positive[known[:, c], c]) for c in range(scores.shape[1])]

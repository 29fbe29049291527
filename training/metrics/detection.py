"""Detection error trade-off (DET) and equal error rate (EER) of one event against everything else.

Degenerate input is defined: without a clip that has the event, or without one that has not, the rates are missing
(NaN). Equal scores are accepted together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.metrics.means import nanmean
from training.metrics.multilabel import observed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def det_curve(scores: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return false alarm rate and miss rate of "score >= t", from accepting nothing (0, 1) to accepting all (1, 0).

    Parameters
    ----------
    scores : array_like, shape (n_clips,)
    positive : array_like of bool, shape (n_clips,)
        Which clips have the event.

    Returns
    -------
    tuple of ndarray, each of shape (n_distinct_scores + 1,)
    """
    values, truth = np.asarray(scores, np.float64), np.asarray(positive).astype(np.bool_)
    if values.ndim != 1 or truth.shape != values.shape or not np.isfinite(values).all():
        raise ValueError(f"expected finite scores and truth (n_clips,), got {values.shape} and {truth.shape}")
    n_positive, n_negative = int(truth.sum()), int((~truth).sum())
    if not n_positive or not n_negative:
        return np.full(2, np.nan), np.full(2, np.nan)
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    hits = np.cumsum(truth[order])[last]
    false_alarm = np.append(0.0, (last + 1 - hits) / n_negative)
    return false_alarm, np.append(1.0, 1 - hits / n_positive)


def equal_error_rate(scores: ArrayLike, positive: ArrayLike) -> float:
    """Return the rate at which false alarms and misses are equally frequent.

    The curve is taken as straight between its neighbouring points, so the rate need not belong to a threshold.
    Parameters as for ``det_curve``.
    """
    false_alarm, miss = det_curve(scores, positive)
    if np.isnan(false_alarm).any():
        return float("nan")
    gap = false_alarm - miss  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(false_alarm[after - 1] + share * (false_alarm[after] - false_alarm[after - 1]))


def equal_error_rates(scores: ArrayLike, targets: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """Return the overall equal error rate, which is the unweighted mean of those of the events, and these.

    Parameters
    ----------
    scores, targets : array_like, shape (n_clips, n_events)
        Clips of the other events and of none are the negatives of an event.
    """
    values, positive, _ = observed(scores, targets, None)
    rates = np.array([equal_error_rate(values[:, i], positive[:, i]) for i in range(values.shape[1])])
    return nanmean(rates), rates


def equal_error_threshold(scores: ArrayLike, positive: ArrayLike) -> float:
    """Return the threshold nearest to equal rates of false alarms and misses; NaN where there are none.

    It lies half-way between the two scores that it separates. Parameters as for ``det_curve``.
    """
    false_alarm, miss = det_curve(scores, positive)
    if np.isnan(false_alarm).any():
        return float("nan")
    return _threshold(scores, int(np.abs(false_alarm - miss).argmin()))


def threshold_at_false_alarms(scores: ArrayLike, positive: ArrayLike, rate: float) -> float:
    """Return the lowest threshold with at most this rate of false alarms, half-way to the next lower score.

    NaN where there is no clip of either kind. Parameters as for ``det_curve``.
    """
    false_alarm, _ = det_curve(scores, positive)
    if np.isnan(false_alarm).any():
        return float("nan")
    return _threshold(scores, int(np.flatnonzero(false_alarm <= rate)[-1]))


def _threshold(scores: ArrayLike, n_accepted: int) -> float:
    """Return a threshold that accepts so many of the distinct scores, the highest ones."""
    distinct = np.unique(np.asarray(scores, np.float64))[::-1]
    if n_accepted == 0:
        return float(np.nextafter(distinct[0], np.inf))
    if n_accepted == len(distinct):
        return float(distinct[-1])
    return float((distinct[n_accepted - 1] + distinct[n_accepted]) / 2)

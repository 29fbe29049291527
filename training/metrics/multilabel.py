"""F1 of several labels per clip, from scores and targets of shape (n_clips, n_labels), missing labels masked.

Degenerate input is defined: an F1 whose denominator is zero is 0; a label of which nothing is observed is missing (NaN)
and left out of a mean; a mean of nothing is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.metrics.means import nanmean

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def f1_per_label(
    scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None, threshold: float = 0.5
) -> NDArray[np.float64]:
    """Return each label's F1 = 2 TP / (2 TP + FP + FN) of "score >= threshold" over its observed clips.

    Parameters
    ----------
    scores : array_like, shape (n_clips, n_labels)
    targets : array_like, shape (n_clips, n_labels)
        1 where the label applies, else 0; not read where ``mask`` is False.
    mask : array_like of bool, shape (n_clips, n_labels), optional
        True where the target is known; None where all are.
    threshold : float

    Returns
    -------
    ndarray, shape (n_labels,)
        0 where the denominator is 0, NaN where nothing is observed.
    """
    scores, targets, mask = observed(scores, targets, mask)
    accepted, positive = (scores >= threshold) & mask, targets & mask
    return _f1(accepted, positive, mask)


def macro_f1(scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None, threshold: float = 0.5) -> float:
    """Return the mean over labels of the F1 of the positive class; parameters as for ``f1_per_label``."""
    return nanmean(f1_per_label(scores, targets, mask, threshold))


def two_sided_f1(scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None, threshold: float = 0.5) -> float:
    """Return the mean over labels of the mean F1 of the positive and the negative class.

    The figure of the OpenMIC-2018 baseline and of Gururani and Lerch (2021): the macro average of each instrument's
    two classes, "there" and "not there", over its observed clips. Parameters as for ``f1_per_label``.
    """
    scores, targets, mask = observed(scores, targets, mask)
    accepted = scores >= threshold
    positive = _f1(accepted & mask, targets & mask, mask)
    negative = _f1(~accepted & mask, ~targets & mask, mask)
    return nanmean((positive + negative) / 2)


def observed(
    scores: ArrayLike, targets: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return scores, targets and mask as arrays of one shape; ValueError when they are not."""
    values, truth = np.asarray(scores, np.float64), np.asarray(targets)
    known = np.ones(values.shape, np.bool_) if mask is None else np.asarray(mask).astype(np.bool_)
    if values.ndim != 2 or truth.shape != values.shape or known.shape != values.shape:
        raise ValueError(
            f"expected scores, targets and mask (n_clips, n_labels), got {values.shape}, {truth.shape}, {known.shape}"
        )
    if not np.isin(truth[known], (0, 1)).all() or not np.isfinite(values[known]).all():
        raise ValueError("expected targets of 0 and 1 and finite scores where the mask is set, got others")
    return values, (truth == 1) & known, known


def _f1(accepted: NDArray[np.bool_], positive: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    # 2 TP + FP + FN = number accepted + number positive.
    both = accepted.sum(axis=0) + positive.sum(axis=0)
    f1 = 2 * (accepted & positive).sum(axis=0) / np.maximum(both, 1)
    return np.where(mask.any(axis=0), f1, np.nan)

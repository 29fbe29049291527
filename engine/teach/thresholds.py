"""From which score on a label is given: chosen for a precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where nothing was measured that a threshold could be chosen on.
UNMEASURED = 0.5


class Threshold(NamedTuple):
    """A threshold, and whether the precision that it was chosen for is reached on the clips that it was chosen on."""

    score: float
    reached: bool


def choose_threshold(scores: NDArray[np.float64], relevant: NDArray[np.bool_], precision: float) -> Threshold:
    """Return the lowest threshold whose precision is at least what is asked for.

    It lies in the middle between two scores, so that the last bits of a score decide nothing. Where no threshold
    reaches the precision, it is the one with the highest, and of several the one with the highest recall.

    Parameters
    ----------
    scores : ndarray, shape (n_clips,)
        In [0, 1], of clips that the head was not fitted to.
    relevant : ndarray, shape (n_clips,), bool
        Which of them have the label.
    precision : float
    """
    if not relevant.any():
        return Threshold(UNMEASURED, False)
    cuts, first = np.unique(-scores, return_inverse=True)
    n_given = np.cumsum(np.bincount(first, minlength=len(cuts)))
    n_right = np.cumsum(np.bincount(first, relevant, len(cuts)))
    precisions = n_right / n_given
    good = np.flatnonzero(precisions >= precision)
    index = good[-1] if len(good) else np.flatnonzero(precisions == precisions.max())[-1]
    # Nothing is gained below the last clip that has the label.
    below = -cuts[index + 1] if index + 1 < len(cuts) else 0.0
    return Threshold(float((-cuts[index] + below) / 2), bool(len(good)))


def choose_thresholds(scores: NDArray[np.float64], targets: NDArray[np.bool_], precision: float) -> list[Threshold]:
    """Return a threshold per label for scores and targets of shape (n_clips, n_labels)."""
    return [choose_threshold(scores[:, label], targets[:, label], precision) for label in range(targets.shape[1])]

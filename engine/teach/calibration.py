"""Scores that mean what they say: one temperature for the logits, fitted on clips that the head was not fitted to.

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.teach.head import activated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.teach.pooling import ClipWindows
    from engine.teach.settings import Reduce

LARGEST_LOG_TEMPERATURE = 3.0
N_BINS = 10
# The surest that a log loss believes a score to be.
SMALLEST = 1e-7


def fit_temperature(
    logits: NDArray[np.float64], windows: ClipWindows, targets: NDArray[np.bool_], reduce: Reduce, *, exclusive: bool
) -> float:
    """Return the temperature under which the clips' labels are the likeliest.

    Its logarithm has a standard normal prior: a handful of clips that are all right must not make the scores certain.

    Parameters
    ----------
    logits : ndarray, shape (n_windows, n_labels)
    windows : ClipWindows
    targets : ndarray, shape (n_clips, n_labels), bool
    reduce : str
    exclusive : bool
    """
    from scipy import optimize

    def loss(log_temperature: float) -> float:
        scores = windows.pooled(activated(logits / np.exp(log_temperature), exclusive=exclusive), reduce)
        return log_loss(scores, targets, exclusive=exclusive) * len(targets) + log_temperature**2 / 2

    limits = (-LARGEST_LOG_TEMPERATURE, LARGEST_LOG_TEMPERATURE)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=limits, method="bounded").x))


def calibration_figures(
    scores: NDArray[np.float64], targets: NDArray[np.bool_], *, exclusive: bool
) -> dict[str, float]:
    """Return log loss, Brier score and expected calibration error of clips' scores, shape (n_clips, n_labels)."""
    return {
        "log_loss": log_loss(scores, targets, exclusive=exclusive),
        "brier_score": float(np.square(scores - targets).sum(axis=1).mean()),
        "expected_calibration_error": _calibration_error(scores, targets, exclusive=exclusive),
    }


def log_loss(scores: NDArray[np.float64], targets: NDArray[np.bool_], *, exclusive: bool) -> float:
    """Return the mean over clips of minus the logarithm of what the scores give to the truth."""
    given = np.clip(scores, SMALLEST, 1 - SMALLEST)
    losses = -np.log(np.where(targets, given, 1 if exclusive else 1 - given))
    return float(losses.sum(axis=1).mean())


def _calibration_error(scores: NDArray[np.float64], targets: NDArray[np.bool_], *, exclusive: bool) -> float:
    """Return how far scores are from the share of right ones, in ten bins of scores, weighed by their sizes."""
    if exclusive:  # the score of the best label against how often it is right
        best = scores.argmax(axis=1)[:, np.newaxis]
        scores, targets = np.take_along_axis(scores, best, axis=1), np.take_along_axis(targets, best, axis=1)
    bins = np.minimum((scores.ravel() * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, (scores - targets).ravel(), N_BINS)
    return float(np.abs(gaps).sum() / scores.size)

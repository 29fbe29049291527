"""Beyond the paper: thresholds and calibration from the known entries of the validation part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from training.metrics import expected_calibration_error, f1_per_label

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_thresholds(
    scores: NDArray[np.floating], targets: NDArray[np.uint8], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return each label's threshold with the largest F1 over its known entries, shape (n_labels,).

    Half-way between two scores; 0.5 where a label has no known positive.
    """
    found = np.full(scores.shape[1], 0.5)
    for label in range(scores.shape[1]):
        rows = known[:, label]
        if not (targets[rows, label] == 1).any():
            continue
        values = np.unique(scores[rows, label].astype(np.float64))
        candidates = np.concatenate([[values[0] / 2], (values[1:] + values[:-1]) / 2])
        column = scores[rows, label : label + 1] - candidates[None] + 0.5
        f1 = f1_per_label(column, np.repeat(targets[rows, label : label + 1], len(candidates), axis=1))
        found[label] = candidates[int(f1.argmax())]
    return found


def calibrated(
    scores: NDArray[np.floating],
    of_validation: NDArray[np.floating],
    targets: NDArray[np.uint8],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return scores after Platt's logistic regression on log-odds, one slope and offset for all labels.

    Parameters
    ----------
    scores : ndarray, shape (n_clips, n_labels)
    of_validation, targets, known : ndarray, shape (n_validation, n_labels)
        What it is fitted on, known entries only.
    """
    given, truth = _log_odds(of_validation)[known], targets[known].astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> float:
        odds = parameters[0] * given + parameters[1]
        return float(np.mean(np.logaddexp(0, odds) - truth * odds))

    slope, offset = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    made: NDArray[np.float64] = 1 / (1 + np.exp(-(slope * _log_odds(scores) + offset)))
    return made


def calibration_error(scores: NDArray[np.floating], targets: NDArray[np.uint8], known: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of "this label is present" over the known entries."""
    return expected_calibration_error(np.clip(scores[known], 0, 1), targets[known] == 1)


def _log_odds(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    inside = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)))

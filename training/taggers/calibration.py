"""Scores that mean what they say: a scale and an offset of the logits, fitted on clips that no model had seen.

C. Guo et al., "On calibration of modern neural networks" (2017), section 4.2: matrix scaling with one number for all
labels, here with an offset, since labels are smoothed and most of them are absent. A softmax has no use for the offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray
    from torch import nn

# What a float32 score that was rounded to zero, or to one, may have been.
SMALLEST = 1e-30


@dataclass(frozen=True)
class Calibration:
    """Calibrated logits are ``scale * logits + offset``."""

    scale: float
    offset: float

    def scores(self, scores: NDArray[np.floating], *, softmax: bool) -> NDArray[np.float64]:
        """Return what calibrated logits would have given, for scores of shape (n_clips, n_labels)."""
        raised = self.scale * logits(scores, softmax=softmax) + self.offset
        if softmax:
            powers = np.exp(raised - raised.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)
        return np.asarray(1 / (1 + np.exp(-raised)), np.float64)

    def into(self, last: nn.Linear) -> None:
        """Put the calibration into a network's last layer, so that its logits are calibrated."""
        with torch.no_grad():
            last.weight.mul_(self.scale)
            last.bias.mul_(self.scale).add_(self.offset)


def logits(scores: NDArray[np.floating], *, softmax: bool) -> NDArray[np.float64]:
    """Return logits that give these scores; of a softmax, those whose exponentials sum to one."""
    given = np.asarray(scores, np.float64)
    powers = np.log(np.maximum(given, SMALLEST))
    return powers if softmax else powers - np.log(np.maximum(1 - given, 1e-9))


def calibrate(scores: NDArray[np.floating], truth: NDArray[np.integer], *, softmax: bool) -> Calibration:
    """Return the scale and offset of least cross entropy.

    Parameters
    ----------
    scores : ndarray, shape (n_clips, n_labels)
        Of models that had not seen the clips.
    truth : ndarray, shape (n_clips,)
        Index of each clip's label.
    softmax : bool
        Whether labels exclude each other; then only the scale is fitted.
    """
    from scipy.optimize import minimize

    given = logits(scores, softmax=softmax)
    wanted = np.eye(scores.shape[1])[truth]

    def cost(values: NDArray[np.float64]) -> float:
        raised = np.exp(values[0]) * given + (0.0 if softmax else values[1])
        if softmax:
            highest = raised.max(axis=1)
            total = highest + np.log(np.exp(raised - highest[:, None]).sum(axis=1))
            return float((total - (raised * wanted).sum(axis=1)).mean())
        return float((np.logaddexp(0, raised) - wanted * raised).sum(axis=1).mean())

    found = minimize(cost, np.zeros(1 if softmax else 2), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-9})
    return Calibration(float(np.exp(found.x[0])), 0.0 if softmax else float(found.x[1]))


def cross_fitted(done: Mapping[str, Any], *, softmax: bool) -> dict[str, Calibration]:
    """Return for each job the calibration of the jobs of the same seed whose folds are others.

    Parameters
    ----------
    done : mapping
        Of jobs ``seedS-foldF`` to their "scores" and "truth".
    softmax : bool
    """
    made = {}
    for job in done:
        seed = job.split("-")[0]
        rest = [other for name, other in done.items() if name != job and name.split("-")[0] == seed]
        scores = np.concatenate([np.array(other["scores"]) for other in rest])
        truth = np.concatenate([np.array(other["truth"]) for other in rest])
        made[job] = calibrate(scores, truth, softmax=softmax)
    return made

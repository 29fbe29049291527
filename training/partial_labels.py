"""Labels that are known in part: hiding some, guessing which hidden ones are positive, and a teacher that averages.

Entries are (clip, label) pairs: ``known`` is True where one is labelled, "missing" where it is not. Everything here
takes and gives arrays of shape (n_clips, n_labels) and leaves its arguments alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import nn


def hide(known: NDArray[np.bool_], share: float, generator: Generator) -> NDArray[np.bool_]:
    """Hide each known entry with the probability ``share``, and return what is still known (section IV-D)."""
    return known & (generator.random(known.shape) >= share)


def hide_rare(
    known: NDArray[np.bool_], targets: NDArray[np.uint8], share: float, generator: Generator
) -> NDArray[np.bool_]:
    """Hide about ``share`` of the known entries, those of rare labels more often.

    A label's chance is in proportion to one over its share of positive clips, at most 0.98.
    """
    rarity = 1 / np.maximum((targets * known).sum(axis=0), 1)
    low, high = 0.0, 1.0 / rarity.min()
    for _ in range(60):  # the factor whose mean chance is the share
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(rarity * middle, 0.98).mean() < share else (low, middle)
    return known & (generator.random(known.shape) >= np.minimum(rarity * low, 0.98))


def present(targets: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the targets that may be learnt from: 0 where an entry is missing, whatever it was before it was hidden."""
    return np.where(known, targets, 0).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Pruning:
    """Which entries a student learns from.

    Attributes
    ----------
    counted : ndarray of bool, shape (n_clips, n_labels)
        All known entries, and the missing ones that are probably negative.
    pruned : ndarray of bool, shape (n_clips, n_labels)
        The missing ones that are left out, as the teacher's scores are high.
    """

    counted: NDArray[np.bool_]
    pruned: NDArray[np.bool_]


def prune(scores: NDArray[np.floating], known: NDArray[np.bool_], percentile: float) -> Pruning:
    """Leave out missing entries whose teacher score is at or above their label's percentile (Equation 1).

    Parameters
    ----------
    scores : ndarray, shape (n_clips, n_labels)
    known : ndarray of bool, shape (n_clips, n_labels)
    percentile : float
        gamma in per cent, of the scores of a label's missing entries, between ranks interpolated linearly: 95 leaves
        out 5 in 100, and equal scores together. A label without missing entries loses none.
    """
    pruned = np.zeros(known.shape, bool)
    for label in range(known.shape[1]):
        missing = ~known[:, label]
        if missing.any():
            limit = np.percentile(scores[missing, label].astype(np.float64), percentile)
            pruned[:, label] = missing & (scores[:, label] >= limit)
    return Pruning(~pruned, pruned)


def teacher_decay(step: int, limit: float) -> float:
    """Return the decay of the teacher's step 1, 2, ...: min(1 - 1 / (step + 1), limit)."""
    return min(1 - 1 / (step + 1), limit)


def follow(teacher: nn.Module, student: nn.Module, step: int, limit: float, *, buffers: bool = False) -> None:
    """Move the teacher's parameters towards the student's by ``teacher_decay`` (section III-E, Equation 3).

    Parameters
    ----------
    buffers : bool
        Whether the running means and variances of batch normalisation are averaged too. The authors' code leaves them
        to the teacher's own passes.
    """
    decay = teacher_decay(step, limit)
    with torch.no_grad():
        pairs = list(zip(teacher.parameters(), student.parameters(), strict=True))
        if buffers:
            pairs += zip(teacher.buffers(), student.buffers(), strict=True)
        for mine, other in pairs:
            if mine.is_floating_point():
                mine.lerp_(other, 1 - decay)
            else:
                mine.copy_(other)

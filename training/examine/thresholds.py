"""Thresholds that keep a promise: so much precision among the labels' own clips, and silence about everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds and what they leave.

    Attributes
    ----------
    values : ndarray, shape (n_labels,)
        A label is given from there on.
    precision, recall : ndarray, shape (n_labels,)
        On the clips that they were chosen by; precision is NaN where nothing is accepted.
    outside : float
        Share of the other sounds' windows with any label above its threshold.
    """

    values: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    outside: float


def choose_thresholds(
    scores: NDArray[np.floating],
    truth: NDArray[np.integer],
    outside: NDArray[np.floating],
    *,
    precision: float = 0.9,
    most: float = 0.05,
) -> Thresholds:
    """Return the lowest thresholds with this precision per label and at most this share of other sounds' windows above.

    Each label starts at the lowest threshold from which on its precision is reached. Then, as long as too many windows
    of other sounds lie above a threshold, one of the labels is raised above the lowest such window of its own: the
    label that loses the fewest of its clips for each window that is rid of, the first of equal ones.

    Parameters
    ----------
    scores : ndarray, shape (n_clips, n_labels)
        Of models that had not seen the clips.
    truth : ndarray, shape (n_clips,)
        Index of each clip's label.
    outside : ndarray, shape (n_windows, n_labels)
        Of sounds that have none of the labels.
    precision, most : float
    """
    given, others = np.asarray(scores, np.float64), np.asarray(outside, np.float64)
    n_labels = given.shape[1]
    values = np.array([_lowest(given[:, i], truth == i, precision) for i in range(n_labels)])
    # Thresholds only rise: a window below all of them stays there.
    heard = others[(others >= values).any(axis=1)]
    while len(heard) > most * len(others):
        steps = [_raised(given[truth == i, i], heard, values, i) for i in range(n_labels)]
        label = int(np.argmin([cost for cost, _ in steps]))
        values[label] = steps[label][1]
        heard = heard[(heard >= values).any(axis=1)]
    accepted = given >= values
    own = np.eye(n_labels, dtype=np.bool_)[truth]
    hits = (accepted & own).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Thresholds(
            values,
            hits / accepted.sum(axis=0),
            hits / own.sum(axis=0),
            _share_above(others, values),
        )


def _share_above(others: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    return float((others >= values).any(axis=1).mean()) if len(others) else 0.0


def _lowest(scores: NDArray[np.float64], positive: NDArray[np.bool_], precision: float) -> float:
    """Return the lowest threshold from which on the precision is reached, half-way down to the next score."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    reached = np.cumsum(positive[order]) / np.arange(1, len(ranked) + 1) >= precision
    below = np.append(ranked[1:], 0.0)
    reached &= ranked > below  # equal scores cannot be separated
    if not reached.any():
        return float(np.nextafter(ranked[0], np.inf))
    last = int(np.flatnonzero(reached)[-1])
    return float((ranked[last] + below[last]) / 2)


def _raised(
    own: NDArray[np.float64], others: NDArray[np.float64], values: NDArray[np.float64], label: int
) -> tuple[float, float]:
    """Return the clips lost per window rid of, and the threshold, when a label is raised above its next windows.

    Of all places up to the highest window the cheapest is taken.
    """
    column = others[:, label]
    elsewhere = (np.delete(others, label, axis=1) >= np.delete(values, label)).any(axis=1)
    above = np.sort(column[column >= values[label]])
    rid = np.searchsorted(np.sort(column[(column >= values[label]) & ~elsewhere]), above, side="right")
    lost = np.searchsorted(np.sort(own[own >= values[label]]), above, side="right")
    if rid.any():
        costs = np.where(rid > 0, lost / np.maximum(rid, 1), np.inf)
        best = int(costs.argmin())
        return float(costs[best]), float(np.nextafter(above[best], np.inf))
    # Windows that other labels hold as well: no gain yet, but a step.
    return (1e9, float(np.nextafter(above[0], np.inf))) if len(above) else (np.inf, float(values[label]))

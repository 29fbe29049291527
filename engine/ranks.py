"""Ranks of scores, the largest first; those who share a score share the mean of their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def average_ranks(scores: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the rank of each score and how many others equal it.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        All finite; the larger the better.

    Returns
    -------
    ranks : ndarray, shape (n,), float64
        From 1. Neither optimistic nor pessimistic about ties: a model that gives everything the same score ranks
        everything in the middle.
    n_tied : ndarray, shape (n,), int64

    Examples
    --------
    >>> ranks, n_tied = average_ranks(np.array([0.9, 0.2, 0.9, 0.1]))
    >>> ranks.tolist(), n_tied.tolist()
    ([1.5, 3.0, 1.5, 4.0], [1, 0, 1, 0])
    """
    _, group, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means = last - (counts - 1) / 2
    return means[group], counts[group] - 1

"""Ranks of a target among scored items, with ties counted openly.

A target that ties with others has no single rank: the optimistic one is before its equals, the pessimistic one behind
them, the average one in their middle. Degenerate input is defined: no queries is a ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from training.metrics.precision_recall import average_precision

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Ties = Literal["optimistic", "average", "pessimistic"]


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the targets stand.

    Attributes
    ----------
    better : ndarray, shape (n_queries,), int64
        Number of items with a higher score than the target.
    tied : ndarray, shape (n_queries,), int64
        Number of other items with the target's score.
    """

    better: NDArray[np.int64]
    tied: NDArray[np.int64]

    def ranks(self, ties: Ties = "average") -> NDArray[np.float64]:
        """Return the ranks, 1 for the best."""
        share = {"optimistic": 0.0, "average": 0.5, "pessimistic": 1.0}[ties]
        return 1 + self.better + share * self.tied

    def mean_rank(self, ties: Ties = "average") -> float:
        """Return the mean rank."""
        return float(self.ranks(ties).mean())

    def mean_reciprocal_rank(self, ties: Ties = "average") -> float:
        """Return the mean of 1 / rank."""
        return float((1 / self.ranks(ties)).mean())

    @property
    def n_tied_queries(self) -> int:
        """Number of queries whose target ties with another item."""
        return int((self.tied > 0).sum())


def target_ranks(scores: ArrayLike, targets: ArrayLike) -> Ranks:
    """Return where each query's target stands.

    Parameters
    ----------
    scores : array_like, shape (n_queries, n_items)
        Higher is better.
    targets : array_like of int, shape (n_queries,)
        Column of each query's target.
    """
    values, wanted = np.asarray(scores), np.asarray(targets)
    if values.ndim != 2 or wanted.shape != values.shape[:1] or not wanted.size or np.isnan(values).any():
        raise ValueError(
            f"expected scores (n_queries, n_items) without NaN and targets (n_queries,), got {values.shape} and "
            f"{wanted.shape}"
        )
    if wanted.min() < 0 or wanted.max() >= values.shape[1]:
        raise ValueError(f"expected targets from 0 to {values.shape[1] - 1}, got others")
    own = np.take_along_axis(values, wanted[:, None], axis=1)
    return Ranks((values > own).sum(axis=1), (values == own).sum(axis=1) - 1)


def precision_at(k: int, scores: ArrayLike, relevant: ArrayLike) -> float:
    """Return the mean over queries of the share of relevant items among the ``k`` best.

    Of items that tie around the k-th place each counts in part, as the mean over all their orders.

    Parameters
    ----------
    k : int
        From 1 to n_items.
    scores : array_like, shape (n_queries, n_items)
    relevant : array_like of bool, shape (n_queries, n_items)
    """
    values, wanted = np.asarray(scores, np.float64), np.asarray(relevant).astype(np.bool_)
    if values.ndim != 2 or wanted.shape != values.shape or not 1 <= k <= values.shape[1] or not len(values):
        raise ValueError(
            f"expected scores and relevant (n_queries, n_items) and k up to n_items, got {values.shape}, "
            f"{wanted.shape} and k={k}"
        )
    kth = -np.sort(-values, axis=1)[:, k - 1 : k]
    above, level = values > kth, values == kth
    free = k - above.sum(axis=1)
    hits = (above & wanted).sum(axis=1) + free * (level & wanted).sum(axis=1) / level.sum(axis=1)
    return float((hits / k).mean())


def retrieval_precisions(
    distances: ArrayLike, relevant: ArrayLike, searched: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the average precision of each query, and 1 where the nearest item is relevant, else 0.

    Both are NaN for a query without a relevant item among those searched. Average precision is without interpolation,
    equal distances one point of the curve; of equally near items the first is the nearest.

    Parameters
    ----------
    distances : array_like, shape (n_queries, n_items)
        Lower is nearer.
    relevant, searched : array_like of bool, shape (n_queries, n_items)
        Which items a query asks for, and which it searches.

    Returns
    -------
    tuple of ndarray, each of shape (n_queries,)
    """
    values, wanted, there = np.asarray(distances, np.float64), np.asarray(relevant, bool), np.asarray(searched, bool)
    if values.ndim != 2 or wanted.shape != values.shape or there.shape != values.shape or np.isnan(values).any():
        raise ValueError(
            "expected distances without NaN, relevant and searched (n_queries, n_items), got "
            f"{values.shape}, {wanted.shape} and {there.shape}"
        )
    precisions, first = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for query in np.flatnonzero((wanted & there).any(axis=1)):
        distance, alike = values[query, there[query]], wanted[query, there[query]]
        precisions[query] = average_precision(-distance, alike)
        first[query] = alike[np.argmin(distance)]
    return precisions, first

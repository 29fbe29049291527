"""Slow, obvious float64 versions of engine.distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def distances(a: NDArray, b: NDArray, metric: str) -> Matrix:
    """Return all distances, from coordinate differences; for "inner_product" minus the products: less is nearer."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    result = np.empty((len(a), len(b)))
    for i, row in enumerate(a):
        for j, other in enumerate(b):
            if metric == "inner_product":
                result[i, j] = -(row * other).sum()
            elif metric == "cosine":
                lengths = np.linalg.norm(row), np.linalg.norm(other)
                result[i, j] = 1.0 if 0 in lengths else ((row / lengths[0] - other / lengths[1]) ** 2).sum() / 2
            else:
                result[i, j] = ((row - other) ** 2).sum()
    return np.sqrt(result) if metric == "euclidean" else result


def tolerance(a: NDArray, b: NDArray, metric: str) -> Matrix | float:
    """Bound, absolutely, how far two ways of computing `distances` in float64 may be apart."""
    if metric == "cosine":
        return 4e-15
    if metric == "inner_product":
        lengths = [np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (a, b)]
        return 1e-14 * np.outer(*lengths)
    return 1e-13 * distances(a, b, metric)


def nearest(row: NDArray[np.float64], k: int, allowed: NDArray[np.bool_]) -> list[int]:
    """Return the indices of the k least values, equal ones by index, padded with -1."""
    order = sorted(np.flatnonzero(allowed), key=lambda j: (row[j], j))[:k]
    return [int(j) for j in order] + [-1] * (k - len(order))


def is_ranking(indices: NDArray[np.int64], row: Matrix, k: int, allowed: NDArray[np.bool_], slack: Matrix) -> bool:
    """Tell whether `indices` are the k nearest allowed rows up to swaps among values within `slack` of each other."""
    want = nearest(row, k, allowed)
    if [i < 0 for i in want] != [i < 0 for i in indices]:
        return False
    got = [int(i) for i in indices if i >= 0]
    if len(set(got)) != len(got) or not all(allowed[got]):
        return False
    return all(abs(row[g] - row[w]) <= slack[g] + slack[w] for g, w in zip(got, want, strict=False))


def semi_hard(anchor: Matrix, positive: float, negatives: NDArray[np.bool_]) -> tuple[int, bool]:
    """Return the semi-hard negative of one pair from the anchor's distances to all candidates, or what replaces it."""
    beyond = [j for j in np.flatnonzero(negatives) if anchor[j] > positive]
    if beyond:
        return int(min(beyond, key=lambda j: (anchor[j], j))), True
    if negatives.any():
        return int(max(np.flatnonzero(negatives), key=lambda j: (anchor[j], -j))), False
    return -1, False

"""Spherical k-means with clusters of equal size: rows are directions, nearness is the cosine.

The clustering step of triple-header cross entropy (imbalanced acoustic event detection, ICASSP 2019), which splits each
large class into clusters about as large as the smallest class. The paper asks for equal sizes and gives no algorithm.
This one seeds by k-means++ (Arthur and Vassilvitskii 2007), then repeats two steps until fewer than a thousandth of the
rows change their cluster: rows choose in the order of their regret, the similarity they lose if they do not get their
first choice, the nearest cluster that has room; centroids become the normalised means of their rows.

Similarities come block by block from the cosine kernel of ``engine.distance``: the whole matrix is never held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from engine.distance import pairwise
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

# Rows whose similarities are held at a time: 16 MB for a hundred clusters in double, and still large for the kernel.
BLOCK = 16_384
# Seeds are drawn from so many rows per cluster; more make no better start, and cost a pass each over all of them.
SEEDING_ROWS = 256


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition of directions. Arrays are new.

    Attributes
    ----------
    centroids : ndarray, shape (n_clusters, d), float32
        Rows of length one.
    members : ndarray, shape (n_rows,), int64
        The cluster of each row.
    n_iterations : int
    converged : bool
        Whether fewer rows changed in the last iteration than the tolerance asks for.
    """

    centroids: Rows
    members: NDArray[np.int64]
    n_iterations: int
    converged: bool

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of rows in each cluster."""
        return np.bincount(self.members, minlength=len(self.centroids))


def spherical_kmeans(
    rows: Rows,
    n_clusters: int,
    seed: int,
    *,
    balanced: bool = True,
    max_iterations: int = 20,
    tolerance: float = 1e-3,
    threads: int = 1,
) -> Clusters:
    """Divide rows into clusters by direction. The same seed gives the same clusters, for any number of threads.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, d), float32
        Of any length but zero.
    n_clusters : int
        At most n_rows; no cluster is empty.
    seed : int
    balanced : bool
        Whether a cluster holds at most ceil(n_rows / n_clusters) rows; else every row goes to its nearest centroid.
    max_iterations : int
    tolerance : float
        Ends the iteration when at most this share of the rows changes its cluster.
    threads : int

    Raises
    ------
    ConfigError
        More clusters than rows, none at all, a row of zeros or one that is not finite.
    """
    if not 1 <= n_clusters <= len(rows):
        raise ConfigError(f"expected 1 to {len(rows)} clusters for {len(rows)} rows, got {n_clusters}; ask for fewer")
    directions = _unit(rows)
    generator = np.random.default_rng(seed)
    centroids = _seeds(directions, n_clusters, generator, threads)
    capacity = math.ceil(len(rows) / n_clusters) if balanced else len(rows)
    members = np.full(len(rows), -1)
    iteration, converged = 0, False
    while iteration < max_iterations and not converged:
        chosen, similarity = _assign(directions, centroids, capacity, threads)
        _fill_empty(chosen, similarity, n_clusters)
        converged = bool(np.count_nonzero(chosen != members) <= tolerance * len(rows))
        members = chosen
        centroids = _means(directions, members, centroids)
        iteration += 1
    return Clusters(centroids, members, iteration, converged)


def clusters_per_class(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many clusters each class is split into: its size over that of the smallest, rounded up (section 2).

    A class without rows gets none.
    """
    there = counts[counts > 0]
    if not there.size:
        raise ConfigError("expected rows of at least one class, got none; give some")
    return -(-counts // there.min())


def _unit(rows: Rows) -> Rows:
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    if not np.isfinite(norms).all() or not norms.all():
        row = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise ConfigError(f"expected rows with a direction, got row {row} of length {norms[row]}; leave it out")
    return (rows / norms[:, None].astype(np.float32)).astype(np.float32, copy=False)


def _seeds(directions: Rows, n_clusters: int, generator: np.random.Generator, threads: int) -> Rows:
    """Return rows far from each other: each is drawn with a chance proportional to its distance from the nearest."""
    if len(directions) > SEEDING_ROWS * n_clusters:
        sample = generator.choice(len(directions), SEEDING_ROWS * n_clusters, replace=False)
        directions = directions[np.sort(sample)]
    picked = [int(generator.integers(len(directions)))]
    nearest = np.full(len(directions), np.inf)
    for _ in range(1, n_clusters):
        # On the sphere the squared Euclidean distance of k-means++ is twice the cosine distance.
        far = pairwise(directions[picked[-1:]], directions, "cosine", threads=threads)[0]
        nearest = np.minimum(nearest, np.maximum(far, 0.0))
        nearest[picked] = 0.0
        total = nearest.cumsum()
        if total[-1] > 0:
            picked.append(int(np.searchsorted(total, generator.random() * total[-1], side="right")))
        else:  # fewer different rows than clusters: take equal ones
            picked.append(int(generator.choice(np.setdiff1d(np.arange(len(directions)), picked))))
    return directions[picked]


def _assign(
    directions: Rows, centroids: Rows, capacity: int, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the cluster of each row and its similarity to that centroid.

    The rows choose one after the other, those with the largest regret first. In between two events - a cluster gets
    full - every row simply has its first choice among the open ones, so whole stretches are done at a time.
    """
    n_rows = len(directions)
    chosen = np.empty(n_rows, np.int64)
    similarity, regret = np.empty(n_rows), np.empty(n_rows)
    for part, found in _similarities(directions, centroids, threads):
        best = found.argmax(axis=1)
        chosen[part], similarity[part] = best, found[np.arange(len(best)), best]
        if len(centroids) > 1:
            found[np.arange(len(best)), best] = -np.inf
            regret[part] = similarity[part] - found.max(axis=1)
    if np.bincount(chosen).max() <= capacity:
        return chosen, similarity

    waiting = np.argsort(-regret, kind="stable")
    room = np.full(len(centroids), capacity)
    while waiting.size:
        places = _places_in_queue(chosen[waiting], len(centroids))
        over = np.flatnonzero(places >= room[chosen[waiting]])
        settled = over[0] if over.size else waiting.size
        room -= np.bincount(chosen[waiting[:settled]], minlength=len(room))
        waiting = waiting[settled:]
        still_open = np.flatnonzero(room > 0)
        displaced = waiting[room[chosen[waiting]] == 0]
        for part, found in _similarities(directions[displaced], centroids[still_open], threads):
            best = found.argmax(axis=1)
            chosen[displaced[part]] = still_open[best]
            similarity[displaced[part]] = found[np.arange(len(best)), best]
    return chosen, similarity


def _places_in_queue(wanted: NDArray[np.int64], n_clusters: int) -> NDArray[np.int64]:
    """Return for each entry how many equal ones stand before it."""
    order = np.argsort(wanted, kind="stable")
    starts = np.concatenate(([0], np.bincount(wanted, minlength=n_clusters).cumsum()[:-1]))
    places = np.empty(len(wanted), np.int64)
    places[order] = np.arange(len(wanted)) - starts[wanted[order]]
    return places


def _similarities(directions: Rows, centroids: Rows, threads: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    for start in range(0, len(directions), BLOCK):
        block = directions[start : start + BLOCK]
        yield slice(start, start + len(block)), 1 - pairwise(block, centroids, "cosine", threads=threads)


def _fill_empty(chosen: NDArray[np.int64], similarity: NDArray[np.float64], n_clusters: int) -> None:
    """Give each empty cluster, in place, the row that fits worst where it is and is not alone there."""
    sizes = np.bincount(chosen, minlength=n_clusters)
    empty = np.flatnonzero(sizes == 0)
    worst = iter(np.argsort(similarity, kind="stable") if empty.size else ())
    for cluster in empty:
        row = next(row for row in worst if sizes[chosen[row]] > 1)
        sizes[chosen[row]] -= 1
        chosen[row] = cluster


def _means(directions: Rows, members: NDArray[np.int64], before: Rows) -> Rows:
    """Return the normalised means; a cluster whose rows cancel out keeps its centroid."""
    sums = np.zeros(before.shape)
    for start in range(0, len(directions), BLOCK):
        part = members[start : start + BLOCK]
        belongs = csr_array((np.ones(len(part)), part, np.arange(len(part) + 1)), shape=(len(part), len(before)))
        sums += belongs.T @ directions[start : start + BLOCK]
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means = np.divide(sums, norms, out=before.astype(np.float64), where=norms > 1e-9)
    return means.astype(np.float32)

"""Distances between rows: the full matrix, nearest neighbours, and semi-hard negatives for triplet losses.

Rankings are exact: they equal those of a brute force in float64, equal distances ordered by the lower index. Fast
arithmetic, in float32 or in 8-bit integers, only decides which pairs cannot matter, by a proven bound; all others are
compared by the differences of their coordinates in double. So near-duplicates and rows with large common offsets come
out in the right order too; they only take longer.

Metrics
-------
"cosine"
    1 minus the cosine of the angle, computed as half the squared difference of the two unit vectors. A row of zeros has
    distance 1 to every row, another row of zeros included.
"sqeuclidean", "euclidean"
    The sum of squared differences, and its square root.
"inner_product"
    The sum of products. Not a distance: the nearest row is the one with the largest product.

Rows are float32 or float16, shape ``(n, d)``, and may be memory-mapped: they are read in blocks and never copied whole.
Float16 rows are converted block by block. Rows may lie at any distance from each other (slices are read in place); an
array whose rows are not contiguous themselves (a transpose, every second column) is copied once. Any other type is a
``TypeError``; NaN or infinity is a `ConfigError` that names the first such row. Results have the same bits for any
number of threads. All functions release the interpreter lock and may be called from many threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine import _kernels
from engine.errors import ConfigError

Metric = Literal["cosine", "sqeuclidean", "euclidean", "inner_product"]
Rows = NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each query, nearest first. Arrays are new and owned by the result.

    Attributes
    ----------
    indices : ndarray, shape (n_queries, k), int64
        Rows of the database; -1 where there are fewer than k.
    distances : ndarray, shape (n_queries, k), float64
        Their distances, computed in double; infinity where the index is -1. With the metric "inner_product" these are
        the products, and minus infinity.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Triplets:
    """One triplet for each (anchor, positive) pair. Arrays are new and owned by the result.

    Attributes
    ----------
    anchors, positives, negatives : ndarray, shape (n_pairs,), int64
        Rows; the negative is -1 where an anchor has no negative at all.
    semi_hard : ndarray, shape (n_pairs,), bool
        False where no negative is farther than the positive; the negative is then the farthest one.
    """

    anchors: NDArray[np.int64]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    semi_hard: NDArray[np.bool_]

    @property
    def n_without(self) -> int:
        """The number of pairs without a semi-hard negative, those without any negative included."""
        return int(np.count_nonzero(~self.semi_hard))


def pairwise(
    a: Rows, b: Rows, metric: Metric, *, out: NDArray[np.float32] | None = None, threads: int = 1
) -> NDArray[np.float32]:
    """Compute the distances between all rows of two sets.

    Parameters
    ----------
    a : ndarray, shape (n_a, d), float32 or float16
    b : ndarray, shape (n_b, d), float32 or float16
    metric : {"cosine", "sqeuclidean", "euclidean", "inner_product"}
    out : ndarray, shape (n_a, n_b), float32, C-contiguous, optional
        Where to put the result; saves the time to get fresh memory. Must not overlap the inputs.
    threads : int
        At most this many threads.

    Returns
    -------
    ndarray, shape (n_a, n_b), float32
        `out`, or a new array. The relative error of a distance is at most 1e-4, and typically 1e-6, however close the
        rows are to each other; with "inner_product" the error is that of a float32 matrix product.

    Raises
    ------
    ConfigError
        When a row is not finite, the sets differ in d, or `out` does not fit.
    TypeError
        When an array is neither float32 nor float16.
    """
    a, b = _rows("a", a), _rows("b", b)
    _check(metric, threads, a, b)
    shape = (len(a), len(b))
    if out is None:
        out = np.empty(shape, np.float32)
    elif _kind(out) != "float32":
        raise TypeError(f"expected out to be a float32 array, got {_kind(out)}; pass np.empty({shape}, np.float32)")
    elif out.shape != shape or not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ConfigError(
            f"expected out of shape {shape}, C-contiguous and writeable, got shape {out.shape}; "
            f"pass np.empty({shape}, np.float32)"
        )
    _call(_kernels.pairwise, a, b, metric, out, threads)
    return out


def topk(
    queries: Rows,
    database: Rows,
    k: int,
    metric: Metric,
    *,
    exclude: Literal["self"] | tuple[ArrayLike, ArrayLike] | None = None,
    allowed: ArrayLike | None = None,
    threads: int = 1,
) -> Neighbours:
    """Find the k nearest database rows of every query; exact, see the module's introduction.

    The matrix of distances is never held: besides inputs and results the memory is about 70 MB, and per thread 5 MB and
    52 k + 3200 bytes for each of up to 4096 queries.

    Parameters
    ----------
    queries : ndarray, shape (n_queries, d), float32 or float16
    database : ndarray, shape (n, d), float32 or float16
    k : int
        At least 0; it may exceed n.
    metric : {"cosine", "sqeuclidean", "euclidean", "inner_product"}
    exclude : "self", (query_groups, database_groups) or None
        "self": query i never finds database row i. Two arrays of integers, one per row (the clip or the recording a row
        comes from): a query never finds a row of its own group.
    allowed : array of bool, shape (n,), optional
        The database rows that may be found.
    threads : int
        At most this many threads.

    Returns
    -------
    Neighbours
        Of equal distances the lower index first; places without a row hold -1 and infinity.

    Raises
    ------
    ConfigError
        When a row is not finite, the sets differ in d, or `exclude` or `allowed` does not fit the rows.
    TypeError
        When an array is neither float32 nor float16, groups are not integers, or `allowed` is not of truth values.
    """
    queries, database = _rows("queries", queries), _rows("database", database)
    _check(metric, threads, queries, database)
    _check_k(k)
    query_groups = database_groups = None
    if isinstance(exclude, tuple) and len(exclude) == 2:
        query_groups = _ids("query_groups", exclude[0], len(queries))
        database_groups = _ids("database_groups", exclude[1], len(database))
    elif str(exclude) not in {"None", "self"}:
        raise ConfigError(f'expected exclude to be None, "self" or (query_groups, database_groups), got {exclude!r}')
    elif exclude is not None and len(queries) != len(database):
        raise ConfigError(
            f'expected as many queries as database rows with exclude="self", got {len(queries)} and {len(database)}; '
            "pass groups instead"
        )
    exclude_self = exclude is not None and query_groups is None
    mask = None if allowed is None else _mask(allowed, len(database))
    return Neighbours(
        *_call(_kernels.top_k, queries, database, k, metric, query_groups, database_groups, exclude_self, mask, threads)
    )


def nearest_self(
    database: Rows, k: int, metric: Metric, *, groups: ArrayLike | None = None, threads: int = 1
) -> Neighbours:
    """Find the k nearest other rows of every row; the same as `topk` with ``exclude="self"``, at half the time.

    Every product serves two rows. Besides input and results the memory is about 40 MB, per thread 5 MB and 52 k + 160
    bytes for each row; and for large sets on processors with 8-bit dot products one byte for each number of the
    database and per thread up to 256 MB.

    Parameters
    ----------
    database : ndarray, shape (n, d), float32 or float16
    k : int
        At least 0.
    metric : {"cosine", "sqeuclidean", "euclidean", "inner_product"}
    groups : array of int, shape (n,), optional
        A row never finds a row of its own group.
    threads : int
        At most this many threads.

    Returns
    -------
    Neighbours
        As from `topk`.

    Raises
    ------
    ConfigError, TypeError
        As `topk`.
    """
    database = _rows("database", database)
    _check(metric, threads, database)
    _check_k(k)
    ids = None if groups is None else _ids("groups", groups, len(database))
    return Neighbours(*_call(_kernels.nearest_self, database, k, metric, ids, threads))


def semi_hard(
    anchors: Rows,
    positives: Rows | None = None,
    candidates: Rows | None = None,
    *,
    labels: ArrayLike | None = None,
    candidate_labels: ArrayLike | None = None,
    metric: Metric = "sqeuclidean",
    threads: int = 1,
) -> Triplets:
    """Choose a semi-hard negative for every (anchor, positive) pair (Schroff et al. 2015, FaceNet, section 3.2).

    It is the nearest negative that is farther from the anchor than the positive. Where no negative is, the pair gets
    the farthest one, which comes closest to being semi-hard, and counts in ``n_without``. Exact as `topk` is.

    Parameters
    ----------
    anchors : ndarray, shape (n, d), float32 or float16
    positives : ndarray, shape (n, d), optional
        Row i is the positive of anchor i. Without it, all ordered pairs of two anchors that share a label are mined.
    candidates : ndarray, shape (n_candidates, d), optional
        Where negatives are taken from; without it, the anchors.
    labels : array, shape (n,) of int or (n, n_labels) of bool, optional
        Of the anchors: one class each, or sets of labels. A candidate is a negative of an anchor when they share none.
        Without labels every candidate is one, but an anchor never of itself.
    candidate_labels : array, as `labels`, optional
        Of the candidates; needed where both `candidates` and `labels` are given.
    metric : {"cosine", "sqeuclidean", "euclidean"}
    threads : int
        At most this many threads.

    Returns
    -------
    Triplets
        In the order of anchors, then of positives.

    Raises
    ------
    ConfigError
        When a row is not finite, shapes do not fit, or labels are missing.
    TypeError
        When an array is neither float32 nor float16, or labels are neither integers nor booleans.
    """
    anchors = _rows("anchors", anchors)
    positives = None if positives is None else _rows("positives", positives)
    candidates = None if candidates is None else _rows("candidates", candidates)
    _check(metric, threads, *(rows for rows in (anchors, positives, candidates) if rows is not None))
    if metric == "inner_product":
        raise ConfigError("expected a distance as metric, got 'inner_product'; use 'cosine' on such embeddings")
    if positives is None and labels is None:
        raise ConfigError("expected positives or labels, got neither; labels tell which anchors belong together")
    if positives is not None and len(positives) != len(anchors):
        raise ConfigError(f"expected one positive for each of {len(anchors)} anchors, got {len(positives)}")
    if (candidate_labels is not None) != (candidates is not None and labels is not None):
        raise ConfigError("expected candidate_labels exactly where both candidates and labels are given")
    anchor_sets = None if labels is None else _labels("labels", labels, len(anchors))
    candidate_sets = anchor_sets
    if candidates is not None and candidate_labels is not None:
        candidate_sets = _labels("candidate_labels", candidate_labels, len(candidates))
        if np.asarray(labels).shape[1:] != np.asarray(candidate_labels).shape[1:]:
            raise ConfigError("expected candidate_labels as labels: both classes, or both sets of as many labels")
    rows, found = _call(
        _kernels.semi_hard, anchors, positives, candidates, anchor_sets, candidate_sets, metric, threads
    )
    return Triplets(rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy(), found)


def _kind(value: object) -> str:
    return f"{value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


def _rows(name: str, rows: object) -> NDArray[Any]:
    if not isinstance(rows, np.ndarray) or rows.dtype not in (np.float32, np.float16):
        raise TypeError(f"expected {name} to be a float32 or float16 array, got {_kind(rows)}; convert it first")
    if rows.ndim != 2:
        raise ConfigError(f"expected {name} of shape (n, d), got {rows.shape}; one row is rows[None]")
    whole_strides = rows.strides[0] % rows.itemsize == 0 and (rows.shape[1] <= 1 or rows.strides[1] == rows.itemsize)
    if not (whole_strides and rows.flags.aligned and rows.dtype.isnative):
        return np.array(rows, rows.dtype.newbyteorder("="), order="C")
    return rows


def _ids(name: str, ids: ArrayLike, n: int) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.dtype.kind not in "iu":
        raise TypeError(f"expected {name} to be integers, got {array.dtype}; number the groups first")
    if array.shape != (n,):
        raise ConfigError(f"expected {name} of shape ({n},), one per row, got {array.shape}")
    return np.ascontiguousarray(array, np.int64)


def _mask(allowed: ArrayLike, n: int) -> NDArray[np.bool_]:
    array = np.asarray(allowed)
    if array.dtype != np.bool_:
        raise TypeError(f"expected allowed to be truth values, got {array.dtype}; pass a boolean array")
    if array.shape != (n,):
        raise ConfigError(f"expected allowed of shape ({n},), one per database row, got {array.shape}")
    return np.ascontiguousarray(array)


def _labels(name: str, labels: ArrayLike, n: int) -> NDArray[Any]:
    """Class ids as int64 (n,), label sets as bit masks uint64 (n, words)."""
    array = np.asarray(labels)
    if array.dtype != np.bool_:
        return _ids(name, array, n)
    if array.ndim != 2 or len(array) != n:
        raise ConfigError(f"expected {name} of shape ({n}, n_labels), one set per row, got {array.shape}")
    padded = np.zeros((n, -(-array.shape[1] // 64) * 64), np.bool_)
    padded[:, : array.shape[1]] = array
    return np.packbits(padded, axis=1).view(np.uint64)


def _check(metric: str, threads: int, *sets: NDArray[Any]) -> None:
    if metric not in get_args(Metric):
        raise ConfigError(f"expected metric to be one of {', '.join(get_args(Metric))}, got {metric!r}")
    if threads < 1:
        raise ConfigError(f"expected threads of at least 1, got {threads}")
    sizes = {rows.shape[1] for rows in sets}
    if len(sizes) > 1:
        raise ConfigError(f"expected rows of one length, got {' and '.join(map(str, sorted(sizes)))}")


def _check_k(k: int) -> None:
    if k < 0:
        raise ConfigError(f"expected k of at least 0, got {k}")


def _call(kernel: Any, *arguments: Any) -> Any:
    try:
        return kernel(*arguments)
    except ValueError as error:  # what the kernel finds on the way: a row that is not finite
        raise ConfigError(str(error)) from None

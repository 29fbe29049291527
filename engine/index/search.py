"""Ranking: exact neighbours among the items that may be found, caps, near-duplicates, pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.arrow import pyarrow
from engine.distance import Metric, pairwise, topk
from engine.errors import ConfigError
from engine.index.approximate import candidates
from engine.index.hits import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.index.contents import Contents
    from engine.index.query import Query

# How many times more neighbours are looked at where caps and near-duplicates may leave some out.
_MORE = 4
_BLOCK = 65_536


@dataclass(frozen=True)
class Filters:
    """Which items may be found; what is not given allows all.

    Attributes
    ----------
    tags : sequence of str
        At least one of them.
    without_tags : sequence of str
        None of them.
    paths, without_paths : sequence of str
        Patterns with ``*`` and ``?`` for the whole path: one of the first, none of the second.
    min_duration_s, max_duration_s : float or None
        Of the recording.
    exclude_same_recording : bool
        Leave out the recordings that the query or an example was cut from: the same item's, path's or bytes'.
    """

    tags: Sequence[str] = field(default=())
    without_tags: Sequence[str] = field(default=())
    paths: Sequence[str] = field(default=())
    without_paths: Sequence[str] = field(default=())
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    exclude_same_recording: bool = False

    def allowed(self, items: Any, recordings: Sequence[int]) -> NDArray[np.bool_] | None:
        """Return which items may be found, shape (n_items,); None where all may.

        Parameters
        ----------
        items : pyarrow.Table
        recordings : sequence of int
            Those of the query.
        """
        if self == Filters(exclude_same_recording=self.exclude_same_recording) and not (
            self.exclude_same_recording and recordings
        ):
            return None
        compute = pyarrow().compute
        allowed = np.ones(len(items), bool)
        if self.tags or self.without_tags:
            holds = _holders(items)
            if self.tags:
                allowed &= np.isin(np.arange(len(items)), [row for tag in self.tags for row in holds.get(tag, ())])
            allowed[[row for tag in self.without_tags for row in holds.get(tag, ())]] = False
        if self.paths or self.without_paths:
            coded = items["path"].combine_chunks().dictionary_encode()
            names = coded.dictionary.to_pylist()
            fits = [
                (not self.paths or any(fnmatch(name, pattern) for pattern in self.paths))
                and not any(fnmatch(name, pattern) for pattern in self.without_paths)
                for name in names
            ]
            allowed &= np.array(fits, bool)[np.asarray(coded.indices)]
        duration = np.asarray(items["duration_s"])
        if self.min_duration_s is not None:
            allowed &= duration >= self.min_duration_s
        if self.max_duration_s is not None:
            allowed &= duration <= self.max_duration_s
        if self.exclude_same_recording and recordings:
            own = compute.is_in(items["recording_id"], value_set=pyarrow().array(recordings, pyarrow().int64()))
            allowed &= ~np.asarray(own)
        return None if allowed.all() else allowed


def ranked(
    index: Contents,
    query: Query,
    k: int,
    *,
    offset: int,
    filters: Filters,
    per_recording: int | None,
    collapse: float | None,
    target: float | None,
    approximate: bool,
    threads: int,
) -> list[Hit]:
    """Return hits ``offset + 1`` to ``offset + k``; parameters and errors as for ``Index.search``."""
    for name, value, least in (("k", k, 0), ("offset", offset, 0), ("per_recording", per_recording, 1)):
        if value is not None and value < least:
            raise ConfigError(f"expected {name} of at least {least}, got {value}; change it")
    if approximate and target is not None:
        raise ConfigError("expected approximate or target, got both; an approximate search finds the nearest only")
    vectors, items = index.vectors, index.items
    allowed = filters.allowed(items, query.recordings)
    n_allowed = len(items) if allowed is None else int(np.count_nonzero(allowed))
    wanted = min(offset + k, n_allowed)
    chosen = per_recording is not None or collapse is not None
    fetched = min(n_allowed, wanted * _MORE if chosen else wanted)
    while True:
        if target is not None:
            found, scores = _nearest_to(target, query, vectors, allowed, fetched, threads)
        elif approximate:
            found, scores = _approximate(index, query, vectors, allowed, fetched, threads)
        else:
            found, scores = _exact(query, vectors, allowed, fetched, threads)
        kept = _kept(found, items, vectors, per_recording, collapse) if chosen else {int(i): 0 for i in found}
        if len(kept) >= wanted or fetched >= n_allowed:
            break
        fetched = min(n_allowed, fetched * _MORE)
    score_of = dict(zip(found.tolist(), scores.tolist(), strict=True))
    page = list(kept)[offset : offset + k]
    rows = items.select(["path", "start_s", "end_s", "recording_id", "tags"]).take(pyarrow().array(page, "int64"))
    return [
        Hit(
            offset + place,
            item,
            row["path"],
            row["start_s"],
            row["end_s"],
            score_of[item],
            tuple(row["tags"] or ()),
            row["recording_id"],
            kept[item],
        )
        for place, (item, row) in enumerate(zip(page, rows.to_pylist(), strict=True), start=1)
    ]


def score(distances: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Return scores, higher for what is nearer: see ``Hit``."""
    if metric == "cosine":
        return 1 - distances
    if metric == "inner_product":
        return distances
    return 1 / (1 + (np.sqrt(distances) if metric == "sqeuclidean" else distances))


def _exact(
    query: Query, vectors: NDArray[np.float32], allowed: NDArray[np.bool_] | None, k: int, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # A query never finds rows of its own group: those that are not allowed share the query's.
    exclude = None if allowed is None else (np.zeros(1, np.int64), allowed.astype(np.int64))
    found = topk(query.vector[None], vectors, k, query.metric, exclude=exclude, threads=threads)
    there = found.indices[0] >= 0
    return found.indices[0][there], score(found.distances[0][there], query.metric)


def _nearest_to(
    target: float,
    query: Query,
    vectors: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    k: int,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    scores = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        distances = pairwise(query.vector[None], vectors[part], query.metric, threads=threads)[0]
        scores[part] = score(distances.astype(np.float64), query.metric)
    gap = np.abs(scores - target)
    if allowed is not None:
        gap[~allowed] = np.inf
    order = np.argsort(gap, kind="stable")[:k]
    return order, scores[order]


def _approximate(
    index: Contents,
    query: Query,
    vectors: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    k: int,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if query.metric != index.header.metric:
        raise ConfigError("expected refine='rocchio' with an approximate search, got 'probe'; leave out one of them")
    rows = candidates(index, query.vector, k, allowed)
    if len(rows) < k:  # the lists that were looked into hold too few that may be found: hits are never left out
        return _exact(query, vectors, allowed, k, threads)
    found, scores = _exact(query, np.ascontiguousarray(vectors[rows]), None, min(k, len(rows)), threads)
    return rows[found], scores


def _kept(
    found: NDArray[np.int64],
    items: Any,
    vectors: NDArray[np.float32],
    per_recording: int | None,
    collapse: float | None,
) -> dict[int, int]:
    """Return the items that stay, in order, each with how many near-duplicates it stands for."""
    rows = items.select(["recording_id", "sha256", "start_s"]).take(pyarrow().array(found)).to_pylist()
    kept: dict[int, int] = {}
    of_recording: dict[int, int] = {}
    contents: dict[tuple[str, float], int] = {}
    directions = np.empty((len(found), vectors.shape[1]), np.float32)
    for item, row in zip(found.tolist(), rows, strict=True):
        if collapse is not None:
            content = row["sha256"], row["start_s"]
            norm = float(np.linalg.norm(vectors[item]))
            direction = vectors[item] / norm if norm > 0 else vectors[item]
            cosines = directions[: len(kept)] @ direction
            first = contents.get(content) if row["sha256"] else None
            if first is None and kept and cosines.max() >= collapse:
                first = list(kept)[int(cosines.argmax())]
            if first is not None:
                kept[first] += 1
                continue
        count = of_recording.get(row["recording_id"], 0)
        if per_recording is not None and count >= per_recording:
            continue
        if collapse is not None:
            contents[content] = item
            directions[len(kept)] = direction
        of_recording[row["recording_id"]] = count + 1
        kept[item] = 0
    return kept


def _holders(items: Any) -> dict[str, list[int]]:
    holders: dict[str, list[int]] = {}
    for row, tags in enumerate(items["tags"].to_pylist()):
        for tag in tags or ():
            holders.setdefault(tag, []).append(row)
    return holders

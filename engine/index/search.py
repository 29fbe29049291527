"""Ranking: exact neighbours among the items that may be found, caps, near-duplicates, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.archive.arrow import pyarrow
from engine.distance import pairwise, topk
from engine.errors import ConfigError
from engine.index.approximate import candidates
from engine.index.hits import Hit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.distance import Metric
    from engine.index.contents import Contents
    from engine.index.filters import Filters
    from engine.index.query import Query

# Items, nearest first, and their scores.
Found = tuple[NDArray[np.int64], NDArray[np.float64]]
# How many times more neighbours are looked at where caps and near-duplicates may leave some out.
_MORE = 4
_BLOCK = 65_536


def ranked(
    index: Contents,
    queries: Sequence[Query],
    k: int,
    *,
    filters: Filters,
    offset: int = 0,
    per_recording: int | None = None,
    collapse: float | None = None,
    target: float | None = None,
    approximate: bool = False,
    threads: int = 1,
) -> list[list[Hit]]:
    """Return hits ``offset + 1`` to ``offset + k`` of each query; parameters and errors as for ``Index.search``."""
    for name, value, least in (("k", k, 0), ("offset", offset, 0), ("per_recording", per_recording, 1)):
        if value is not None and value < least:
            raise ConfigError(f"expected {name} of at least {least}, got {value}; change it")
    if approximate and target is not None:
        raise ConfigError("expected approximate or target, got both; an approximate search finds the nearest only")
    if approximate and any(query.metric != index.header.metric for query in queries):
        raise ConfigError("expected refine='rocchio' with an approximate search, got 'probe'; leave out one of them")
    vectors, items = index.vectors, index.items
    may_be_found = MayBeFound(filters, items)
    chosen = per_recording is not None or collapse is not None
    fetched = min(len(items), (offset + k) * (_MORE if chosen else 1))
    kept: dict[int, dict[int, int]] = {}
    score_of: dict[int, dict[int, float]] = {}
    waiting = list(range(len(queries)))
    while waiting:
        asked = [queries[place] for place in waiting]
        if target is not None:
            found = [_nearest_to(target, query, vectors, may_be_found, fetched, threads) for query in asked]
        elif approximate:
            found = [_approximate(index, query, may_be_found, fetched, threads) for query in asked]
        else:
            found = _exact(asked, vectors, may_be_found, fetched, threads)
        for place, (rows, scores) in zip(list(waiting), found, strict=True):
            some = _kept(rows, items, vectors, per_recording, collapse) if chosen else dict.fromkeys(rows.tolist(), 0)
            kept[place], score_of[place] = some, dict(zip(rows.tolist(), scores.tolist(), strict=True))
            if len(some) >= offset + k or len(rows) < fetched or fetched == len(items):
                waiting.remove(place)
        fetched = min(len(items), fetched * _MORE)
    return [
        _hits(items, list(kept[place])[offset : offset + k], offset, score_of[place], kept[place])
        for place in range(len(queries))
    ]


class MayBeFound:
    """Which items a query may find: what the filters allow, without the query's own recordings where they say so."""

    def __init__(self, filters: Filters, items: Any) -> None:
        self.all_queries = filters.allowed(items)
        self.recordings = np.asarray(items["recording_id"]) if filters.exclude_same_recording else None

    def by(self, query: Query) -> NDArray[np.bool_] | None:
        """Return which items one query may find, shape (n_items,); None where all."""
        if self.recordings is None or not query.recordings:
            return self.all_queries
        others = ~np.isin(self.recordings, query.recordings)
        return others if self.all_queries is None else self.all_queries & others


def _hits(items: Any, page: list[int], offset: int, score_of: dict[int, float], n_alike: dict[int, int]) -> list[Hit]:
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
            n_alike[item],
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
    queries: Sequence[Query], vectors: NDArray[np.float32], may_be_found: MayBeFound, k: int, threads: int
) -> list[Found]:
    """Search for all queries in one pass, but for those that leave out several recordings."""
    metric, recordings = queries[0].metric, may_be_found.recordings
    if recordings is not None and any(len(query.recordings) > 1 for query in queries):
        return [_pass([query], vectors, metric, may_be_found.by(query), None, k, threads)[0] for query in queries]
    exclude = None
    if recordings is not None:
        nobody = min(int(recordings.min(initial=0)), 0) - 1
        exclude = np.array([query.recordings[0] if query.recordings else nobody for query in queries]), recordings
    return _pass(queries, vectors, metric, may_be_found.all_queries, exclude, k, threads)


def _pass(  # noqa: PLR0917 - what there is to say to the kernel
    queries: Sequence[Query],
    vectors: NDArray[np.float32],
    metric: Metric,
    allowed: NDArray[np.bool_] | None,
    exclude: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    k: int,
    threads: int,
) -> list[Found]:
    asked = np.stack([query.vector for query in queries])
    near = topk(asked, vectors, k, metric, exclude=exclude, allowed=allowed, threads=threads)
    return [
        (rows[rows >= 0], score(distances[rows >= 0], metric))
        for rows, distances in zip(near.indices, near.distances, strict=True)
    ]


def _nearest_to(
    target: float, query: Query, vectors: NDArray[np.float32], may_be_found: MayBeFound, k: int, threads: int
) -> Found:
    scores = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        distances = pairwise(query.vector[None], vectors[part], query.metric, threads=threads)[0]
        scores[part] = score(distances.astype(np.float64), query.metric)
    allowed, gap = may_be_found.by(query), np.abs(scores - target)
    if allowed is not None:
        gap[~allowed] = np.inf
    order = np.argsort(gap, kind="stable")[:k]
    order = order[np.isfinite(gap[order])]
    return order, scores[order]


def _approximate(index: Contents, query: Query, may_be_found: MayBeFound, k: int, threads: int) -> Found:
    allowed = may_be_found.by(query)
    rows = candidates(index, query.vector, k, allowed)
    if len(rows) < k:  # the lists that were looked into hold too few that may be found: hits are never left out
        return _pass([query], index.vectors, query.metric, allowed, None, k, threads)[0]
    near = np.ascontiguousarray(index.vectors[rows])
    found, scores = _pass([query], near, query.metric, None, None, min(k, len(rows)), threads)[0]
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

"""Queries: a vector, and what examples that are wanted and unwanted make of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from engine.archive.arrow import pyarrow
from engine.errors import ConfigError
from engine.index.items import file_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from engine.distance import Metric
    from engine.index.contents import Contents

# Weights of the query, the wanted and the unwanted examples (Rocchio 1971, at the values of Manning et al.,
# "Introduction to Information Retrieval", section 9.1.1).
ROCCHIO = (1.0, 0.75, 0.15)
# Items drawn at random that stand for everything else when a classifier is fitted, and their weight beside an example.
_BACKGROUND, _BACKGROUND_WEIGHT = 2000, 0.02
_RIDGE = 0.1


@dataclass(frozen=True, eq=False)
class Query:
    """What items are compared with.

    Attributes
    ----------
    vector : ndarray, shape (size,), float32
    metric : str
        That of the index, or "inner_product" for a classifier.
    recordings : tuple of int
        The recordings of the index that the query and the examples come from.
    """

    vector: NDArray[np.float32]
    metric: Metric
    recordings: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        contents: Contents,
        vector_of: Callable[[Any], NDArray[np.float32]],
        query: Any,
        *,
        positives: Sequence[Any],
        negatives: Sequence[Any],
        refine: str,
    ) -> Self:
        """Return the query of a search; parameters and errors as for ``Index.search``."""
        if query is None and not len(positives):
            raise ConfigError("expected a query or positive examples, got neither; give one")
        if refine not in ("rocchio", "probe"):
            raise ConfigError(f"expected refine to be rocchio or probe, got {refine!r}; choose one of them")
        wanted = [vector_of(example) for example in positives]
        unwanted = [vector_of(example) for example in negatives]
        metric = contents.header.metric
        own = wanted[0] if query is None else vector_of(query)
        recordings = tuple(r for example in (query, *positives) for r in recordings_of(contents.items, example))
        if not wanted and not unwanted:
            return cls(own, metric, recordings)
        if refine == "probe":
            vector = probe(np.stack([own, *wanted]), unwanted, contents.vectors)
            return cls(vector, "inner_product", recordings)
        moved = rocchio(own, wanted, unwanted)
        return cls(unit(moved[None])[0] if metric == "cosine" else moved, metric, recordings)


def recordings_of(items: Any, query: Any) -> tuple[int, ...]:
    """Return the recordings of an index that are the query's: of its item, its path, or its bytes."""
    if isinstance(query, int | np.integer):
        return (items["recording_id"][int(query)].as_py(),)
    if not isinstance(query, str | os.PathLike) or not Path(query).is_file():
        return ()
    compute = pyarrow().compute
    same = compute.or_(
        compute.equal(items["path"], os.path.abspath(query)),  # noqa: PTH100 - as paths are kept
        compute.equal(items["sha256"], file_state(Path(query)).sha256),
    )
    return tuple(compute.unique(items["recording_id"].filter(compute.fill_null(same, False))).to_pylist())


def rocchio(
    query: NDArray[np.float32], wanted: Sequence[NDArray[np.float32]], unwanted: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return the query moved towards the mean of the wanted and away from that of the unwanted examples."""
    own, towards, away = ROCCHIO
    moved = own * query.astype(np.float64)
    if len(wanted):
        moved += towards * np.mean(wanted, axis=0, dtype=np.float64)
    if len(unwanted):
        moved -= away * np.mean(unwanted, axis=0, dtype=np.float64)
    return moved.astype(np.float32)


def probe(
    wanted: NDArray[np.float32], unwanted: Sequence[NDArray[np.float32]], vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the weights, shape (size,), of a linear classifier of wanted against unwanted examples.

    Ridge regression on +1 and -1, the examples of each side with the same sum of weights; items drawn at random are
    weak examples of what is unwanted, so that one side alone is enough.
    """
    generator = np.random.default_rng(0)
    n_background = min(_BACKGROUND, len(vectors))
    background = vectors[np.sort(generator.choice(len(vectors), n_background, replace=False))]
    rows = np.concatenate([wanted, *(row[None] for row in unwanted), background]).astype(np.float64)
    targets = np.concatenate([np.ones(len(wanted)), -np.ones(len(unwanted) + n_background)])
    weights = np.concatenate(
        [
            np.full(len(wanted), 1 / len(wanted)),
            np.full(len(unwanted), 1 / max(len(unwanted), 1)),
            np.full(n_background, _BACKGROUND_WEIGHT / max(n_background, 1)),
        ]
    )
    # The offset of the classifier changes no ranking: it is solved for and left out.
    design = np.column_stack([rows, np.ones(len(rows))])
    ridge = _RIDGE * np.diag([*np.ones(rows.shape[1]), 0.0])
    normal = (design.T * weights) @ design + ridge
    solved: NDArray[np.float64] = np.linalg.solve(normal, (design.T * weights) @ targets)
    return solved[:-1].astype(np.float32)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length one; a row of zeros stays one."""
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    scaled: NDArray[np.float32] = (rows / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32)
    return scaled

"""When exact search is outgrown: candidates from a faiss file beside the vectors, ranked exactly afterwards.

The file is an inverted list of 8-bit codes (IVF-SQ8), about a quarter of the vectors' size, named by the vectors' hash:
that of other vectors is never taken. It can be thrown away, and is built again when it is missing.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.durable import replace_path, writing
from engine.distance import topk
from engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.index.contents import Contents

PATTERN = "approximate-*.faiss"
# Lists that a query looks into, as a share; candidates for each hit that is asked for, and at least.
_PROBED, _CANDIDATES, _LEAST = 1 / 8, 10, 200
_TRAINING_PER_LIST = 64
_RECALL_QUERIES, _RECALL_K = 200, 10


def build(index: Contents) -> float:
    """Write the faiss file and return its recall at 10 after exact ranking, on up to 200 of the index's own items.

    Raises
    ------
    ConfigError
        faiss is missing, the index is empty or has unsaved changes.
    """
    faiss = _faiss()
    vectors, header = index.vectors, index.header
    if not isinstance(vectors, np.memmap):
        raise ConfigError("expected a saved index with items, got an empty or changed one; save it first")
    generator = np.random.default_rng(0)
    n_lists = max(1, min(round(4 * math.sqrt(len(vectors))), len(vectors) // 40))
    metric = faiss.METRIC_L2 if header.metric in ("euclidean", "sqeuclidean") else faiss.METRIC_INNER_PRODUCT
    made = faiss.index_factory(header.size, f"IVF{n_lists},SQ8", metric)
    faiss.extract_index_ivf(made).cp.min_points_per_centroid = 1  # it would print that small indexes have few points
    sample = generator.choice(len(vectors), min(len(vectors), _TRAINING_PER_LIST * n_lists), replace=False)
    made.train(np.ascontiguousarray(vectors[np.sort(sample)]))
    for start in range(0, len(vectors), 1 << 16):
        made.add(np.ascontiguousarray(vectors[start : start + (1 << 16)]))
    made.nprobe = max(1, round(n_lists * _PROBED))
    recall = _recall(index, made, generator)
    with writing(index.folder), replace_path(file_of(index)) as path:
        faiss.write_index(made, str(path))
    for other in index.folder.glob(PATTERN):
        if other != file_of(index):
            with contextlib.suppress(OSError):  # a reader on Windows holds it; the next build removes it
                other.unlink()
    return recall


def candidates(
    index: Contents, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Return items among which the k nearest ones are expected, ascending; the file is built where there is none.

    Raises
    ------
    ConfigError
        As ``build``.
    """
    faiss = _faiss()
    if not file_of(index).exists():
        build(index)
    made = faiss.read_index(str(file_of(index)), faiss.IO_FLAG_MMAP)
    return _found(made, vector, max(_LEAST, _CANDIDATES * k), allowed)


def file_of(index: Contents) -> Path:
    """Return the faiss file of the present vectors, which may not be there."""
    return index.folder / PATTERN.replace("*", index.header.vectors_sha256[:16])


def _found(made: Any, vector: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    faiss = _faiss()
    options = {"nprobe": made.nprobe}
    if allowed is not None:
        options["sel"] = faiss.IDSelectorBatch(np.flatnonzero(allowed))
    _, rows = made.search(
        np.ascontiguousarray(vector[None], np.float32), min(n, made.ntotal), params=faiss.SearchParametersIVF(**options)
    )
    return np.unique(rows[rows >= 0]).astype(np.int64)


def _recall(index: Contents, made: Any, generator: np.random.Generator) -> float:
    vectors, metric = index.vectors, index.header.metric
    queries = np.sort(generator.choice(len(vectors), min(_RECALL_QUERIES, len(vectors)), replace=False))
    k = min(_RECALL_K, len(vectors))
    exact = topk(np.ascontiguousarray(vectors[queries]), vectors, k, metric).indices
    hits = sum(
        len(np.intersect1d(_found(made, vectors[query], _LEAST, None), row))
        for query, row in zip(queries, exact, strict=True)
    )
    return hits / exact.size


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError(
            "expected the package faiss-cpu, which approximate search needs; pip install 'sound-engine[index]'"
        ) from error
    return faiss

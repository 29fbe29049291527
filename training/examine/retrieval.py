"""How well a model's embedding finds sounds of the same kind, on clips that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Embedder
from engine.distance import pairwise
from training.metrics import retrieval_precisions
from training.metrics.means import nanmean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import Record


def embeddings(model: Path, records: Sequence[Record]) -> NDArray[np.float32]:
    """Return the embedding of each clip, the mean over its windows, shape (n_clips, embedding_size).

    By ``engine.Embedder`` on the CPU, one thread; errors as it raises them.
    """
    with Embedder(model, device="cpu", threads=1) as embedder:
        return np.stack([np.asarray(embedder(record.path).embedding, np.float32) for record in records])


def retrieval(model: Path, held_out: Sequence[Record], seen: Sequence[Record]) -> dict[str, Any]:
    """Return how well held-out clips find clips of their label, by the cosine of embeddings.

    Parameters
    ----------
    model : Path
    held_out : sequence of Record
        The clips that ask; the model was not trained on them.
    seen : sequence of Record
        The clips that the model was trained on.

    Returns
    -------
    dict
        "unseen": the other held-out clips are searched, those of the query's own source (Freesound recording, speaker)
        left out. "seen": the training clips are searched, those of the query's source left out too. Each has "map"
        (mean over queries of the average precision), "p_at_1" (share of queries whose nearest clip has their label),
        "n_queries" that find anything to look for and "n_left_out", which find nothing. Figures without a query are
        None.
    """
    records = [*held_out, *seen]
    vectors = embeddings(model, records)
    labels = np.array([record.label for record in records])
    sources = np.array([record.source for record in records])
    n = len(held_out)
    distances = pairwise(vectors[:n], vectors, "cosine")
    alike = labels[:n, np.newaxis] == labels
    foreign = sources[:n, np.newaxis] != sources
    is_held_out = np.arange(len(records)) < n
    return {
        "unseen": _figures(*retrieval_precisions(distances, alike, foreign & is_held_out)),
        "seen": _figures(*retrieval_precisions(distances, alike, foreign & ~is_held_out)),
    }


def _figures(precisions: NDArray[np.float64], first: NDArray[np.float64]) -> dict[str, Any]:
    asked = int((~np.isnan(precisions)).sum())
    return {
        "map": nanmean(precisions) if asked else None,
        "p_at_1": nanmean(first) if asked else None,
        "n_queries": asked,
        "n_left_out": len(precisions) - asked,
    }

"""How far a variant agrees with the model it was made from, both heard through the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from engine.convert.recordings import Recording
    from engine.model import Model
    from engine.results import Clip


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two models on the same recordings.

    Attributes
    ----------
    recordings : int
    largest_difference, mean_difference : float
        Between two scores, or two values of an embedding where there are no scores, as part of the largest value of
        the original where that is above 1.
    rank_correlation : float or None
        Spearman's, between the scores of a recording, their mean over recordings; over the recordings for a model with
        one label; None for a model without labels.
    accuracy_drop : float or None
        The share of recordings that the variant gets wrong less the share that the original does, where they have
        labels; else the share whose best label is another one. None for a model with fewer than two labels.
    labelled : bool
        Whether the drop was measured against labels.
    embedding_cosine : float or None
        Between the embeddings of a recording, their mean over recordings; None for a model without.
    """

    recordings: int
    largest_difference: float
    mean_difference: float
    rank_correlation: float | None
    accuracy_drop: float | None
    labelled: bool
    embedding_cosine: float | None


def clips_of(model: Model, recordings: Iterable[Recording]) -> list[Clip]:
    """Return what a model finds in each recording."""
    return [model((recording.samples, model.sample_rate)) for recording in recordings]


def agreement(recordings: Sequence[Recording], original: Sequence[Clip], variant: Sequence[Clip]) -> Agreement:
    """Compare the clips that two models gave for at least one recording; they are of one card's labels and sizes."""
    scores, other = (np.stack([clip.scores for clip in clips]) for clips in (original, variant))
    labelled = all(recording.label is not None for recording in recordings)
    drop = None
    if scores.shape[1] > 1:
        best, other_best = scores.argmax(axis=1), other.argmax(axis=1)
        truth = best
        if labelled:
            labels = list(original[0].labels)
            truth = np.array([labels.index(recording.label or "") for recording in recordings])
        drop = float(np.mean(best == truth) - np.mean(other_best == truth))
    values, other_values = scores, other
    cosine = None
    if original[0].embedding is not None:
        vectors, other_vectors = (np.stack([_vector(clip) for clip in clips]) for clips in (original, variant))
        if not scores.shape[1]:
            values, other_values = vectors, other_vectors
        cosine = float(np.mean([_cosine(a, b) for a, b in zip(vectors, other_vectors, strict=True)]))
    differences = np.abs(values - other_values) / max(1.0, float(np.abs(values).max()))
    return Agreement(
        recordings=len(recordings),
        largest_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        rank_correlation=_rank_correlation(scores, other) if scores.shape[1] else None,
        accuracy_drop=drop,
        labelled=labelled,
        embedding_cosine=cosine,
    )


def _rank_correlation(scores: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if scores.shape[1] == 1:
        scores, other = scores.T, other.T
    return float(np.mean([_spearman(a, b) for a, b in zip(scores, other, strict=True)]))


def _spearman(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the correlation of the ranks; 1 for two constants, which have none, and 0 for one."""
    from scipy.stats import rankdata

    ranks, other = rankdata(a), rankdata(b)
    return _cosine(ranks - ranks.mean(), other - other.mean())


def _cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return float(not a.any() and not b.any())
    return float(a.astype(np.float64) @ b) / lengths


def _vector(clip: Clip) -> NDArray[np.float32]:
    assert clip.embedding is not None
    return clip.embedding

"""Epochs of pairs and triplets for ranking, balanced between fine and coarse, as index arrays.

Source
    M. Margolis, J. Ghei, B. Pardo, "Applying triplet loss to Siamese-style networks for audio similarity ranking",
    DCASE 2018. A fine distractor is another recording of the query's class, a coarse one of another class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]


def fine_and_coarse(query_class: Indices, reference_class: Indices, fits: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Return all (query, distractor) of the query's class, and all of other classes, each (n, 2).

    What a query means is no distractor: a triplet of twice the same file would have the constant loss log 2.

    Parameters
    ----------
    query_class : ndarray of int, shape (n_queries,)
    reference_class : ndarray of int, shape (n_references,)
    fits : ndarray of bool, shape (n_queries, n_references)
        Which references each query means.
    """
    same = query_class[:, None] == reference_class
    return np.argwhere(same & ~fits), np.argwhere(~same & ~fits)


def drawn_targets(fits: NDArray[np.bool_], generator: Generator) -> Indices:
    """Return for each query one of the references that it means, drawn anew, shape (n_queries,)."""
    return np.where(fits, generator.random(fits.shape), -1.0).argmax(axis=1)


def pair_epoch(
    fine: Indices, coarse: Indices, target: Indices, generator: Generator
) -> tuple[Indices, NDArray[np.bool_]]:
    """Return pairs (n, 2) and whether each is of a target: every positive, half as many fine, half as many coarse.

    Positives and negatives take turns, so that every batch of an even size holds as many of either; with an odd number
    of queries one positive is left over and comes last. Distractors are drawn with replacement. Where all recordings of
    a class are meant there are no fine ones, and all are coarse.
    """
    positives = generator.permutation(np.stack([np.arange(len(target)), target], axis=1))
    half = len(target) // 2
    kinds = (fine, coarse) if len(fine) else (coarse, coarse)
    negatives = generator.permutation(np.concatenate([_drawn(each, half, generator) for each in kinds]))
    pairs = np.concatenate([positives, negatives])
    # Equal places within their own list bring the two lists together.
    places = np.concatenate([np.arange(len(positives)), np.arange(len(negatives))])
    order = np.argsort(places, kind="stable")
    return pairs[order], (np.arange(len(pairs)) < len(positives))[order]


def triplet_epoch(
    fine: Indices, coarse: Indices, target: Indices, generator: Generator
) -> tuple[Indices, NDArray[np.bool_]]:
    """Return triplets (n, 3) of query, first and second reference, and whether the first is the target.

    All fine ones in both orders, and as many coarse ones, drawn with replacement, shuffled. Where there are no fine
    ones it is ``n_triplets`` coarse ones.
    """
    n = n_triplets(fine, target)
    rows = np.concatenate([fine, fine, _drawn(coarse, n - 2 * len(fine), generator)])
    is_first = np.concatenate(
        [np.ones(len(fine), bool), np.zeros(len(fine), bool), generator.random(n - 2 * len(fine)) < 0.5]
    )
    query, distractor = rows.T
    first, second = np.where(is_first, target[query], distractor), np.where(is_first, distractor, target[query])
    order = generator.permutation(len(rows))
    return np.stack([query, first, second], axis=1)[order], is_first[order]


def n_triplets(fine: Indices, target: Indices) -> int:
    """Return how many triplets an epoch has: four for each fine pair, or for each query where no pair is fine."""
    return 4 * (len(fine) or len(target))


def _drawn(rows: Indices, n: int, generator: Generator) -> Indices:
    if n and not len(rows):
        raise ValueError("expected at least one distractor to draw, got none; take more references of each class")
    return rows[generator.integers(len(rows), size=n)] if n else rows[:0]

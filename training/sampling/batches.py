"""Batches of indices, in an order that their generator alone decides.

Each function returns one epoch as a list of index arrays. ``epoch_generator`` gives the generator of an epoch from seed
and epoch number, so that a run that goes on from a checkpoint draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import ArrayLike, NDArray


def epoch_generator(*seeds: int) -> Generator:
    """Return the generator of a run's epoch: ``epoch_generator(seed, epoch)``."""
    return np.random.default_rng(np.random.SeedSequence(seeds))


def shuffled(n: int, batch_size: int, generator: Generator, *, drop_last: bool = False) -> list[NDArray[np.int64]]:
    """Return every index below ``n`` once, in batches of ``batch_size``.

    Parameters
    ----------
    drop_last : bool
        Leave out the last batch where it is smaller than the others.
    """
    _positive(n=n, batch_size=batch_size)
    order = generator.permutation(n)
    batches = [order[i : i + batch_size] for i in range(0, n, batch_size)]
    return batches[:-1] if drop_last and len(batches[-1]) < batch_size else batches


def ratio_keeping(streams: Sequence[ArrayLike], batch_size: int, generator: Generator) -> list[NDArray[np.int64]]:
    """Return every index of every stream once, each batch mixed in proportion to the streams' sizes.

    As Turpault et al. (2019) train on labelled and unlabelled clips: the share of a stream is the same in all batches,
    up to rounding by less than one index, in the last, smaller batch too.

    Parameters
    ----------
    streams : sequence of array_like of int
        The indices of each stream, as labelled and unlabelled.
    batch_size : int
        Indices of all streams together.
    """
    members = [np.asarray(stream, np.int64) for stream in streams]
    total = sum(len(stream) for stream in members)
    _positive(n=total, batch_size=batch_size)
    members = [generator.permutation(stream) for stream in members if len(stream)]
    # The i-th of a stream of size s belongs at (i + offset) / s of the epoch; read in this order, every stretch holds
    # the streams in proportion. Equal places are told apart by the stream, so the order is one.
    places = np.concatenate([(np.arange(len(stream)) + 0.5) / len(stream) for stream in members])
    stream_of = np.repeat(np.arange(len(members)), [len(stream) for stream in members])
    mixed = np.concatenate(members)[np.lexsort((stream_of, places))]
    return [mixed[i : i + batch_size] for i in range(0, total, batch_size)]


def constant_counts(
    streams: Sequence[ArrayLike], counts: Sequence[int], n_batches: int, generator: Generator
) -> list[NDArray[np.int64]]:
    """Return ``n_batches`` batches with exactly ``counts[k]`` indices of stream k, each stream reshuffled at its end.

    A short stream is repeated within the epoch; no index comes again before its whole stream has come.

    Parameters
    ----------
    streams : sequence of array_like of int
    counts : sequence of int
        At least 0 each.
    n_batches : int
    """
    _positive(n_batches=n_batches, counts=sum(counts))
    members = [np.asarray(stream, np.int64) for stream in streams]
    if len(counts) != len(members) or any(c < 0 or (c and not len(m)) for c, m in zip(counts, members, strict=False)):
        raise ValueError(
            f"expected one count of at least 0 per stream, and 0 for an empty one, got {list(counts)} for streams of "
            f"{[len(stream) for stream in members]}"
        )
    drawn = [
        _endless(stream, count * n_batches, generator).reshape(n_batches, count)
        for stream, count in zip(members, counts, strict=True)
    ]
    return list(np.concatenate(drawn, axis=1))


def balanced(
    classes: ArrayLike, batch_size: int, generator: Generator, n_batches: int | None = None
) -> list[NDArray[np.int64]]:
    """Return batches in which the classes come equally often, up to one; rare ones are repeated.

    Which classes come once more in a batch is drawn, so that over an epoch none is preferred.

    Parameters
    ----------
    classes : array_like of int, shape (n_examples,)
        The class of each example; -1 for one that is never drawn.
    batch_size : int
    n_batches : int, optional
        As many as it takes to read n_examples by default.
    """
    labels = np.asarray(classes)
    present = np.unique(labels[labels >= 0])
    n_batches = -(-int((labels >= 0).sum()) // batch_size) if n_batches is None else n_batches
    _positive(n_classes=len(present), batch_size=batch_size, n_batches=n_batches)
    each, extra = divmod(batch_size, len(present))
    # The extra places of a batch go to the classes that have had the fewest, in random order among equals.
    counts = np.full((n_batches, len(present)), each)
    for i in range(n_batches):
        had = counts[:i].sum(axis=0)
        counts[i, np.lexsort((generator.random(len(present)), had))[:extra]] += 1
    parts = []
    for k, label in enumerate(present):
        drawn = _endless(np.flatnonzero(labels == label), int(counts[:, k].sum()), generator)
        parts.append(np.split(drawn, np.cumsum(counts[:, k])[:-1]))
    return [generator.permutation(np.concatenate(batch)) for batch in zip(*parts, strict=True)]


def _endless(members: NDArray[np.int64], n: int, generator: Generator) -> NDArray[np.int64]:
    rounds = -(-n // len(members)) if n else 0
    return np.concatenate([np.empty(0, np.int64), *(generator.permutation(members) for _ in range(rounds))])[:n]


def _positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"expected at least 1 for {name}, got {value}")

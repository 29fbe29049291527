"""Batches: what they hold, how often, and that seed and epoch decide them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.sampling.batches import balanced, constant_counts, epoch_generator, ratio_keeping, shuffled


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3), batch_size=st.integers(1, 12), seed=st.integers(0))
@settings(max_examples=60, deadline=None)
def test_ratio_keeping_reads_all_once_and_mixes_alike(sizes: list[int], batch_size: int, seed: int) -> None:
    total = sum(sizes)
    if not total:
        return
    bounds = np.cumsum([0, *sizes])
    streams = [np.arange(a, b) for a, b in pairwise(bounds)]
    batches = ratio_keeping(streams, batch_size, epoch_generator(seed % 1000, 0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(total))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for batch in batches:
        for stream in streams:
            share = len(batch) * len(stream) / total
            assert abs(np.isin(batch, stream).sum() - share) < len(sizes)


def test_labelled_and_unlabelled_keep_their_ratio() -> None:
    batches = ratio_keeping([np.arange(10), np.arange(10, 100)], 10, epoch_generator(0, 0))
    assert [(batch < 10).sum() for batch in batches] == [1] * 10


def test_shuffled_reads_all_once() -> None:
    batches = shuffled(10, 4, epoch_generator(0, 0))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))
    assert [len(batch) for batch in shuffled(10, 4, epoch_generator(0, 0), drop_last=True)] == [4, 4]
    assert len(shuffled(8, 4, epoch_generator(0, 0), drop_last=True)) == 2


def test_constant_counts_repeat_a_short_stream_only_after_its_end() -> None:
    batches = constant_counts([[0, 1, 2], np.arange(10, 40)], [2, 3], 6, epoch_generator(0, 0))
    assert all(((batch < 3).sum(), len(batch)) == (2, 5) for batch in batches)
    short = np.concatenate([batch[batch < 3] for batch in batches])
    assert all(sorted(short[i : i + 3].tolist()) == [0, 1, 2] for i in range(0, 12, 3))
    with pytest.raises(ValueError, match="per stream"):
        constant_counts([[0], []], [1, 1], 2, epoch_generator(0))


def test_balanced_batches_hold_the_classes_equally_often() -> None:
    classes = np.array([0] * 50 + [1] * 5 + [2] * 10 + [-1] * 20)
    batches = balanced(classes, 8, epoch_generator(0, 0))
    assert len(batches) == 9
    total = np.zeros(3, int)
    for batch in batches:
        counts = np.bincount(classes[batch], minlength=3)
        assert sorted(counts.tolist()) == [2, 3, 3]
        total += counts
    assert np.ptp(total) <= 1
    # No example of a class comes again before all of them have come.
    drawn = np.concatenate(batches)
    assert np.ptp(np.bincount(drawn[classes[drawn] == 1], minlength=55)[50:]) <= 1


@pytest.mark.parametrize(
    "make", [lambda g: shuffled(20, 3, g), lambda g: balanced([0, 1] * 10, 4, g)], ids=["shuffled", "balanced"]
)
def test_seed_and_epoch_decide(make) -> None:
    def read(*seeds: int) -> list[list[int]]:
        return [batch.tolist() for batch in make(epoch_generator(*seeds))]

    assert read(0, 1) == read(0, 1)
    assert read(0, 1) != read(0, 2)
    assert read(0, 1) != read(1, 1)


def test_nothing_is_no_epoch() -> None:
    for call in (
        lambda: shuffled(0, 3, epoch_generator(0)),
        lambda: ratio_keeping([[]], 3, epoch_generator(0)),
        lambda: balanced([-1], 3, epoch_generator(0)),
    ):
        with pytest.raises(ValueError, match="at least 1"):
            call()

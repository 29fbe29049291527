from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.ranks import average_ranks


def by_definition(scores):
    """Rank of each score: those above it, and half of those beside it, counted one by one."""
    ranks, tied = [], []
    for score in scores:
        above = sum(other > score for other in scores)
        beside = sum(other == score for other in scores) - 1
        ranks.append(1 + above + beside / 2)
        tied.append(beside)
    return ranks, tied


def test_the_published_example():
    ranks, tied = average_ranks(np.array([0.9, 0.2, 0.9, 0.1]))
    assert (ranks[2], tied[2]) == (1.5, 1)


@given(st.lists(st.integers(-3, 3), max_size=12))
def test_ranks_are_those_of_the_definition(values):
    ranks, tied = average_ranks(np.array(values, np.float32))
    assert (ranks.tolist(), tied.tolist()) == by_definition(values)


def test_equal_scores_are_all_in_the_middle():
    ranks, tied = average_ranks(np.full(9, 0.5, np.float32))
    assert set(ranks) == {5.0}
    assert set(tied) == {8}

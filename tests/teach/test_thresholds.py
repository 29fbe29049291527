"""Thresholds for a precision, against trying them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.teach.measurement import wilson_interval
from engine.teach.thresholds import UNMEASURED, choose_threshold, choose_thresholds

cases = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=25)


def at(threshold, scores, relevant):
    given_ = scores >= threshold
    return relevant[given_].mean() if given_.any() else 0.0, int((given_ & relevant).sum())


@given(cases, st.sampled_from([0.3, 0.5, 0.9, 1.0]))
def test_no_other_threshold_that_reaches_the_precision_finds_more(case, precision):
    scores, relevant = np.array([s for s, _ in case]) / 20, np.array([r for _, r in case])
    chosen = choose_threshold(scores, relevant, precision)
    if not relevant.any():
        assert chosen == (UNMEASURED, False)
        return
    tried = [at(score, scores, relevant) for score in np.unique(scores)]
    got = at(chosen.score, scores, relevant)
    good = [found for reached, found in tried if reached >= precision]
    assert chosen.reached == bool(good)
    if good:
        assert got[0] >= precision
        assert got[1] == max(good)
    else:
        assert got[0] == max(reached for reached, _ in tried)


def test_a_threshold_lies_between_two_scores():
    scores, relevant = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])
    assert choose_threshold(scores, relevant, 0.9) == (pytest.approx(0.5), True)
    assert (
        choose_thresholds(np.stack([scores, 1 - scores], 1), np.stack([relevant, ~relevant], 1), 0.9)
        == [(pytest.approx(0.5), True)] * 2
    )


def test_wilson_interval():
    # Wilson (1927) as in statsmodels.stats.proportion.proportion_confint(8, 10, method="wilson").
    assert wilson_interval(0.8, 10) == (pytest.approx(0.490162, abs=1e-6), pytest.approx(0.943318, abs=1e-6))
    for n in range(1, 200):
        assert wilson_interval(0.0, n)[0] == 0.0
        assert wilson_interval(1.0, n)[1] == 1.0

"""Thresholds of detection, against every threshold that there is; the curve is held to scikit-learn elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import equal_error_threshold, threshold_at_false_alarms


@given(
    scores=st.lists(st.integers(-5, 5).map(float), min_size=4, max_size=40),
    flags=st.lists(st.booleans(), min_size=40, max_size=40),
    rate=st.floats(0, 1),
)
def test_thresholds_are_the_best_of_all_that_there_are(scores, flags, rate):
    scores, positive = np.array(scores), np.array(flags[: len(scores)])
    if positive.all() or not positive.any():
        assert np.isnan(equal_error_threshold(scores, positive))
        assert np.isnan(threshold_at_false_alarms(scores, positive, rate))
        return

    def rates(threshold):
        accepted = scores >= threshold
        return accepted[~positive].mean(), (~accepted)[positive].mean()

    every = [rates(threshold) for threshold in [*np.unique(scores), np.inf]]
    false_alarms, misses = rates(equal_error_threshold(scores, positive))
    assert abs(false_alarms - misses) == pytest.approx(min(abs(a - b) for a, b in every))
    false_alarms, misses = rates(threshold_at_false_alarms(scores, positive, rate))
    assert false_alarms <= rate
    assert misses == min(b for a, b in every if a <= rate)


def test_thresholds_lie_between_scores():
    scores, positive = np.array([0.6, 0.8, 0.9, 0.1, 0.2, 0.7]), np.array([1, 1, 1, 0, 0, 0])
    assert threshold_at_false_alarms(scores, positive, 0.0) == pytest.approx(0.75)
    assert threshold_at_false_alarms(scores, positive, 0.4) == pytest.approx(0.4)
    assert threshold_at_false_alarms(scores, positive, 1.0) == pytest.approx(0.1)
    assert 0.6 < equal_error_threshold(scores, positive) < 0.7

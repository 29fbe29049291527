"""DET curves and equal error rates, counted one threshold at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import det_curve

from training.det import det

SCORES = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=30).map(np.array)


@given(SCORES, SCORES)
def test_points_are_counts(positive, negative):
    curve = det(positive, negative)
    for threshold, false_alarms, misses in zip(curve.thresholds, curve.false_alarms, curve.misses, strict=True):
        assert false_alarms == pytest.approx(np.mean(negative >= threshold))
        assert misses == pytest.approx(np.mean(positive < threshold))
    assert (curve.false_alarms[0], curve.misses[0]) == (1, 0)
    assert (curve.false_alarms[-1], curve.misses[-1]) == (0, 1)


@given(SCORES, SCORES)
def test_equal_error_lies_on_the_curve_and_keeps_its_value_when_sides_are_swapped(positive, negative):
    curve, mirrored = det(positive, negative), det(-negative, -positive)
    rate = curve.equal_error
    assert 0 <= rate <= 1
    on_the_line = np.interp(rate, curve.misses, curve.false_alarms)
    jumps = np.isin(rate, curve.misses)
    assert jumps or on_the_line == pytest.approx(rate)
    assert mirrored.equal_error == pytest.approx(rate)


def test_points_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    positive, negative = generator.normal(1, 1, 200), generator.normal(0, 1, 300)
    curve = det(positive, negative)
    truth = np.repeat([1, 0], [200, 300])
    far, miss, thresholds = det_curve(truth, np.concatenate([positive, negative]))
    for threshold, a, b in zip(thresholds, far, miss, strict=True):
        point = np.flatnonzero(curve.thresholds == threshold)
        if point.size:
            assert curve.false_alarms[point[0]] == pytest.approx(a)
            assert curve.misses[point[0]] == pytest.approx(b)


@pytest.mark.parametrize(
    ("positive", "negative", "rate"),
    [([2.0, 3], [0.0, 1], 0.0), ([0.0, 1], [2.0, 3], 1.0), ([1.0, 1], [1.0, 1], 0.5), ([0.0, 2], [1.0, 3], 0.5)],
)
def test_rates_that_are_known(positive, negative, rate):
    assert det(np.array(positive), np.array(negative)).equal_error == pytest.approx(rate)


def test_thresholds_lie_between_scores():
    curve = det(np.array([0.6, 0.8, 0.9]), np.array([0.1, 0.2, 0.7]))
    assert curve.equal_error == pytest.approx(1 / 3)
    assert curve.threshold_at(0.0) == pytest.approx(0.75)
    assert curve.threshold_at(0.4) == pytest.approx(0.4)
    assert curve.threshold_at(1.0) == pytest.approx(0.1)
    assert det(np.array([1.0]), np.array([2.0])).threshold_at(0.0) == 2.0


@pytest.mark.parametrize(("positive", "negative"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0])])
def test_an_event_without_clips_has_no_curve(positive, negative):
    with pytest.raises(ValueError, match="clips with"):
        det(np.array(positive), np.array(negative))

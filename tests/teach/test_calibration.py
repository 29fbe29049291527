"""One temperature makes scores mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from engine.teach.calibration import calibration_figures, fit_temperature, log_loss
from engine.teach.head import activated
from engine.teach.pooling import ClipWindows


def single(n, size=2):
    return ClipWindows(np.zeros((n, size), np.float32), np.arange(n))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("true", [0.5, 2.0])
def test_the_temperature_that_made_the_labels_is_found(exclusive, true):
    generator = np.random.default_rng(0)
    logits = 3 * generator.standard_normal((4000, 3))
    scores = activated(logits / true, exclusive=exclusive)
    if exclusive:
        targets = np.eye(3, dtype=bool)[[generator.choice(3, p=row) for row in scores]]
    else:
        targets = generator.uniform(size=scores.shape) < scores
    found = fit_temperature(logits, single(len(logits)), targets, "mean", exclusive=exclusive)
    assert found == pytest.approx(true, rel=0.06)
    before = calibration_figures(activated(logits, exclusive=exclusive), targets, exclusive=exclusive)
    after = calibration_figures(activated(logits / found, exclusive=exclusive), targets, exclusive=exclusive)
    assert all(after[name] < before[name] for name in before)
    assert after["expected_calibration_error"] < 0.02


def test_a_handful_of_right_clips_does_not_make_scores_certain():
    logits = np.array([[1.0, 0.0], [0.0, 1.0]] * 2)
    found = fit_temperature(logits, single(4), np.eye(2, dtype=bool)[[0, 1, 0, 1]], "mean", exclusive=True)
    assert 0.2 < found < 1


def test_figures_by_hand():
    scores, targets = np.array([[0.75, 0.25], [0.6, 0.4]]), np.array([[True, False], [False, True]])
    figures = calibration_figures(scores, targets, exclusive=True)
    assert figures["log_loss"] == pytest.approx(-(np.log(0.75) + np.log(0.4)) / 2)
    assert figures["brier_score"] == pytest.approx((2 * 0.25**2 + 2 * 0.6**2) / 2)
    # Bins of 0.7 to 0.8 (right) and 0.6 to 0.7 (wrong).
    assert figures["expected_calibration_error"] == pytest.approx((0.25 + 0.6) / 2)
    assert log_loss(scores, targets, exclusive=False) == pytest.approx(-(2 * np.log(0.75) + 2 * np.log(0.4)) / 2)


def test_windows_are_pooled_as_the_engine_pools_them():
    windows = ClipWindows.of([np.ones((n, 2), np.float32) for n in (1, 3, 2)])
    scores = np.arange(12.0).reshape(6, 2)
    assert windows.pooled(scores, "max").tolist() == [[0, 1], [6, 7], [10, 11]]
    assert windows.pooled(scores, "mean").tolist() == [[0, 1], [4, 5], [9, 10]]
    assert windows.weights.tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])
    some = windows.chosen(np.array([True, False, True]))
    assert some.counts.tolist() == [1, 2]
    assert windows.means() == pytest.approx(np.full((3, 2), np.sqrt(0.5)))

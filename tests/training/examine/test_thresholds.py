"""Thresholds: the promises hold, by counting, whatever the scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.examine.thresholds import choose_thresholds


def drawn(seed: int, n: int, n_outside: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, n)
    scores = np.clip(generator.normal(0.2, 0.2, (n, 3)) + 0.5 * np.eye(3)[truth], 0.001, 0.999)
    return scores, truth, np.clip(generator.normal(0.3, 0.2, (n_outside, 3)), 0.001, 0.999)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.5, 0.8, 0.95]), st.sampled_from([0.0, 0.02, 0.2]))
def test_both_promises_hold(seed: int, precision: float, most: float) -> None:
    scores, truth, outside = drawn(seed, 60, 40)
    found = choose_thresholds(scores, truth, outside, precision=precision, most=most)
    above = 0
    for window in outside:
        above += any(window[i] >= found.values[i] for i in range(3))
    assert above / 40 == found.outside <= most
    for i in range(3):
        accepted = [t == i for s, t in zip(scores[:, i], truth, strict=True) if s >= found.values[i]]
        hits = sum(accepted)
        assert found.recall[i] == pytest.approx(hits / (truth == i).sum())
        if accepted:
            assert found.precision[i] == pytest.approx(hits / len(accepted))
    # Without other sounds the precision is reached, at the lowest place.
    alone = choose_thresholds(scores, truth, outside[:0], precision=precision, most=most)
    for i in range(3):
        ranked = np.sort(scores[:, i])[::-1]
        lower = [t for t in ranked if t < alone.values[i]]
        for threshold in lower:
            accepted = truth[scores[:, i] >= threshold] == i
            assert accepted.mean() < precision
        assert (alone.values <= found.values).all()


def raised_one_by_one(scores: np.ndarray, truth: np.ndarray, outside: np.ndarray, start: np.ndarray, most: float):
    """Return the thresholds by counting every clip and window again for every place of every label."""
    values = start.tolist()

    def held(window: np.ndarray, without: int) -> bool:
        return any(window[k] >= values[k] for k in range(3) if k != without)

    while sum(held(window, -1) for window in outside) / len(outside) > most:
        steps = []
        for i in range(3):
            places = sorted(window[i] for window in outside if window[i] >= values[i])
            best = (np.inf, values[i])
            for level in places:
                rid = sum(values[i] <= window[i] <= level and not held(window, i) for window in outside)
                lost = sum(values[i] <= score[i] <= level for score, t in zip(scores, truth, strict=True) if t == i)
                if rid and lost / rid < best[0]:
                    best = (lost / rid, float(np.nextafter(level, np.inf)))
            if np.isinf(best[0]) and places:
                best = (1e9, float(np.nextafter(places[0], np.inf)))
            steps.append(best)
        label = min(range(3), key=lambda i: steps[i][0])
        values[label] = steps[label][1]
    return values


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.02, 0.2]), st.sampled_from([1, 2, 9]))
def test_labels_are_raised_as_counting_says(seed: int, most: float, digits: int) -> None:
    scores, truth, outside = drawn(seed, 40, 30)
    scores, outside = scores.round(digits), outside.round(digits)
    start = choose_thresholds(scores, truth, outside[:0], precision=0.8).values
    found = choose_thresholds(scores, truth, outside, precision=0.8, most=most)
    assert found.values.tolist() == raised_one_by_one(scores, truth, outside, start, most)


def test_the_cheapest_label_is_raised() -> None:
    # Label 0 could shut the window out for one of its clips, label 1 has nothing to say about it.
    scores = np.array([[0.9, 0.1], [0.6, 0.1], [0.1, 0.8], [0.1, 0.7]])
    truth = np.array([0, 0, 1, 1])
    found = choose_thresholds(scores, truth, np.array([[0.65, 0.2]]), precision=0.9, most=0.0)
    assert 0.65 < found.values[0] <= 0.9
    assert found.recall.tolist() == [0.5, 1.0]
    assert found.outside == 0


def test_a_window_that_two_labels_hold_is_shut_out_of_both() -> None:
    scores = np.array([[0.9, 0.1], [0.1, 0.9]])
    found = choose_thresholds(scores, np.array([0, 1]), np.array([[0.7, 0.7]]), precision=0.9, most=0.0)
    assert found.outside == 0
    assert found.recall.tolist() == [1, 1]


def test_a_label_that_cannot_reach_the_precision_is_never_given() -> None:
    scores = np.array([[0.9, 0.9], [0.9, 0.9]])
    found = choose_thresholds(scores, np.array([0, 1]), np.zeros((0, 2)), precision=0.9)
    assert (found.values > 0.9).all()
    assert np.isnan(found.precision).all()

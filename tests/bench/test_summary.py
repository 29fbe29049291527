"""Numbers from repeats: percentiles only where they are supported, outliers kept, an interval that holds the median."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from engine.bench.summary import median_interval, repeats_for, summarise


def test_every_repeat_counts():
    blocks = [[1.0, 2.0, 3.0], [4.0, 100.0]]
    summary = summarise(blocks)
    assert summary.n == 5
    assert summary.mean == 22
    assert summary.minimum == 1
    assert summary.median == 3
    assert (summary.low, summary.high) == (2, 52)


def test_percentiles_are_those_of_all_repeats():
    seconds = np.random.default_rng(0).exponential(size=300)
    summary = summarise(np.split(seconds, 10))
    ordered = sorted(seconds)
    for q, value in summary.percentiles.items():
        at = q / 100 * 299
        below = ordered[int(at)]
        assert value == pytest.approx(below + (at % 1) * (ordered[int(at) + 1] - below))


@pytest.mark.parametrize(
    ("n", "printed"), [(1, [50]), (28, [50]), (29, [50, 90]), (59, [50, 90, 95]), (298, [50, 90, 95])]
)
def test_percentiles_need_repeats(n, printed):
    found = summarise([list(range(1, n + 1))]).percentiles
    assert [q for q, value in found.items() if value is not None] == printed
    assert all(value is not None for value in summarise([list(range(1, 300))]).percentiles.values())


@pytest.mark.parametrize("percentile", [90, 95, 99])
def test_with_so_many_repeats_one_lies_above_the_percentile(percentile):
    def chance_of_one_above(n):
        below = np.random.default_rng(n).random((20000, n)) < percentile / 100
        return 1 - below.all(axis=1).mean()

    n = repeats_for(percentile)
    assert chance_of_one_above(n) >= 0.945
    assert chance_of_one_above(n // 2) < 0.9


def test_spread_is_the_middle_half_beside_the_median():
    quiet = summarise([[100.0, 104.0, 100.0, 96.0, 900.0]])
    assert quiet.spread == pytest.approx(0.04)
    assert not quiet.noisy
    assert summarise([[100.0, 112.0, 100.0, 96.0, 900.0]]).noisy


@pytest.mark.parametrize("n", range(6, 15))
def test_interval_is_the_narrowest_that_holds_the_median_with_95_percent(n):
    # Each value lies below the median or above it with equal chance; with r - 1 below at most, the r-th does not.
    def holds(rank):
        return np.mean([rank <= sum(below) <= n - rank for below in product((0, 1), repeat=n)])

    low, high = median_interval(list(range(1, n + 1)))
    assert low + high == n + 1
    assert holds(low) >= 0.95
    assert holds(low + 1) < 0.95


@pytest.mark.parametrize("n", range(1, 6))
def test_interval_of_few_values_is_all_of_them(n):
    assert median_interval(list(range(n))) == (0, n - 1)


def test_interval_does_not_depend_on_order():
    assert median_interval([5, 1, 9, 3, 7, 2, 8, 6, 4, 0]) == (1, 8)

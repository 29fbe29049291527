"""What counts as slower."""

from __future__ import annotations

import pytest

from engine.bench.compare import compare
from engine.errors import ConfigError
from tests.bench.rows import report, row

STEADY = tuple((ms,) for ms in (100, 101, 99, 100, 102, 98, 100, 101, 99, 100))


def scaled(factor, blocks=STEADY):
    return tuple(tuple(ms * factor for ms in block) for block in blocks)


def compared(before, after):
    (comparison,) = compare(report(row(blocks_ms=before)), report(row(blocks_ms=after))).rows
    return comparison


def test_the_ratio_is_that_of_the_medians():
    assert compared(STEADY, scaled(1.5)).ratio == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("factor", "limit", "regression"), [(1.2, 0.05, True), (1.2, 0.3, False), (1.04, 0.05, False), (0.5, 0.05, False)]
)
def test_slower_than_the_limit(factor, limit, regression):
    assert compared(STEADY, scaled(factor)).is_regression(limit) is regression


def test_noise_is_no_regression():
    wild = tuple((ms,) for ms in (80, 150, 90, 140, 70, 160, 85, 145, 75, 155))
    comparison = compared(STEADY, wild)
    assert comparison.ratio > 1.05
    assert not comparison.beyond_noise
    assert not comparison.is_regression(0.05)


def test_a_slow_spell_of_one_block_hides_no_regression():
    spell = (*STEADY[:9], (1000,))
    assert compared(spell, scaled(1.2)).is_regression(0.05)
    assert not compared(STEADY, spell).is_regression(0.05)


def test_faster_beyond_noise_is_told():
    comparison = compared(STEADY, scaled(0.5))
    assert comparison.beyond_noise
    assert comparison.ratio == 0.5


def test_rows_are_matched_by_what_they_measure():
    before = report(row(), row("network"), row("batch", count=8))
    after = report(row(threads=2), row("network"), row("batch", count=8), row("batch", count=32))
    found = compare(before, after)
    assert [(pair.after.measure, pair.after.count) for pair in found.rows] == [("network", 1), ("batch", 8)]
    assert [only.title for only in found.only_before] == ["call 10 s"]
    assert [(only.threads, only.count) for only in found.only_after] == [(2, 1), (1, 32)]


def test_nothing_in_common_is_an_error():
    with pytest.raises(ConfigError, match="rows in common"):
        compare(report(row(model="one")), report(row(model="other")))


def test_what_else_differs_is_told():
    before = report(row())
    other = report(row(), versions={"numpy": "3.0"}, machine=before.machine | {"kernels": "avx512"})
    assert compare(before, other).notes == ("kernels: avx2, now avx512", "numpy: 2.0, now 3.0")
    (model,) = before.models
    other = report(row(), models=(model | {"model_sha256": "2" * 64},))
    assert compare(before, other).notes == (f"network of tiny: {'1' * 64}, now {'2' * 64}",)
    assert compare(before, before).notes == ()

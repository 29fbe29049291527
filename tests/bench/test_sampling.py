"""Repeats in turns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.bench import sampling
from engine.bench.sampling import BLOCKS, Repeated, take_turns

NOW = SimpleNamespace(s=0.0)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that stands still but for what the probes below add."""
    monkeypatch.setattr(sampling, "time", SimpleNamespace(perf_counter=lambda: NOW.s))


class Counted:
    """A probe of a stated length that writes down when it is called and how often."""

    def __init__(self, name, log, seconds=0.0, measures=None):
        self.measures = measures or (name,)
        self.name = name
        self.log = log
        self.seconds = seconds

    def repeat(self, times):
        self.log.append((self.name, times))
        NOW.s += self.seconds * times
        return [[float(index)] * times for index in range(len(self.measures))]


def test_probes_take_turns_block_by_block():
    log = []
    take_turns([Counted("a", log), Counted("b", log)], repeats=50, limit_s=10)
    # Two calls before the first block: one to warm up, one to learn the length.
    assert log[:4] == [("a", 1), ("a", 1), ("b", 1), ("b", 1)]
    assert log[4:] == [("a", 1), ("a", 5), ("b", 1), ("b", 5)] * BLOCKS


def test_only_whole_blocks_are_counted():
    (((samples,)),) = take_turns([Counted("a", [])], repeats=51, limit_s=10)
    assert samples.measure == "a"
    assert [len(block) for block in samples.blocks_s] == [6] * BLOCKS


def test_slow_probes_are_repeated_less_but_once_in_each_block():
    log = []
    slow, quick = take_turns([Counted("slow", log, 1.0), Counted("quick", log, 0.25)], repeats=60, limit_s=10)
    assert [len(block) for block in slow[0].blocks_s] == [1] * BLOCKS
    assert [len(block) for block in quick[0].blocks_s] == [4] * BLOCKS
    assert log.count(("slow", 1)) == 2 + BLOCKS


def test_each_measure_gets_its_own_samples():
    ((first, second),) = take_turns([Counted("both", [], measures=("first", "second"))], repeats=20, limit_s=10)
    assert (first.measure, second.measure) == ("first", "second")
    assert set(first.blocks_s) == {(0.0, 0.0)}
    assert set(second.blocks_s) == {(1.0, 1.0)}


def test_a_function_is_timed_call_by_call():
    lengths = iter((0.25, 0.5, 4.0))

    def work():
        NOW.s += next(lengths)

    assert Repeated("work", work).repeat(3) == [[0.25, 0.5, 4.0]]

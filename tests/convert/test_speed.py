"""Speed as a ratio of two things that take turns."""

from __future__ import annotations

import time
from itertools import count

import pytest

from engine.convert import speed
from engine.convert.waveform import to_waveform
from tests.convert import networks


def sleeping(*seconds):
    """A call that takes as long as the list says, the first again and again."""
    turns = count()
    return lambda: time.sleep(seconds[next(turns) % len(seconds)])


def test_the_shortest_calls_count(monkeypatch):
    monkeypatch.setattr(speed, "TURNS", 8)
    assert speed.speed_ratio(sleeping(0.02, 0.05), sleeping(0.002, 0.03)) == pytest.approx(10, rel=0.3)
    assert speed.speed_ratio(sleeping(0.002), sleeping(0.02)) == pytest.approx(0.1, rel=0.3)


def test_a_larger_network_is_slower():
    small, large = ((networks.convolutional(channels=channels), networks.card()) for channels in (4, 48))
    assert speed.window_speed_ratio(large, small) > 1.5
    assert speed.network_speed_ratio(large, small) > 2


def test_variants_with_another_input_are_compared_through_the_engine():
    original = (networks.convolutional(), networks.card())
    assert speed.window_speed_ratio(original, to_waveform(*original)) > 0

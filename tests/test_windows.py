from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.windows import WindowCutter, cut_windows


def slow_windows(samples, window, hop, pad):
    """Windows of a waveform held whole: the rule, one window after the other."""
    windows, start, covered = [], 0, 0
    while covered < len(samples):
        end = min(start + window, len(samples))
        content = list(samples[start:end])
        if pad == "zeros":
            content += [0] * (window - len(content))
        elif pad == "repeat":
            content = [content[i % len(content)] for i in range(window)]
        windows.append((start, end, content))
        start, covered = start + hop, end
    return windows


@given(
    data=st.data(),
    n_samples=st.integers(0, 60),
    window=st.integers(1, 20),
    pad=st.sampled_from(["zeros", "repeat", "none"]),
)
def test_any_blocks_give_the_windows_of_the_whole(data, n_samples, window, pad):
    hop = data.draw(st.integers(1, window))
    edges = sorted(data.draw(st.lists(st.integers(0, n_samples), max_size=6)))
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    cuts = list(cut_windows(np.split(samples, edges), window, hop, pad))
    assert [(cut.start, cut.end, cut.samples.tolist()) for cut in cuts] == slow_windows(samples, window, hop, pad)


@pytest.mark.parametrize(
    ("n_samples", "ends"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 11]), (15, [10, 15]), (16, [10, 15, 16])]
)
def test_a_window_exists_while_it_holds_new_audio(n_samples, ends):
    cuts = list(cut_windows([np.ones(n_samples, np.float32)], window=10, hop=5, pad="zeros"))
    assert [cut.end for cut in cuts] == ends
    assert [cut.start for cut in cuts] == [5 * k for k in range(len(ends))]


def test_windows_do_not_share_memory():
    first, second = cut_windows([np.arange(4, dtype=np.float32)], window=2, hop=2, pad="zeros")
    second.samples[:] = 9
    np.testing.assert_array_equal(first.samples, [0, 1])


def test_flush_gives_nothing_twice():
    cutter = WindowCutter(window=4, hop=4, pad="zeros")
    assert list(cutter.push(np.ones(3, np.float32))) == []
    assert len(list(cutter.flush())) == 1
    assert list(cutter.flush()) == []


def test_two_hours_are_cut_in_the_memory_of_a_window():
    rate, block = 16_000, np.zeros(1 << 20, np.float32)
    blocks = (block for _ in range(2 * 3600 * rate // block.size))
    tracemalloc.start()
    try:
        n_windows = sum(1 for _ in cut_windows(blocks, window=5 * rate, hop=5 * rate, pad="zeros"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_windows == 2 * 3600 * rate // block.size * block.size // (5 * rate) + 1
    assert peak < 4 * 5 * rate * 4

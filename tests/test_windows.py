from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.windows import WindowCutter


def slow_windows(samples, window, hop, pad, context=0):
    """Windows of a waveform held whole, as (start, end, content): the rule, one window after the other."""
    windows, start, covered = [], 0, 0
    while covered < len(samples):
        end = min(start + window, len(samples))
        content = list(samples[start:end])
        if pad == "zeros":
            content += [0] * (window - len(content))
        elif pad == "repeat":
            content = [content[i % len(content)] for i in range(window)]
        before = [samples[i] if i >= 0 else 0 for i in range(start - context, start)]
        windows.append((start, end, before + content))
        start, covered = start + hop, end
    return windows


def cut_in_blocks(cutter, blocks):
    for block in blocks:
        yield from cutter.push(block)
    yield from cutter.flush()


@given(
    data=st.data(),
    n_samples=st.integers(0, 60),
    window=st.integers(1, 20),
    pad=st.sampled_from(["zeros", "repeat", "none", "frames"]),
    context=st.integers(0, 30),
)
def test_any_blocks_give_the_windows_of_the_whole(data, n_samples, window, pad, context):
    hop = data.draw(st.integers(1, window))
    edges = sorted(data.draw(st.lists(st.integers(0, n_samples), max_size=6)))
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    cuts = list(cut_in_blocks(WindowCutter(window, hop, pad, context), np.split(samples, edges)))
    got = [(cut.start, cut.end, cut.samples.tolist()) for cut in cuts]
    assert got == slow_windows(samples, window, hop, pad, context)


@given(
    data=st.data(),
    n_rows=st.integers(0, 30),
    window=st.integers(1, 10),
    pad=st.sampled_from(["zeros", "repeat", "none"]),
)
def test_rows_are_cut_as_samples_are(data, n_rows, window, pad):
    hop = data.draw(st.integers(1, window))
    edges = sorted(data.draw(st.lists(st.integers(0, n_rows), max_size=4)))
    samples = np.arange(1, n_rows + 1, dtype=np.float32)
    rows = np.stack([samples, -samples], axis=1)
    cuts = list(cut_in_blocks(WindowCutter(window, hop, pad, n_features=2), np.split(rows, edges)))
    assert [(cut.start, cut.end, cut.samples[:, 0].tolist()) for cut in cuts] == slow_windows(samples, window, hop, pad)
    assert all(np.array_equal(cut.samples[:, 1], -cut.samples[:, 0]) for cut in cuts)


@pytest.mark.parametrize(
    ("n_samples", "ends"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 11]), (15, [10, 15]), (16, [10, 15, 16])]
)
def test_a_window_exists_while_it_holds_new_audio(n_samples, ends):
    cuts = list(cut_in_blocks(WindowCutter(10, 5, "zeros"), [np.ones(n_samples, np.float32)]))
    assert [cut.end for cut in cuts] == ends
    assert [cut.start for cut in cuts] == [5 * k for k in range(len(ends))]


def test_windows_do_not_share_memory():
    first, second = cut_in_blocks(WindowCutter(2, 2, "zeros"), [np.arange(4, dtype=np.float32)])
    second.samples[:] = 9
    np.testing.assert_array_equal(first.samples, [0, 1])


def test_flush_gives_nothing_twice():
    cutter = WindowCutter(window=4, hop=4, pad="zeros")
    assert list(cutter.push(np.ones(3, np.float32))) == []
    assert len(list(cutter.flush())) == 1
    assert list(cutter.flush()) == []


@pytest.mark.parametrize("block_length", [1 << 20, 80_000, 40_000, 4_000])
@pytest.mark.parametrize("hop", [80_000, 30_000])
def test_hours_are_cut_in_the_memory_of_a_window_and_a_block(block_length, hop):
    window = 80_000
    n_blocks = 100 * window // block_length
    blocks = (np.zeros(block_length, np.float32) for _ in range(n_blocks))
    cutter = WindowCutter(window, hop, "zeros")
    tracemalloc.start()
    try:
        n_windows = sum(1 for _ in cut_in_blocks(cutter, blocks))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_windows == max(0, -(-(n_blocks * block_length - window) // hop)) + 1
    assert peak < 4 * 4 * (window + block_length)

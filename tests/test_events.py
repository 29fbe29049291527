"""Events against a timeline of ticks that is coloured, filled and read off one tick at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.events import Event, find_events, threshold_of
from engine.results import Clip, Frames, Labelling, Window

TICK_S = 0.01
LABELS = ("cat", "dog")


def slow_events(spans, thresholds, gap, shortest):
    """Events as (start, end, label, score) in ticks, from spans (start, end, scores)."""
    found = []
    for column, label in enumerate(LABELS):
        heard = [span for span in spans if span[2][column] >= thresholds[column]]
        timeline = [False] * (max((end for _, end, _ in spans), default=0) + 1)
        for start, end, _ in heard:
            for tick in range(start, end):
                timeline[tick] = True
        silent = None
        for tick, sounds in enumerate(list(timeline)):
            if sounds and silent is not None and tick - silent <= gap:
                timeline[silent:tick] = [True] * (tick - silent)
            if sounds:
                silent = tick + 1
        start = None
        for tick, sounds in enumerate(timeline):
            if sounds and start is None:
                start = tick
            if not sounds and start is not None:
                if tick - start >= shortest:
                    best = max(span[2][column] for span in heard if start <= span[0] < tick)
                    found.append((start, column, (start, tick, label, best)))
                start = None
    return [event for _, _, event in sorted(found)]


def in_ticks(events):
    return [(round(e.start_s / TICK_S), round(e.end_s / TICK_S), e.label, e.score) for e in events]


def as_arrays(spans):
    spans = sorted(spans, key=lambda span: span[0])
    starts = np.array([start for start, _, _ in spans], np.float64) * TICK_S
    ends = np.array([end for _, end, _ in spans], np.float64) * TICK_S
    scores = np.array([scores for _, _, scores in spans], np.float32).reshape(len(spans), len(LABELS))
    return starts, ends, scores


SCORE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
SPAN = st.tuples(st.integers(0, 40), st.integers(1, 9), st.tuples(SCORE, SCORE))


@given(
    spans=st.lists(SPAN, max_size=15),
    thresholds=st.tuples(SCORE, SCORE),
    gap=st.integers(0, 6),
    shortest=st.integers(0, 8),
)
def test_any_spans_give_the_events_of_the_timeline(spans, thresholds, gap, shortest):
    spans = [(start, start + length, scores) for start, length, scores in spans]
    # Decimal fractions of a second are rounded: ends and starts that are equal in ticks differ in their last bits.
    got = find_events(*as_arrays(spans), LABELS, thresholds, merge_gap_s=gap * TICK_S, min_duration_s=shortest * TICK_S)
    assert in_ticks(got) == slow_events(spans, thresholds, gap, shortest)


@given(
    data=st.data(),
    n_windows=st.integers(1, 5),
    hop=st.integers(2, 10),
    overlap=st.integers(0, 6),
    frame=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    gap=st.integers(0, 5),
)
def test_frames_of_overlapping_windows_give_the_events_of_the_timeline(data, n_windows, hop, overlap, frame, gap):
    # Windows of hop + overlap ticks; the last one was cut short by the recording's end, and so are its last frames.
    frame_hop, frame_length = frame
    labelling = Labelling(LABELS, {"cat": 0.75})
    windows, spans = [], []
    for index in range(n_windows):
        start, end = index * hop, index * hop + hop + overlap - (1 if index == n_windows - 1 else 0)
        n_frames = -(-(end - start) // frame_hop)
        scores = data.draw(st.lists(st.tuples(SCORE, SCORE), min_size=n_frames, max_size=n_frames))
        frames = Frames(np.array(scores, np.float32), frame_hop * TICK_S, frame_length * TICK_S)
        windows.append(
            Window(start * TICK_S, end * TICK_S, frames.scores.max(axis=0), frames=frames, labelling=labelling)
        )
        for position, values in enumerate(scores):
            begin = start + position * frame_hop
            spans.append((begin, min(begin + frame_length, end), values))
    clip = Clip(None, windows[-1].end_s, windows[0].scores, None, tuple(windows), labelling)
    assert in_ticks(clip.events(merge_gap_s=gap * TICK_S)) == slow_events(spans, (0.75, 0.5), gap, 0)


def clip_of(windows, thresholds=None):
    """A clip of windows given as (start_s, end_s, scores)."""
    labelling = Labelling(LABELS, thresholds)
    made = tuple(
        Window(start, end, np.array(scores, np.float32), labelling=labelling) for start, end, scores in windows
    )
    return Clip(None, windows[-1][1], made[0].scores, None, made, labelling)


def test_windows_are_spans_where_there_are_no_frames():
    clip = clip_of([(0, 1, [0.75, 0]), (0.5, 1.5, [0.875, 0]), (1, 2, [0.25, 0.5]), (1.5, 2.25, [0.75, 0.625])])
    assert clip.events() == [Event(0, 2.25, "cat", 0.875), Event(1, 2.25, "dog", 0.625)]


def test_thresholds_of_the_card_a_mapping_and_a_number():
    clip = clip_of([(0, 1, [0.5, 0.5]), (1, 2, [0.75, 0.25])], {"cat": 0.6, "dog": 0.2})

    def found(threshold=None):
        return [(event.label, event.start_s, event.end_s) for event in clip.events(threshold)]

    assert found() == [("dog", 0, 2), ("cat", 1, 2)]
    assert found({"dog": 0.5}) == [("dog", 0, 1), ("cat", 1, 2)]
    assert found({"dog": 0.3, "cat": 0.1}) == [("cat", 0, 2), ("dog", 0, 1)]
    assert found(0.5) == [("cat", 0, 2), ("dog", 0, 1)]
    assert found(0.8) == []


def test_threshold_of_a_label():
    assert threshold_of("cat", None, None) == 0.5
    assert threshold_of("cat", None, {"cat": 0.25}) == 0.25
    assert threshold_of("dog", None, {"cat": 0.25}) == 0.5
    assert threshold_of("cat", {"dog": 0.1}, {"cat": 0.25}) == 0.25
    assert threshold_of("cat", {"cat": 0.1}, {"cat": 0.25}) == 0.1
    assert threshold_of("cat", 0, {"cat": 0.25}) == 0.0
    assert threshold_of("cat", np.float32(0.75), {"cat": 0.25}) == 0.75


def test_short_events_are_measured_after_joining():
    clip = clip_of([(0, 1, [1, 0]), (1, 2, [0, 0]), (2, 3, [1, 0])])
    assert clip.events(min_duration_s=1.5) == []
    assert clip.events(min_duration_s=1.5, merge_gap_s=1) == [Event(0, 3, "cat", 1)]
    assert len(clip.events(min_duration_s=1.0)) == 2


def test_a_duration_that_is_exact_in_decimals_is_long_enough():
    # 0.3 - 0.1 is 0.19999999999999998.
    assert len(clip_of([(0.1, 0.3, [1, 0])]).events(min_duration_s=0.2)) == 1
    assert clip_of([(0.1, 0.3, [1, 0])]).events(min_duration_s=0.2001) == []


def test_nothing_heard_and_nothing_recorded():
    assert clip_of([(0, 1, [0.25, 0.25])]).events() == []
    assert Clip(None, 0.0, np.zeros(0, np.float32), None, ()).events() == []
    assert find_events(*as_arrays([]), LABELS, (0.5, 0.5)) == []


@pytest.mark.parametrize("name", ["merge_gap_s", "min_duration_s"])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_times_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"expected {name} to be 0 or more seconds, got"):
        clip_of([(0, 1, [1, 1])]).events(**{name: value})

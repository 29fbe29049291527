"""Counts of events and segments against an exhaustive search, by hand, and what their definitions promise."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import Counts, Occurrence, event_counts, mean_f1, segment_counts, total

TIMES = st.integers(0, 20).map(lambda steps: steps / 4)
EVENTS = st.lists(
    st.builds(
        lambda start, length, label: Occurrence(start, start + length, label),
        TIMES,
        st.sampled_from([0.25, 0.5, 1.0, 3.0]),
        st.sampled_from("ab"),
    ),
    max_size=4,
)


def largest_matching(truth, estimate, collar_s, offset_share):
    """The most pairs of any assignment, every assignment tried."""

    def match(true, found):
        allowed = 0 if offset_share is None else max(collar_s, offset_share * (true.end_s - true.start_s))
        return abs(true.start_s - found.start_s) <= collar_s and (
            offset_share is None or abs(true.end_s - found.end_s) <= allowed
        )

    shorter, longer = sorted((truth, estimate), key=len)
    best = 0
    for chosen in itertools.permutations(longer, len(shorter)):
        pairs = zip(shorter, chosen, strict=True)
        best = max(best, sum(match(*(pair if shorter is truth else pair[::-1])) for pair in pairs))
    return best


@settings(max_examples=150, deadline=None)
@given(EVENTS, EVENTS, st.sampled_from([None, 0.5]))
def test_event_counts_are_those_of_an_exhaustive_search(truth, estimate, offset_share):
    counts = event_counts(truth, estimate, collar_s=0.5, offset_share=offset_share)
    assert set(counts) == {event.label for event in truth + estimate}
    for label, count in counts.items():
        true, found = ([e for e in events if e.label == label] for events in (truth, estimate))
        assert count == Counts(largest_matching(true, found, 0.5, offset_share), len(found), len(true))


@settings(max_examples=100, deadline=None)
@given(EVENTS, EVENTS)
def test_segment_counts_are_those_of_a_walk_over_the_segments(truth, estimate):
    def there(events, label, i):
        return any(e.label == label and e.start_s < i + 1 and e.end_s > i for e in events)

    for label, count in segment_counts(truth, estimate).items():
        flags = [(there(estimate, label, i), there(truth, label, i)) for i in range(10)]
        assert count == Counts(sum(e and t for e, t in flags), sum(e for e, _ in flags), sum(t for _, t in flags))


@given(EVENTS)
def test_the_truth_itself_is_perfect(events):
    for counts in (event_counts(events, events, offset_share=0.5), segment_counts(events, events)):
        assert all(count.f1 == count.precision == count.recall == 1 for count in counts.values())


def test_the_largest_matching_is_counted_and_not_the_first():
    truth = [Occurrence(1.0, 2.0, "a"), Occurrence(1.4, 2.4, "a")]
    # The first estimate is near both, the second near the first only.
    estimate = [Occurrence(1.3, 2.0, "a"), Occurrence(0.6, 2.0, "a")]
    assert event_counts(truth, estimate)["a"] == Counts(2, 2, 2)


def test_the_collar_contains_its_edge_and_the_offset_rule_looks_at_the_true_length():
    truth = [Occurrence(2.0, 6.0, "a")]
    assert event_counts(truth, [Occurrence(2.5, 9.0, "a")])["a"].hits == 1
    assert event_counts(truth, [Occurrence(2.51, 9.0, "a")])["a"].hits == 0
    assert event_counts(truth, [Occurrence(2.0, 8.0, "a")], offset_share=0.5)["a"].hits == 1
    assert event_counts(truth, [Occurrence(2.0, 8.1, "a")], offset_share=0.5)["a"].hits == 0
    assert event_counts(truth, [Occurrence(2.0, 6.0, "b")]) == {"a": Counts(0, 0, 1), "b": Counts(0, 1, 0)}


def test_averages_and_degenerate_cases():
    counts = {"a": Counts(1, 1, 1), "b": Counts(0, 2, 0), "c": Counts(1, 1, 3)}
    assert total(counts) == Counts(2, 4, 4)
    assert total(counts).f1 == 0.5
    assert mean_f1(counts) == pytest.approx((1 + 0 + 0.5) / 3)
    assert math.isnan(counts["b"].recall)
    assert counts["b"].f1 == 0
    assert event_counts([], []) == segment_counts([], []) == {}
    assert all(math.isnan(value) for value in (total({}).f1, total({}).precision, mean_f1({})))
    with pytest.raises(ValueError, match="end after their start"):
        event_counts([Occurrence(1.0, 1.0, "a")], [])

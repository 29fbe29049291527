"""From scores over time to events: when a label began, and when it ended."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# One number for every label, or a number for each.
Threshold: TypeAlias = float | Mapping[str, float]
# For labels that the card gives no threshold.
DEFAULT_THRESHOLD = 0.5
# Times that should be equal are rounded apart; a nanosecond is below any sample.
ROUNDING_S = 1e-9


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of time in which one label was heard.

    Attributes
    ----------
    start_s, end_s : float
        Position in the recording in seconds.
    label : str
    score : float
        The highest score in that time.
    """

    start_s: float
    end_s: float
    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"start_s", "end_s", "label", "score"}``."""
        return {"start_s": self.start_s, "end_s": self.end_s, "label": self.label, "score": self.score}


def find_events(
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    scores: NDArray[np.float32],
    labels: Sequence[str],
    thresholds: Sequence[float],
    *,
    merge_gap_s: float = 0.0,
    min_duration_s: float = 0.0,
) -> list[Event]:
    """Return the events in scores over time, in the order of their starts, and of the labels where they start together.

    A label is heard throughout every span that scores at least its threshold. Spans that overlap, touch, or lie at most
    ``merge_gap_s`` apart are one event; events shorter than ``min_duration_s`` are left out after that.

    Parameters
    ----------
    starts_s, ends_s : ndarray, shape (n_spans,), float64
        The spans, in seconds, in the order of their starts.
    scores : ndarray, shape (n_spans, n_labels), float32
    labels : sequence of str
    thresholds : sequence of float
        One per label.
    merge_gap_s, min_duration_s : float

    Raises
    ------
    ConfigError
        A gap or a duration that is negative or not a number.

    Examples
    --------
    >>> starts, scores = np.arange(4.0), np.array([[0.9], [0.2], [0.6], [0.7]], np.float32)
    >>> events = find_events(starts, starts + 1, scores, ["dog"], [0.5])
    >>> [(event.start_s, event.end_s) for event in events]
    [(0.0, 1.0), (2.0, 4.0)]
    >>> events = find_events(starts, starts + 1, scores, ["dog"], [0.5], merge_gap_s=1)
    >>> [(event.start_s, event.end_s) for event in events]
    [(0.0, 4.0)]
    """
    for name, value in (("merge_gap_s", merge_gap_s), ("min_duration_s", min_duration_s)):
        if not value >= 0:
            raise ConfigError(f"expected {name} to be 0 or more seconds, got {value!r}; correct it")
    found = []
    for column, (label, threshold) in enumerate(zip(labels, thresholds, strict=True)):
        (heard,) = np.nonzero(scores[:, column] >= threshold)
        for group in _joined(starts_s[heard], ends_s[heard], merge_gap_s):
            spans = heard[group]
            start_s, end_s = float(starts_s[spans[0]]), float(ends_s[spans].max())
            if end_s - start_s >= min_duration_s - ROUNDING_S:
                found.append(
                    (
                        round(start_s / ROUNDING_S),
                        column,
                        Event(start_s, end_s, label, float(scores[spans, column].max())),
                    )
                )
    return [event for _, _, event in sorted(found, key=lambda entry: entry[:2])]


def threshold_of(label: str, threshold: Threshold | None, card_thresholds: Mapping[str, float] | None) -> float:
    """Return the threshold of one label: the caller's where given, else the card's, else one half."""
    if threshold is not None and not isinstance(threshold, Mapping):
        return float(threshold)
    for thresholds in (threshold, card_thresholds):
        if thresholds is not None and label in thresholds:
            return float(thresholds[label])
    return DEFAULT_THRESHOLD


def _joined(starts_s: NDArray[np.float64], ends_s: NDArray[np.float64], gap_s: float) -> Iterator[slice]:
    """Yield the runs of spans with at most ``gap_s`` between each and the latest end before it."""
    if starts_s.size == 0:
        return
    apart = starts_s[1:] > np.maximum.accumulate(ends_s)[:-1] + gap_s + ROUNDING_S
    edges = [0, *(np.flatnonzero(apart) + 1), starts_s.size]
    for first, last in itertools.pairwise(edges):
        yield slice(first, last)

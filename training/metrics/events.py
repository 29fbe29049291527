"""Event-based and segment-based counts of sound event detection, and the F1 that they give.

A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection", Applied Sciences 6(6), 162
(2016), sections 3.1 and 3.2, with the conventions of their toolbox sed_eval.

Degenerate input is defined: a label that neither the truth nor the estimate has is not in the counts; precision without
an estimated event, recall without a true one and F1 without either are missing (NaN); F1 is 0 where nothing is hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from training.metrics.means import nanmean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

# Times that should be equal are rounded apart; a nanosecond is below any sample.
ROUNDING_S = 1e-9


class Timed(Protocol):
    """What has a label and a time: ``Occurrence``, and the engine's events."""

    @property
    def start_s(self) -> float:
        """Where it begins, in seconds."""

    @property
    def end_s(self) -> float:
        """Where it ends, in seconds."""

    @property
    def label(self) -> str:
        """What is heard."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A label that is known to be heard from ``start_s`` to ``end_s``, in seconds."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many events, or segments, are right, estimated and true.

    Attributes
    ----------
    hits, estimated, true : int
    """

    hits: int
    estimated: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the estimated that is right; NaN where nothing is estimated."""
        return self.hits / self.estimated if self.estimated else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true that is found; NaN where nothing is true."""
        return self.hits / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """2 hits / (estimated + true); NaN where there is nothing of either."""
        both = self.estimated + self.true
        return 2 * self.hits / both if both else float("nan")

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.estimated + other.estimated, self.true + other.true)


def event_counts(
    truth: Sequence[Timed], estimate: Sequence[Timed], *, collar_s: float = 0.5, offset_share: float | None = None
) -> dict[str, Counts]:
    """Return for each label how many of its events are found.

    An estimated event may match a true one of its label when their starts lie at most ``collar_s`` apart and, if
    ``offset_share`` is given, their ends at most the larger of ``collar_s`` and that share of the true event's length.
    Each event matches at most one other; of all such matchings the largest is counted, as sed_eval's "optimal".

    Parameters
    ----------
    truth, estimate : sequence of Timed
        Of one recording.
    collar_s : float
    offset_share : float, optional
        0.5 is customary; None looks at starts alone.

    Raises
    ------
    ValueError
        An event that does not end after its start.
    """
    counts = {}
    for label, true, found in _by_label(truth, estimate):
        near = np.abs(found[:, np.newaxis, 0] - true[:, 0]) <= collar_s + ROUNDING_S
        if offset_share is not None:
            allowed = np.maximum(collar_s, offset_share * (true[:, 1] - true[:, 0]))
            near &= np.abs(found[:, np.newaxis, 1] - true[:, 1]) <= allowed + ROUNDING_S
        counts[label] = Counts(_largest_matching(near), len(found), len(true))
    return counts


def segment_counts(truth: Sequence[Timed], estimate: Sequence[Timed], *, segment_s: float = 1.0) -> dict[str, Counts]:
    """Return for each label in how many segments it is found.

    The recording is cut into segments of ``segment_s`` from its start; a label is there in every segment that one of
    its events covers in part. Segments without the label in truth and estimate count nothing, so that the length of the
    recording does not matter. Parameters and errors as for ``event_counts``.
    """
    counts = {}
    for label, true, found in _by_label(truth, estimate):
        there, heard = _segments(true, segment_s), _segments(found, segment_s)
        counts[label] = Counts(len(there & heard), len(heard), len(there))
    return counts


def total(counts: Mapping[str, Counts]) -> Counts:
    """Return the sum over labels: its F1 is the micro average."""
    return sum(counts.values(), Counts(0, 0, 0))


def mean_f1(counts: Mapping[str, Counts]) -> float:
    """Return the mean over labels of their F1: the macro average; NaN for none."""
    return nanmean([count.f1 for count in counts.values()])


def _by_label(
    truth: Sequence[Timed], estimate: Sequence[Timed]
) -> Iterable[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield each label with its true and its estimated starts and ends, both of shape (n, 2), labels in order."""
    for event in (*truth, *estimate):
        if not event.end_s > event.start_s:
            raise ValueError(f"expected events that end after their start, got {event}")
    for label in sorted({event.label for event in (*truth, *estimate)}):
        true, found = (
            np.array([(e.start_s, e.end_s) for e in events if e.label == label], np.float64).reshape(-1, 2)
            for events in (truth, estimate)
        )
        yield label, true, found


def _largest_matching(allowed: NDArray[np.bool_]) -> int:
    """Return the size of the largest one-to-one matching of rows and columns."""
    if not allowed.any():
        return 0
    from scipy.sparse import csr_array  # a tenth of a second, for this alone
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return int((maximum_bipartite_matching(csr_array(allowed), perm_type="column") >= 0).sum())


def _segments(spans: NDArray[np.float64], segment_s: float) -> set[int]:
    """Return the numbers of the segments that a span covers in part."""
    first = np.floor((spans[:, 0] + ROUNDING_S) / segment_s).astype(int)
    behind = np.ceil((spans[:, 1] - ROUNDING_S) / segment_s).astype(int)
    return {i for start, end in zip(first.tolist(), behind.tolist(), strict=True) for i in range(start, end)}

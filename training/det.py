"""Detection error trade-off: misses against false alarms of one event, and where the two are equal.

A clip is accepted where its score reaches the threshold. Rates are shares: false alarms of the clips without the event,
misses of those with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Det:
    """A DET curve (Martin et al., "The DET Curve in Assessment of Detection Task Performance", 1997).

    Attributes
    ----------
    thresholds : ndarray, shape (n_points,), float64
        Every score once, ascending, and infinity at the end.
    false_alarms, misses : ndarray, shape (n_points,), float64
        From 1 down to 0, and from 0 up to 1.
    """

    thresholds: NDArray[np.float64]
    false_alarms: NDArray[np.float64]
    misses: NDArray[np.float64]

    @property
    def equal_error(self) -> float:
        """The equal error rate: where the line between the two points on either side has equal rates."""
        return self._crossing()[0]

    @property
    def equal_error_threshold(self) -> float:
        """The threshold half-way between the scores of those two points; a score where there is only one."""
        return self._crossing()[1]

    def threshold_at(self, false_alarms: float) -> float:
        """Return the lowest threshold with at most this rate of false alarms; half-way to the score below it."""
        point = int(np.argmax(self.false_alarms <= false_alarms))
        return self._between(point - 1, point) if point else float(self.thresholds[0])

    def _crossing(self) -> tuple[float, float]:
        gap = self.false_alarms - self.misses
        after = int(np.argmax(gap <= 0))  # the last point has no false alarm and misses everything
        before = after - 1
        share = gap[before] / (gap[before] - gap[after])
        rate = self.misses[before] + share * (self.misses[after] - self.misses[before])
        return float(rate), self._between(before, after)

    def _between(self, below: int, above: int) -> float:
        low, high = self.thresholds[below], self.thresholds[above]
        return float(low if np.isinf(high) else (low + high) / 2)


def det(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> Det:
    """Return the DET curve of the scores of clips with an event and of clips without it.

    Raises
    ------
    ValueError
        One of the two is empty or not finite: the rates do not exist.
    """
    for name, scores in (("with", positive), ("without", negative)):
        if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
            raise ValueError(f"expected finite scores of clips {name} the event, got {scores!r}; leave the event out")
    thresholds = np.append(np.unique(np.concatenate([positive, negative])).astype(np.float64), np.inf)
    misses = np.searchsorted(np.sort(positive), thresholds, side="left") / positive.size
    false_alarms = 1 - np.searchsorted(np.sort(negative), thresholds, side="left") / negative.size
    return Det(thresholds, false_alarms, misses)

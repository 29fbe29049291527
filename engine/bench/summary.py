"""Repeated timings in numbers: which percentiles they support, how much they scatter, and where their median lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

PERCENTILES = (50, 90, 95, 99)
CONFIDENCE = 0.95
NOISY_SPREAD = 0.10


@dataclass(frozen=True, slots=True)
class Summary:
    """What repeated timings of one thing say, in seconds; no repeat is left out.

    Attributes
    ----------
    n : int
        Repeats.
    mean, minimum : float
    percentiles : dict from int to float or None
        Of ``PERCENTILES``; None where there are fewer repeats than ``repeats_for`` asks for.
    spread : float
        Distance between the quartiles, as a share of the median.
    low, high : float
        Between them lies the median of blocks of repeats, see ``median_interval``.
    """

    n: int
    mean: float
    minimum: float
    percentiles: dict[int, float | None]
    spread: float
    low: float
    high: float

    @property
    def median(self) -> float:
        """The 50th percentile, which any number of repeats supports."""
        return self.percentiles[50] or 0.0

    @property
    def noisy(self) -> bool:
        """Whether the middle half of the repeats lies further apart than a tenth of the median."""
        return self.spread > NOISY_SPREAD


def summarise(blocks: Sequence[Sequence[float]]) -> Summary:
    """Return the summary of repeats in seconds that were taken in blocks, at least one repeat in each.

    Repeats that follow each other share the machine's mood, so the interval of the median comes from the medians of
    the blocks, which lie further apart in time.
    """
    seconds = np.concatenate([np.asarray(block, np.float64) for block in blocks])
    quartiles = np.percentile(seconds, [25, 50, 75])
    low, high = median_interval([float(np.median(block)) for block in blocks])
    return Summary(
        n=seconds.size,
        mean=float(seconds.mean()),
        minimum=float(seconds.min()),
        percentiles={
            q: float(np.percentile(seconds, q)) if seconds.size >= repeats_for(q) else None for q in PERCENTILES
        },
        spread=float((quartiles[2] - quartiles[0]) / quartiles[1]) if quartiles[1] > 0 else 0.0,
        low=low,
        high=high,
    )


def repeats_for(percentile: int) -> int:
    """Return how many repeats a percentile above 50 needs: enough that one of them lies above it, with 95 % confidence.

    All of n independent repeats fall below the q-th percentile with probability (q / 100)^n.

    Examples
    --------
    >>> [repeats_for(q) for q in (50, 90, 95, 99)]
    [1, 29, 59, 299]
    """
    if percentile <= 50:
        return 1
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(percentile / 100))


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest pair of order statistics that holds the median of what was drawn with 95 % confidence.

    The r-th smallest and the r-th largest of n hold it with probability 1 - 2 P(B < r), B binomial (n, 1/2): David and
    Nagaraja, "Order Statistics" (2003), section 7.1. Fewer than six values do not reach 95 %: smallest and largest.

    Examples
    --------
    >>> median_interval([3, 1, 2, 9, 5, 4, 7, 6, 8, 0])
    (1, 8)
    """
    ordered, n = sorted(values), len(values)
    rank, below = 1, 2.0**-n
    while 2 * (below := below + math.comb(n, rank) * 2.0**-n) <= 1 - CONFIDENCE:
        rank += 1
    return ordered[rank - 1], ordered[n - rank]

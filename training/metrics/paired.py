"""Correlation of two curves and the test of paired samples.

Degenerate input is defined: the correlation with a constant curve is missing (NaN), so is that of fewer than two
points; a pair with a NaN is left out of a test, and a test without a difference has the p-value 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def pearson(one: ArrayLike, other: ArrayLike) -> float:
    """Return Pearson's correlation of two curves of shape (n_points,)."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"expected two curves of one length, got {a.shape} and {b.shape}")
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    # Each scaled by itself, so that the squares of small curves do not vanish.
    a, b = ((x - x.mean()) / np.abs(x - x.mean()).max() for x in (a, b))
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def wilcoxon(one: ArrayLike, other: ArrayLike) -> tuple[float, int]:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, and the number of pairs that it saw.

    Parameters
    ----------
    one, other : array_like, shape (n_pairs,)
    """
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    difference = difference[~np.isnan(difference)]
    if not difference.any():
        return 1.0, len(difference)
    from scipy import stats  # half a second, for this alone

    return float(stats.wilcoxon(difference, alternative="two-sided").pvalue), len(difference)

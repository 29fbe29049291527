"""Means over what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def nanmean(values: ArrayLike) -> float:
    """Return the mean of the values that are not NaN; NaN, without a warning, when there are none."""
    values = np.asarray(values, np.float64)
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")

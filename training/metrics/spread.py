"""Mean, standard deviation and 95 % interval over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Spread:
    """A figure over several runs.

    Attributes
    ----------
    n : int
        Number of runs.
    mean : float
    std : float or None
        Of n - 1; None for a single run.
    low, high : float or None
        Student's 95 % interval of the mean; None for a single run.
    """

    n: int
    mean: float
    std: float | None
    low: float | None
    high: float | None


def spread(values: ArrayLike) -> Spread:
    """Return the spread of ``values`` of shape (n_runs,); ValueError when there are none or one is not finite."""
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or not figures.size or not np.isfinite(figures).all():
        raise ValueError(f"expected finite values (n_runs,), got {figures.tolist()}")
    n, mean = len(figures), float(figures.mean())
    if n == 1:
        return Spread(1, mean, None, None, None)
    from scipy.special import stdtrit  # a quarter of a second, for this alone

    std = float(figures.std(ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * std / n**0.5
    return Spread(n, mean, std, mean - half, mean + half)

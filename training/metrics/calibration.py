"""How far confidence and accuracy lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15) -> float:
    """Return the mean over clips of | accuracy - mean confidence | of the clip's bin.

    Guo et al., "On calibration of modern neural networks" (2017), equation 3, with bins of equal width that contain
    their upper edge; the first contains 0 too. An empty bin counts nothing; no clips is a ValueError.

    Parameters
    ----------
    confidence : array_like, shape (n_clips,)
        Score of what was predicted, from 0 to 1.
    correct : array_like of bool, shape (n_clips,)
    n_bins : int
    """
    values, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if values.ndim != 1 or right.shape != values.shape or not values.size:
        raise ValueError(f"expected confidence and correct (n_clips,), got {values.shape} and {right.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("expected confidence from 0 to 1, got others")
    bins = np.clip(np.ceil(values * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, right - values, n_bins)
    return float(np.abs(gaps).sum() / len(values))

"""How far apart embeddings of the classes lie.

Almudevar et al., "Angular distance distribution loss" (2024), figure 5: mean and coefficient of variation of the
angular distance d = 1 - cos, per pair of classes; of its square, whose moments the loss holds down, on request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Geometry:
    """Moments of the distances within and between classes.

    Attributes
    ----------
    mean : ndarray, shape (n_classes, n_classes)
        NaN where a pair of classes has no pair of clips.
    variation : ndarray, shape (n_classes, n_classes)
        Standard deviation (of n, not n - 1) over mean; NaN where the mean is missing or 0.
    """

    mean: NDArray[np.float64]
    variation: NDArray[np.float64]


def class_geometry(embeddings: ArrayLike, truth: ArrayLike, n_classes: int, *, squared: bool = False) -> Geometry:
    """Return mean and variation of the distances between the clips of each pair of classes.

    Parameters
    ----------
    embeddings : array_like, shape (n_clips, size)
        Of any length but zero.
    truth : array_like of int, shape (n_clips,)
    n_classes : int
    squared : bool
        Of the squared distances.
    """
    vectors, labels = np.asarray(embeddings, np.float64), np.asarray(truth)
    if vectors.ndim != 2 or labels.shape != vectors.shape[:1] or (labels.size and labels.max() >= n_classes):
        raise ValueError(
            f"expected embeddings (n_clips, size) and truth (n_clips,) below {n_classes}, got {vectors.shape} and "
            f"{labels.shape}"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        raise ValueError("expected finite embeddings other than zero, got others; zero has no direction")
    vectors = vectors / lengths
    mean, variation = np.full((2, n_classes, n_classes), np.nan)
    for one in range(n_classes):
        for other in range(one, n_classes):
            cosine = vectors[labels == one] @ vectors[labels == other].T
            distance = (1 - cosine) ** 2 if squared else 1 - cosine
            # A clip makes no pair with itself, and two clips make one.
            values = distance[np.triu_indices(len(distance), 1)] if one == other else distance.ravel()
            if values.size:
                centre = values.mean()
                mean[one, other] = mean[other, one] = centre
                if centre > 0:
                    variation[one, other] = variation[other, one] = values.std() / centre
    return Geometry(mean, variation)

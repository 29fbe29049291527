"""The head: from the embedding of a window to a score per label, fitted with scikit-learn, held as plain matrices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.teach.learners import fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.teach.settings import HeadKind


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Layers over a centred embedding, with a ReLU between two of them.

    Attributes
    ----------
    mean : ndarray, shape (embedding_size,), float64
        Of the taught windows.
    scale : float
        Root of the mean square norm of the centred embeddings: with it one strength of the penalty suits embeddings of
        any size.
    layers : tuple of (weight, bias)
        Of shapes (n_in, n_out) and (n_out,), float64.
    exclusive : bool
        Whether scores are the softmax of the logits, else their sigmoid.
    temperature : float
        The logits are divided by it; 1 before calibration.
    estimator : object
        The scikit-learn estimator that the layers were taken from.
    """

    mean: NDArray[np.float64]
    scale: float
    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    exclusive: bool
    temperature: float
    estimator: Any

    @property
    def n_labels(self) -> int:
        """The number of scores."""
        return len(self.layers[-1][1])

    def logits(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """Return logits of shape (n, n_labels), before the temperature, for embeddings of shape (n, embedding_size)."""
        rows: NDArray[np.float64] = (embeddings.astype(np.float64) - self.mean) / self.scale
        for number, (weight, bias) in enumerate(self.layers):
            rows = (np.maximum(rows, 0) if number else rows) @ weight + bias
        return rows

    def scores(self, embeddings: NDArray[Any]) -> NDArray[np.float64]:
        """Return scores of shape (n, n_labels)."""
        return activated(self.logits(embeddings) / self.temperature, exclusive=self.exclusive)

    def at(self, temperature: float) -> Head:
        """Return the head with another temperature."""
        return replace(self, temperature=temperature)


def fit_head(
    kind: HeadKind,
    embeddings: NDArray[Any],
    targets: NDArray[np.bool_],
    weights: NDArray[np.float64],
    *,
    exclusive: bool,
    seed: int = 0,
) -> Head:
    """Fit a head to the windows of labelled clips.

    Parameters
    ----------
    kind : str
        "linear" or "mlp".
    embeddings : ndarray, shape (n_windows, embedding_size)
    targets : ndarray, shape (n_windows, n_labels), bool
        Every label stands in a row and, where labels do not exclude each other, is missing in another.
    weights : ndarray, shape (n_windows,)
        Of the windows; those of a clip add up to one, so that a long clip counts no more than a short one.
    exclusive : bool
    seed : int
        For the start of a hidden layer.
    """
    values = embeddings.astype(np.float64)
    mean = np.average(values, axis=0, weights=weights)
    centred = values - mean
    # Embeddings that are all alike teach nothing, and are divided by nothing.
    scale = float(np.sqrt(np.average(np.square(centred).sum(axis=1), weights=weights))) or 1.0
    estimator = fitted(kind, centred / scale, targets, weights, exclusive=exclusive, seed=seed)
    layers = _layers(estimator)
    if exclusive and targets.shape[1] == 2:
        # scikit-learn has one logit z for two classes; softmax(-z/2, z/2) is (1 - sigmoid(z), sigmoid(z)).
        weight, bias = layers[-1]
        layers = (*layers[:-1], (np.hstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2))
    return Head(mean, scale, layers, exclusive, 1.0, estimator)


def activated(logits: NDArray[np.float64], *, exclusive: bool) -> NDArray[np.float64]:
    """Return the softmax over the last axis where labels exclude each other, else the sigmoid."""
    from scipy import special

    found: NDArray[np.float64] = special.softmax(logits, axis=-1) if exclusive else special.expit(logits)
    return found


def _layers(estimator: Any) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]:
    if hasattr(estimator, "coefs_"):
        return tuple(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    single = getattr(estimator, "estimators_", [estimator])
    weight = np.concatenate([each.coef_ for each in single]).T
    return ((weight, np.concatenate([each.intercept_ for each in single])),)

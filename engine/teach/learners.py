"""scikit-learn, imported when the first head is fitted."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.teach.settings import HeadKind

HIDDEN_UNITS = 64
# The weight of the data against an L2 penalty of 1/2 |w|^2, for embeddings whose mean square norm is one.
LINEAR_C = 10.0
MLP_ALPHA = 0.1


def sklearn() -> Any:
    """Return the package; a ConfigError with the line that installs it where it is missing."""
    try:
        import sklearn as package
    except ImportError as error:
        raise ConfigError(
            "expected the package scikit-learn, which heads are fitted with; pip install 'sound-engine[teach]'"
        ) from error
    return package


def fitted(
    kind: HeadKind,
    rows: NDArray[np.float64],
    targets: NDArray[np.bool_],
    weights: NDArray[np.float64],
    *,
    exclusive: bool,
    seed: int,
) -> Any:
    """Return a scikit-learn estimator fitted to rows of shape (n, d) and targets of shape (n, n_labels).

    Labels that exclude each other are one problem of classes numbered as the columns, else there is one yes or no per
    label.
    """
    sklearn()
    y: NDArray[Any] = targets.argmax(axis=1) if exclusive else targets.astype(int)
    if kind == "mlp" and y.shape[1:] == (1,):
        y = y[:, 0]
    with warnings.catch_warnings():
        # A fit that stops at its last iteration is measured like any other.
        warnings.filterwarnings("ignore", message=".*converge", append=False)
        return _estimator(kind, exclusive, seed).fit(rows, y, sample_weight=weights)


def _estimator(kind: HeadKind, exclusive: bool, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multioutput import MultiOutputClassifier
    from sklearn.neural_network import MLPClassifier

    if kind == "mlp":
        return MLPClassifier((HIDDEN_UNITS,), solver="lbfgs", alpha=MLP_ALPHA, max_iter=500, random_state=seed)
    linear = LogisticRegression(C=LINEAR_C, max_iter=1000)
    return linear if exclusive else MultiOutputClassifier(linear)


def average_precision(relevant: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the average precision of scores for the clips that have a label."""
    sklearn()
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(relevant, scores))

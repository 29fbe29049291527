"""What the engine returns: frozen values with names, units and no hidden state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Tag:
    """One label with its score.

    Attributes
    ----------
    label : str
    score : float
        In the unit of the model's card: a probability in [0, 1] for sigmoid and softmax heads.
    """

    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"label", "score"}``."""
        return {"label": self.label, "score": self.score}


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The model's outputs for one window of audio.

    Attributes
    ----------
    start_s, end_s : float
        Position in the recording in seconds; ``end_s`` is the true end of the audio, also where the window was padded.
    scores : ndarray, shape (n_labels,), float32
    embedding : ndarray, shape (embedding_size,), float32, or None
    """

    start_s: float
    end_s: float
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"start_s", "end_s", "scores"}``, scores as a list in label order."""
        return {"start_s": self.start_s, "end_s": self.end_s, "scores": self.scores.tolist()}


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Everything the engine found in one recording.

    Attributes
    ----------
    path : str or None
        Where the audio came from; None for arrays, bytes and file objects.
    duration_s : float
        Length of the audio in seconds.
    labels : tuple of str
        The model's labels, in the order of ``scores``.
    scores : ndarray, shape (n_labels,), float32
        The windows' scores reduced as the model's card says (max or mean).
    embedding : ndarray, shape (embedding_size,), float32, or None
        The mean of the windows' embeddings, of length one where the card says that they are normalised.
    windows : tuple of Window
    error : EngineError or None
        Why there are no scores; set only where errors are collected instead of raised.
    thresholds : Mapping from label to float
        The card's decision thresholds, used by ``above()``.
    """

    path: str | None
    duration_s: float
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32] | None
    windows: tuple[Window, ...]
    error: EngineError | None = None
    thresholds: Mapping[str, float] | None = None

    def top(self, k: int = 1) -> list[Tag]:
        """Return the ``k`` best labels, best first; equal scores in label order."""
        order = np.argsort(-self.scores, kind="stable")[: max(k, 0)]
        return [Tag(self.labels[i], float(self.scores[i])) for i in order]

    def above(self, threshold: float | None = None) -> list[Tag]:
        """Return the labels that score at least ``threshold``, best first.

        ``None`` takes the card's threshold of each label, and 0.5 for a label that has none.
        """
        thresholds = self.thresholds or {}
        return [
            tag
            for tag in self.top(len(self.labels))
            if tag.score >= (thresholds.get(tag.label, 0.5) if threshold is None else threshold)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON: tags best first, windows in time order with scores by label."""
        return {
            "path": self.path,
            "duration_s": self.duration_s,
            "labels": list(self.labels),
            "tags": [tag.to_dict() for tag in self.top(len(self.labels))],
            "windows": [window.to_dict() for window in self.windows],
            "error": None if self.error is None else str(self.error),
        }

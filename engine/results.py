"""What the engine returns: frozen values with names, units and no hidden state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.events import Event, Threshold, find_events, threshold_of
from engine.picture import draw

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
class Frames:
    """Scores over time inside a window, from a model that gives them.

    Attributes
    ----------
    scores : ndarray, shape (n_frames, n_labels), float32
        Of the frames that begin before the window's true end.
    hop_s, length_s : float
        Frame i covers ``length_s`` seconds from ``i * hop_s`` after the window's start.
    """

    scores: NDArray[np.float32]
    hop_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Labelling:
    """How scores become tags: shared by a clip and its windows.

    Attributes
    ----------
    labels : tuple of str
        In the order of the scores.
    thresholds : Mapping from label to float, or None
        The card's decision thresholds.
    top_k : int or None
        How many tags to give at most; None is all.
    threshold : float, Mapping from label to float, or None
        The score from which a label is given as a tag; None is any.
    """

    labels: tuple[str, ...] = ()
    thresholds: Mapping[str, float] | None = None
    top_k: int | None = None
    threshold: Threshold | None = None


class _Scored:
    """Labels in the order of their scores: what clips and windows have in common."""

    __slots__ = ()
    scores: NDArray[np.float32]
    labelling: Labelling

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of ``scores``."""
        return self.labelling.labels

    @property
    def tags(self) -> list[Tag]:
        """The labels that were asked for, best first: every one, unless ``top_k`` or ``threshold`` said otherwise."""
        given = self.labelling
        if given.threshold is None:
            return self.top(len(self.labels) if given.top_k is None else given.top_k)
        return self.above(given.threshold)[: given.top_k]

    def top(self, k: int = 1) -> list[Tag]:
        """Return the ``k`` best labels, best first; equal scores in label order."""
        order = np.argsort(-self.scores, kind="stable")[: max(k, 0)]
        return [Tag(self.labels[i], float(self.scores[i])) for i in order]

    def above(self, threshold: Threshold | None = None) -> list[Tag]:
        """Return the labels that score at least ``threshold``, best first.

        Parameters
        ----------
        threshold : float, Mapping from label to float, or None
            One for all labels, or one for each; labels left out, and all of them for None, take the card's threshold,
            and 0.5 where it has none.
        """
        card = self.labelling.thresholds
        return [tag for tag in self.top(len(self.labels)) if tag.score >= threshold_of(tag.label, threshold, card)]


@dataclass(frozen=True, slots=True, eq=False)
class Window(_Scored):
    """The model's outputs for one window of audio.

    Attributes
    ----------
    start_s, end_s : float
        Position in the recording in seconds; ``end_s`` is the true end of the audio, also where the window was padded.
    scores : ndarray, shape (n_labels,), float32
    embedding : ndarray, shape (embedding_size,), float32, or None
    frames : Frames or None
        Scores over time inside the window, where the model gives them.
    labelling : Labelling
    """

    start_s: float
    end_s: float
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32] | None = None
    frames: Frames | None = None
    labelling: Labelling = Labelling()

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"start_s", "end_s", "scores"}``, scores as a list in label order, and "frames" where there are."""
        values = {"start_s": self.start_s, "end_s": self.end_s, "scores": self.scores.tolist()}
        if self.frames is None:
            return values
        frames = {"hop_s": self.frames.hop_s, "length_s": self.frames.length_s, "scores": self.frames.scores.tolist()}
        return values | {"frames": frames}


@dataclass(frozen=True, slots=True, eq=False)
class Clip(_Scored):
    """Everything the engine found in one recording.

    Attributes
    ----------
    path : str or None
        Where the audio came from; None for arrays, bytes and file objects.
    duration_s : float
        Length of the audio in seconds; 0 where it could not be read.
    scores : ndarray, shape (n_labels,), float32
        The windows' scores reduced as the model's card says (max or mean); empty where there is an ``error``.
    embedding : ndarray, shape (embedding_size,), float32, or None
        The mean of the windows' embeddings, of length one where the card says that they are normalised.
    windows : tuple of Window
    labelling : Labelling
    error : EngineError or None
        Why there are no scores; set only where errors are collected instead of raised.
    """

    path: str | None
    duration_s: float
    scores: NDArray[np.float32]
    embedding: NDArray[np.float32] | None
    windows: tuple[Window, ...]
    labelling: Labelling = Labelling()
    error: EngineError | None = None

    @classmethod
    def failed(cls, path: str | None, error: EngineError) -> Clip:
        """Return the result for a recording without one: no scores, no windows, and the reason."""
        return cls(path, 0.0, np.zeros(0, np.float32), None, (), error=error)

    def events(
        self, threshold: Threshold | None = None, merge_gap_s: float = 0.0, min_duration_s: float = 0.0
    ) -> list[Event]:
        """Return when each label was heard, in order of time.

        Frames are taken where the model gives them, and whole windows elsewhere: then times are no finer than windows.

        Parameters
        ----------
        threshold : float, Mapping from label to float, or None
            As for ``above``.
        merge_gap_s : float
            Stretches of one label at most that far apart become one event.
        min_duration_s : float
            Shorter events are left out.

        Returns
        -------
        list of Event
            With the highest score of their time.
        """
        if not self.windows:
            return []
        starts_s, ends_s, scores = map(np.concatenate, zip(*map(_spans, self.windows), strict=True))
        order = np.argsort(starts_s, kind="stable")  # the frames of overlapping windows interleave
        thresholds = [threshold_of(label, threshold, self.labelling.thresholds) for label in self.labels]
        return find_events(
            starts_s[order],
            ends_s[order],
            scores[order],
            self.labels,
            thresholds,
            merge_gap_s=merge_gap_s,
            min_duration_s=min_duration_s,
        )

    def plot(
        self,
        threshold: Threshold | None = None,
        *,
        title: str = "",
        sound: tuple[NDArray[np.float32], int] | None = None,
        log_mel: NDArray[np.float32] | None = None,
    ) -> Any:
        """Return a matplotlib figure of the events over time, below the sound and its spectrogram where they are given.

        Parameters
        ----------
        threshold : float, Mapping from label to float, or None
            As for ``events``.
        title : str
        sound : (ndarray, int) or None
            Samples of the recording and their rate, as ``engine.audio.load`` gives them.
        log_mel : ndarray, shape (n_frames, n_mels), or None
            Of the whole recording, as ``engine.LogMel`` of the card's front end gives it.

        Raises
        ------
        EngineError
            matplotlib is not installed; it comes with the extra "plot".
        """
        return draw(self.duration_s, self.events(threshold), title=title, sound=sound, log_mel=log_mel)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON: tags best first, windows in time order with scores by label."""
        return {
            "path": self.path,
            "duration_s": self.duration_s,
            "labels": list(self.labels),
            "tags": [tag.to_dict() for tag in self.tags],
            "windows": [window.to_dict() for window in self.windows],
            "error": None if self.error is None else str(self.error),
        }


def _spans(window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Return starts and ends in seconds, and scores of shape (n_spans, n_labels), of a window's frames or of itself."""
    if window.frames is None:
        return np.array([window.start_s]), np.array([window.end_s]), window.scores[np.newaxis]
    frames = window.frames
    starts_s = window.start_s + frames.hop_s * np.arange(len(frames.scores), dtype=np.float64)
    return starts_s, np.minimum(starts_s + frames.length_s, window.end_s), frames.scores

"""Clips and their windows: how each window is weighed in teaching, and how its scores become the clip's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.teach.settings import Reduce


@dataclass(frozen=True, slots=True, eq=False)
class ClipWindows:
    """The windows of clips, clip after clip.

    Attributes
    ----------
    embeddings : ndarray, shape (n_windows, embedding_size), float32
    starts : ndarray of int, shape (n_clips,)
        The first window of each clip.
    """

    embeddings: NDArray[np.float32]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, clips: Sequence[NDArray[np.float32]]) -> ClipWindows:
        """Join the windows of clips, each of shape (n_windows of the clip, embedding_size)."""
        lengths = [len(clip) for clip in clips]
        return cls(np.concatenate(clips), np.cumsum([0, *lengths[:-1]]))

    @property
    def counts(self) -> NDArray[np.intp]:
        """The number of windows of each clip."""
        return np.diff(self.starts, append=len(self.embeddings))

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weight of each window: one clip's add up to one."""
        return 1.0 / np.repeat(self.counts, self.counts)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give what each clip has to each of its windows."""
        return np.repeat(values, self.counts, axis=0)

    def pooled(self, scores: NDArray[np.float64], reduce: Reduce) -> NDArray[np.float64]:
        """Return the clips' scores of their windows', as a model with that ``reduce`` in its card does."""
        if reduce == "max":
            return np.maximum.reduceat(scores, self.starts, axis=0)
        found: NDArray[np.float64] = np.add.reduceat(scores, self.starts, axis=0) / self.counts[:, np.newaxis]
        return found

    def chosen(self, clips: NDArray[np.bool_]) -> ClipWindows:
        """Return the windows of some of the clips."""
        counts = self.counts[clips]
        return ClipWindows(self.embeddings[self.spread(clips)], np.cumsum(counts) - counts)

    def means(self) -> NDArray[np.float32]:
        """Return the mean of each clip's embeddings, brought to length one, shape (n_clips, embedding_size)."""
        sums = np.add.reduceat(self.embeddings.astype(np.float64), self.starts, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)

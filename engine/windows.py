"""Cutting audio that arrives in blocks into the windows a model sees, holding one window at a time.

Window k starts at sample ``k * hop``. There is a window while it holds audio that the one before did not, so the last
one may be short; it is filled as asked, and its end stays the true end. Rows of embeddings are cut the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Pad = Literal["zeros", "repeat", "none", "frames"]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One window of a waveform.

    Attributes
    ----------
    start, end : int
        Position in the waveform in samples, the context before it not counted; ``end`` does not count what was filled
        in.
    samples : ndarray, shape (context + n_samples,) or (n_rows, n_features), float32
        To be read only: it may be a view of the block it was cut from.
    """

    start: int
    end: int
    samples: NDArray[np.float32]


class WindowCutter:
    """Cuts a waveform that arrives in blocks of any size; memory is one window, whatever the waveform's length.

    Blocks are kept as views and windows may be views of them: neither may be changed.

    Parameters
    ----------
    window, hop : int
        In samples, ``1 <= hop <= window``.
    pad : str
        How a short last window is filled: "zeros", "repeat" (its own audio again) or "none" and "frames" (it stays
        short; for "frames" the front end's output is filled instead).
    context : int
        Samples before each window that come with it; zeros stand before the waveform's start.
    n_features : int or None
        Cuts rows of shape (n_rows, n_features) instead of samples.

    Examples
    --------
    >>> cutter = WindowCutter(window=4, hop=2, pad="zeros")
    >>> for cut in [*cutter.push(np.arange(7, dtype=np.float32)), *cutter.flush()]:
    ...     print(cut.start, cut.end, cut.samples)
    0 4 [0. 1. 2. 3.]
    2 6 [2. 3. 4. 5.]
    4 7 [4. 5. 6. 0.]
    """

    def __init__(self, window: int, hop: int, pad: Pad, context: int = 0, n_features: int | None = None) -> None:
        self._window = window
        self._hop = hop
        self._pad = pad
        self._context = context
        # What the next window has of the blocks so far: views, joined when there is enough, and their length.
        zeros = (context,) if n_features is None else (context, n_features)
        self._held = [np.zeros(zeros, np.float32)]
        self._n_held = context
        # Where the next window starts, and how far windows reached.
        self._start = 0
        self._covered = 0

    def push(self, block: NDArray[np.float32]) -> Iterator[Cut]:
        """Yield the windows that ``block``, shape (n_samples,) or (n_rows, n_features), completes."""
        whole = self._context + self._window
        position = -self._n_held  # of the next window, counted from the block's start
        while position + whole <= len(block):
            if position < 0:
                cut = self._cut(np.concatenate([*self._held, block[: position + whole]]))
                self._n_held = max(self._n_held - self._hop, 0)
                self._held = [cut.samples[self._hop : self._hop + self._n_held]]
            else:
                cut = self._cut(block[position : position + whole])
            yield cut
            position += self._hop
        if position >= 0:  # nothing of the blocks before is wanted any more, and a view, even an empty one, keeps all
            self._held, self._n_held = [], 0
        rest = block[max(position, 0) :]
        if len(rest):
            self._held.append(rest)
            self._n_held += len(rest)

    def flush(self) -> Iterator[Cut]:
        """Yield the last window, if audio is left that no window has held."""
        end = self._start + self._n_held - self._context
        if end > self._covered:
            self._covered = end
            yield Cut(self._start, end, self._filled())

    def _filled(self) -> NDArray[np.float32]:
        whole = self._context + self._window
        if self._pad == "zeros":
            samples = np.empty((whole, *self._held[0].shape[1:]), np.float32)
            np.concatenate(self._held, out=samples[: self._n_held])
            samples[self._n_held :] = 0
            return samples
        samples = np.concatenate(self._held)
        if self._pad == "repeat":
            fresh = samples[self._context :]
            again = np.take(fresh, np.arange(self._window), axis=0, mode="wrap")
            return np.concatenate([samples[: self._context], again])
        return samples

    def _cut(self, samples: NDArray[np.float32]) -> Cut:
        cut = Cut(self._start, self._start + self._window, samples)
        self._covered = cut.end
        self._start += self._hop
        return cut

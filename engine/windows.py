"""Cutting audio that arrives in blocks into the windows a model sees, holding one window at a time.

Window k starts at sample ``k * hop``. There is a window while it holds audio that the one before did not, so the last
one may be short; it is filled as asked, and its end stays the true end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

Pad = Literal["zeros", "repeat", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One window of a waveform.

    Attributes
    ----------
    start, end : int
        Position in the waveform in samples; ``end`` does not count what was filled in.
    samples : ndarray, shape (n_samples,), float32
        A copy.
    """

    start: int
    end: int
    samples: NDArray[np.float32]


class WindowCutter:
    """Cuts a waveform that arrives in blocks of any size; memory is one window, whatever the waveform's length.

    Parameters
    ----------
    window, hop : int
        In samples, ``1 <= hop <= window``.
    pad : str
        How a short last window is filled: "zeros", "repeat" (its own audio again) or "none" (it stays short).
    """

    def __init__(self, window: int, hop: int, pad: Pad) -> None:
        self._hop = hop
        self._pad = pad
        self._buffer = np.empty(window, np.float32)
        self._filled = 0
        self._start = 0
        self._covered = 0

    def push(self, block: NDArray[np.float32]) -> Iterator[Cut]:
        """Yield the windows that ``block``, shape (n_samples,), completes."""
        window = self._buffer.size
        while block.size:
            taken = block[: window - self._filled]
            self._buffer[self._filled : self._filled + taken.size] = taken
            self._filled += taken.size
            block = block[taken.size :]
            if self._filled == window:
                self._covered = self._start + window
                yield Cut(self._start, self._covered, self._buffer.copy())
                self._buffer[: window - self._hop] = self._buffer[self._hop :]
                self._filled = window - self._hop
                self._start += self._hop

    def flush(self) -> Iterator[Cut]:
        """Yield the last window, if audio is left that no window has held."""
        end = self._start + self._filled
        if end > self._covered:
            self._covered = end
            yield Cut(self._start, end, _fill(self._buffer[: self._filled], self._buffer.size, self._pad))


def cut_windows(blocks: Iterable[NDArray[np.float32]], window: int, hop: int, pad: Pad) -> Iterator[Cut]:
    """Yield the windows of a waveform given as consecutive blocks; see ``WindowCutter``.

    Examples
    --------
    >>> blocks = [np.arange(4, dtype=np.float32), np.arange(4, 7, dtype=np.float32)]
    >>> for cut in cut_windows(blocks, window=4, hop=2, pad="zeros"):
    ...     print(cut.start, cut.end, cut.samples)
    0 4 [0. 1. 2. 3.]
    2 6 [2. 3. 4. 5.]
    4 7 [4. 5. 6. 0.]
    """
    cutter = WindowCutter(window, hop, pad)
    for block in blocks:
        yield from cutter.push(block)
    yield from cutter.flush()


def _fill(samples: NDArray[np.float32], window: int, pad: Pad) -> NDArray[np.float32]:
    if pad == "none":
        return samples.copy()
    if pad == "repeat":
        return np.resize(samples, window)
    return np.pad(samples, (0, window - samples.size))

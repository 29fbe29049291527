"""Measuring a recording while it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# -80 dBFS.
SILENCE = 1e-4
# 16-bit full scale, and what coders that overshoot decode to.
FULL_SCALE = 1 - 2**-15
# Samples at a time: they, their levels and what is silent of them stay in the cache.
_STEP = 1 << 14


class Meter:
    """A recording that measures what is read from it.

    Parameters
    ----------
    recording : object
        With ``name``, ``label``, ``sample_rate``, ``channels``, ``read`` and ``close``, as the decoders have.

    Attributes
    ----------
    n_frames : int
        Samples per channel so far.
    peak : float
        Largest absolute sample so far.
    clipped, silent : int
        Samples at full scale and below -80 dBFS so far, of all channels.
    """

    def __init__(self, recording: Any) -> None:
        self._recording = recording
        self.name: str | None = recording.name
        self.label: str = recording.label
        self.sample_rate: Any = recording.sample_rate
        self.channels: int = recording.channels
        self.n_frames = 0
        self.peak = 0.0
        self.clipped = 0
        self.silent = 0
        self._level = np.empty(_STEP, np.float32)
        self._is_silent = np.empty(_STEP, np.bool_)

    def read(self) -> NDArray[np.float32]:
        """Return the recording's next samples, shape (k, channels)."""
        frames = self.read_unmeasured()
        self.measure(frames)
        return frames

    def read_unmeasured(self) -> NDArray[np.float32]:
        """Return the recording's next samples, which ``measure`` has not seen."""
        frames: NDArray[np.float32] = self._recording.read()
        return frames

    def measure(self, frames: NDArray[np.float32]) -> None:
        """Count samples, shape (k, channels), as read."""
        self.n_frames += len(frames)
        samples = frames.reshape(-1)
        for start in range(0, len(samples), _STEP):
            piece = samples[start : start + _STEP]
            level, is_silent = self._level[: len(piece)], self._is_silent[: len(piece)]
            np.abs(piece, out=level)
            peak = float(level.max())
            self.peak = max(self.peak, peak)
            if peak >= FULL_SCALE:
                self.clipped += int(np.count_nonzero(level >= FULL_SCALE))
            np.less(level, SILENCE, out=is_silent)
            self.silent += int(np.count_nonzero(is_silent))

    def warnings(self) -> list[str]:
        """Return what was odd about the recording, where its decoder says so."""
        return list(getattr(self._recording, "warnings", list)())

    def close(self) -> None:
        """Release the recording."""
        self._recording.close()

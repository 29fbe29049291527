"""Measuring a recording while it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine import _kernels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# -80 dBFS.
SILENCE = 1e-4
# 16-bit full scale, and what coders that overshoot decode to.
FULL_SCALE = 1 - 2**-15


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
        peak, clipped, silent = _kernels.levels(frames.reshape(-1), FULL_SCALE, SILENCE)
        self.peak = max(self.peak, peak)
        self.clipped += clipped
        self.silent += silent

    def warnings(self) -> list[str]:
        """Return what was odd about the recording, where its decoder says so."""
        return list(getattr(self._recording, "warnings", list)())

    def close(self) -> None:
        """Release the recording."""
        self._recording.close()

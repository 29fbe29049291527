"""Log-mel of live audio: the frames of the whole signal, bit for bit, from blocks of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine import _kernels
from engine.errors import AudioError, ConfigError
from engine.frontend.log_mel import as_clip, compiled_plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.frontend.config import FrontendConfig


class LogMelStream:
    """The front end over a signal that arrives in blocks, in constant memory.

    A frame comes out as soon as its last sample is in. One stream serves one signal and one thread at a time.

    Parameters
    ----------
    config : FrontendConfig

    Raises
    ------
    ConfigError
        When a setting needs the whole input (``remove_clip_mean``, ``log_reference="max"``, ``log_range``, ``zscore``).

    Examples
    --------
    >>> import numpy as np
    >>> from engine import FrontendConfig, LogMelStream
    >>> stream = LogMelStream(FrontendConfig(16000, win_length=400, hop_length=160, n_fft=512, n_mels=64))
    >>> [len(stream.push(np.zeros(1000, np.float32))) for _ in range(3)], len(stream.flush())
    ([6, 6, 6], 1)
    """

    def __init__(self, config: FrontendConfig) -> None:
        if needed := config.whole_input_fields:
            raise ConfigError(
                f"expected settings that a stream can compute, got {', '.join(needed)}, which need the whole input; "
                "change them, or use LogMel on windows of the signal"
            )
        self.config = config
        self._stream = _kernels.LogMelStream(compiled_plan(config))
        self._received = 0

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next samples and return the frames that they complete.

        Parameters
        ----------
        block : ndarray of float32, shape (n_samples,)
            Any number of samples, none included.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_mels)
            A new array.

        Raises
        ------
        TypeError, AudioError
            As ``LogMel``; positions count from the start of the signal. A refused block leaves the stream as it was.
        """
        clip = as_clip(block)
        if not np.isfinite(clip).all():
            position = int(np.flatnonzero(~np.isfinite(clip))[0])
            raise AudioError(
                f"expected finite samples, got {clip[position]} at sample {self._received + position}; "
                "push the block without it"
            )
        frames, finite = self._stream.push(clip)
        self._received += len(clip)
        return self._checked(frames, finite)

    def flush(self) -> NDArray[np.float32]:
        """End the signal and return the frames still due; the stream is then ready for another signal."""
        frames, finite = self._stream.flush()
        self._received = 0
        return self._checked(frames, finite)

    @staticmethod
    def _checked(frames: NDArray[np.float32], finite: bool) -> NDArray[np.float32]:
        if not finite:
            raise AudioError("expected samples whose square fits float32, got larger ones; scale the signal to [-1, 1]")
        return frames

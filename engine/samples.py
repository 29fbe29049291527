"""Samples that are already in memory, as blocks of float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 18


class ArraySamples:
    """An array of samples, converted block by block.

    Parameters
    ----------
    array : array_like, shape (n_samples,) or (n_samples, channels)
        Floats are taken as they are (nominal range [-1, 1]). Integers of 8, 16 or 32 bits are divided by their full
        scale, unsigned ones centred first, so that they too span [-1, 1).
    sample_rate : float
        In Hz, as given.

    Attributes
    ----------
    name : None
    label : str
        How messages call the source.
    sample_rate : float
    channels : int

    Raises
    ------
    AudioError
        For another shape or type of number.
    """

    def __init__(self, array: Any, sample_rate: Any) -> None:
        self.name: str | None = None
        self.label = "the given array"
        self.sample_rate = sample_rate
        samples = as_samples(array)
        _check_dtype(samples.dtype)
        _check_shape(samples.shape)
        self._samples = samples.reshape(len(samples), -1) if samples.size else samples.reshape(0, 1)
        self.channels: int = self._samples.shape[1]
        self._position = 0
        self._is_waveform = self.channels == 1 and samples.dtype == np.float32 and samples.flags.c_contiguous
        if self._is_waveform:
            self._samples = self._samples.view()
            self._samples.flags.writeable = False

    def read(self) -> NDArray[np.float32]:
        """Return the next samples, shape (k, channels); k is 0 at the end and only there.

        A waveform that needs no conversion - one channel, float32, contiguous - comes whole, as a read-only view of
        the array. Everything else comes in blocks of bounded size and in memory of its own.
        """
        if self._is_waveform:
            block, self._samples = self._samples, self._samples[:0]
            return block
        end = self._position + max(1, BLOCK_SAMPLES // self.channels)
        block = self._samples[self._position : end]
        self._position = end
        return as_float32(block)

    def close(self) -> None:
        """Let go of the array."""
        self._samples = self._samples[:0]


def as_samples(array: Any) -> NDArray[Any]:
    """Return whatever numpy takes for an array as one; else an AudioError."""
    try:
        return np.asarray(array)
    except (ValueError, TypeError, RuntimeError) as error:
        raise AudioError(f"expected an array of samples, got {type(array).__name__}: {error}; convert it") from None


def _check_dtype(dtype: np.dtype[Any]) -> None:
    is_float = dtype.kind == "f"
    is_integer = dtype.kind in "iu" and dtype.itemsize <= 4
    if is_float or is_integer:
        return
    # 64-bit integers are lists of Python numbers more often than audio; their full scale would turn them to silence.
    advice = "convert it, for instance with samples.astype('int16') or samples.astype('float32') / full_scale"
    raise AudioError(f"expected float or 8-, 16- or 32-bit integer samples, got dtype {dtype}; {advice}")


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 2):
        raise AudioError(f"expected samples of shape (n,) or (n, channels), got {shape}; pass one clip at a time")
    if len(shape) == 2 and shape[1] > shape[0] and shape[1] > 64:
        raise AudioError(
            f"expected samples of shape (n, channels), got {shape}, {shape[1]} channels; transpose the array"
        )


def as_float32(block: NDArray[Any]) -> NDArray[np.float32]:
    """Return a copy of samples of any shape: floats as they are, integers divided by their full scale."""
    if block.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and that is refused later
            return block.astype(np.float32)
    full_scale = 2.0 ** (8 * block.dtype.itemsize - 1)
    centre = full_scale if block.dtype.kind == "u" else 0.0
    return ((block.astype(np.float64) - centre) / full_scale).astype(np.float32)

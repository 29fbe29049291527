"""Live audio: blocks as they come, the windows that they complete."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import soxr

from engine.audio import MAX_RESAMPLING_RATIO, MAX_SAMPLE_RATE, check_finite, load
from engine.errors import AudioError, ConfigError
from engine.samples import as_samples

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from engine.listener import Listener
    from engine.model import Model
    from engine.options import CallOptions
    from engine.results import Window


class WindowStream:
    """The windows of audio that arrives in blocks of any size. Made by ``Tagger.stream`` and ``Embedder.stream``.

    Each window has the bits of the same window of the whole recording, however the audio was divided. Memory stays
    constant. One stream serves one signal and one thread at a time; several may share a model.

    Parameters
    ----------
    model : Model
    sample_rate : int
        Of the blocks, in Hz.
    channel : int or None
        The channel to take; None averages all.
    **options
        See ``CallOptions``.

    Attributes
    ----------
    latency_s : float
        How long after a window's last sound its result can come at the latest, in seconds, the time to compute it not
        counted: what the resampler holds back, 0 at the model's own rate. A sound is in a window at most one hop after
        it was heard.
    """

    def __init__(
        self, model: Model, sample_rate: int, channel: int | None = None, **options: Unpack[CallOptions]
    ) -> None:
        rate = model.sample_rate
        _check_rates(sample_rate, rate)
        self._listener: Listener | None = model.live(**options)
        self._rate = sample_rate
        self._channel = channel
        self._model_rate = rate
        self._n_pushed = 0
        self._n_resampled = 0
        self._resampler = None if sample_rate == rate else _resampler(sample_rate, rate)
        self.latency_s = 0.0 if sample_rate == rate else _held_back_s(sample_rate, rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def push(self, block: Any) -> list[Window]:
        """Return the windows that a block completes.

        Parameters
        ----------
        block : array_like, shape (n_samples,) or (n_samples, n_channels)
            Floats in [-1, 1], or integers of 8, 16 or 32 bits; empty blocks are fine.

        Raises
        ------
        AudioError
            The block has another shape or type or is not finite: it is as if it had never been pushed. Or the stream is
            closed.
        ModelError, DeviceError
            The network failed; that closes the stream.
        """
        listener = self._open_listener()
        samples = self._mono(block)
        self._listener = None  # a failure in the middle of a block ends the stream: the rest would be shifted in time
        windows = list(listener.push(self._resampled(samples, last=False)))
        self._listener = listener
        return windows

    def flush(self) -> list[Window]:
        """Return the windows that are left, the last one padded as the card says, and close the stream."""
        listener = self._open_listener()
        self._listener = None
        return [*listener.push(self._resampled(np.zeros(0, np.float32), last=True)), *listener.flush()]

    def close(self) -> None:
        """Drop what is unfinished; ``flush`` gives it instead."""
        self._listener = None

    def _open_listener(self) -> Listener:
        if self._listener is None:
            raise AudioError("expected an open stream, got one that was flushed or closed; open another")
        return self._listener

    def _mono(self, block: Any) -> NDArray[np.float32]:
        try:
            block = as_samples(block)
            if block.size == 0:
                return np.zeros(0, np.float32)
            samples, _ = load((block, self._rate), channel=self._channel)
        except AudioError as error:
            raise AudioError(f"block from sample {self._n_pushed} of the stream: {error}") from error
        self._n_pushed += samples.size
        return samples

    def _resampled(self, samples: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._resampler is None:
            return samples
        made: NDArray[np.float32] = self._resampler.resample_chunk(samples, last=last)
        # The filter overshoots; from samples near the end of float32's range it can leave that range.
        check_finite(made, self._n_resampled, self._model_rate, "the stream, resampled")
        self._n_resampled += made.size
        return made


def _check_rates(sample_rate: int, model_rate: int) -> None:
    if type(sample_rate) is not int or not 0 < sample_rate <= MAX_SAMPLE_RATE:
        raise ConfigError(
            f"expected a sample rate in whole Hz from 1 to {MAX_SAMPLE_RATE}, got {sample_rate!r}; correct it"
        )
    low, high = sorted((sample_rate, model_rate))
    if high > low * MAX_RESAMPLING_RATIO:
        raise ConfigError(
            f"expected a sample rate within a factor of {MAX_RESAMPLING_RATIO} of the model's {model_rate} Hz, got "
            f"{sample_rate}; correct it"
        )


def _resampler(sample_rate: int, model_rate: int) -> soxr.ResampleStream:
    return soxr.ResampleStream(sample_rate, model_rate, num_channels=1, dtype="float32", quality="HQ")


@functools.cache
def _held_back_s(sample_rate: int, model_rate: int) -> float:
    """Measure how far, at most, the resampler's output is behind its input."""
    # It works on blocks of its own, so what it holds back goes up and down, with a beat at some rates: a hundredth more
    # than the most that is seen in three times that long.
    resampler, given, got, behind_s = _resampler(sample_rate, model_rate), 0, 0, 0.0
    block = np.zeros(max(1, sample_rate // 1000), np.float32)
    while got == 0 or got < 3 * behind_s * model_rate:
        given += block.size
        behind_s = max(behind_s, given / sample_rate - got / model_rate)
        got += len(resampler.resample_chunk(block))
    return 1.01 * behind_s

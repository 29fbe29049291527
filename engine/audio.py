"""Anything readable to a waveform: float32, mono, finite, at a stated rate, whole or in blocks.

One path for every source: decoder or array -> one channel or their mean -> finite? -> soxr -> blocks.
"""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, TypeAlias

import numpy as np
import soxr

from engine.decode import open_decoder
from engine.errors import AudioError, ConfigError
from engine.samples import ArraySamples

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

Source: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | tuple[Any, float] | Mapping[str, Any]
)

MAX_SAMPLE_RATE = 1_000_000
# Beyond it soxr holds hundreds of megabytes or does not return.
MAX_RESAMPLING_RATIO = 1000
# Samples given to soxr at a time, or made by it, whichever is more: they stay in the cache.
_RESAMPLING_STEP = 1 << 13


class _Recording(Protocol):
    name: str | None
    label: str
    sample_rate: Any
    channels: int

    def read(self) -> NDArray[np.float32]: ...

    def close(self) -> None: ...


def open_audio(source: Source, sample_rate: int | None = None, channel: int | None = None) -> AudioReader:
    """Open a source for reading in blocks, in memory that does not depend on its length or its header.

    Parameters
    ----------
    source : path, bytes, binary file object, (samples, sample_rate) or {"array": ..., "sampling_rate": ...}
        Paths, bytes and files in any format of libsndfile and, with the package av installed, MP4, M4A, AAC, WebM,
        Matroska, Windows Media, AMR, CAF and WavPack, of which the first audio stream is taken. A file object is read
        from its current position, and up to 256 MiB of one that cannot seek. Arrays have shape (n_samples,) or
        (n_samples, channels); floats are taken as they are, integers of 8 to 32 bits are divided by their full scale.
    sample_rate : int, optional
        Rate in Hz to resample to (soxr HQ); the source's own by default.
    channel : int, optional
        The channel to take, counted from 0; by default all channels are averaged.

    Returns
    -------
    AudioReader
        To be used in a ``with`` statement.

    Raises
    ------
    AudioError
        When the source cannot be opened, has no such channel, or its rate cannot be brought to ``sample_rate``.
    """
    return AudioReader(open_recording(source), sample_rate, channel)


def load(source: Source, sample_rate: int | None = None, channel: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Read a whole source into memory; parameters and errors as in `open_audio`.

    Returns
    -------
    samples : ndarray, shape (n_samples,), float32
        Exactly what `AudioReader.blocks` gives, joined, in memory of its own.
    sample_rate : int
        In Hz.
    """
    with open_audio(source, sample_rate, channel) as reader:
        (samples,) = reader.blocks(sys.maxsize)
        return samples if samples.flags.writeable else samples.copy(), reader.sample_rate


class AudioReader:
    """One recording, read once from start to end; made by `open_audio`.

    Attributes
    ----------
    name : str or None
        The path; None for bytes, file objects and arrays.
    label : str
        What messages call the recording.
    sample_rate : int
        Rate of the samples that ``blocks`` gives, in Hz.
    """

    def __init__(self, source: _Recording, sample_rate: int | None, channel: int | None) -> None:
        self._source = source
        self._started = False
        self._checks = True
        try:
            self.name = source.name
            self.label = source.label
            self._source_rate = _checked_rate(source.sample_rate, f"in {source.label}")
            self.sample_rate = (
                self._source_rate if sample_rate is None else _checked_rate(sample_rate, "to resample to")
            )
            low, high = sorted((self._source_rate, self.sample_rate))
            if high > low * MAX_RESAMPLING_RATIO:
                rates = f"{self._source_rate} Hz in {source.label} and {self.sample_rate} Hz asked for"
                raise AudioError(
                    f"expected rates within a factor of {MAX_RESAMPLING_RATIO}, got {rates}; correct the rate"
                )
            self._channel = _checked_channel(channel, source)
        except BaseException:
            source.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the source; a file object that was given stays open."""
        self._started = True
        self._source.close()

    def blocks(self, n_samples: int, *, checked: bool = True) -> Iterator[NDArray[np.float32]]:
        """Give the waveform in blocks; joined, they are bit-equal for every ``n_samples``.

        Resampled audio has the whole number of samples that is nearest to ``n * sample_rate / source_rate``.

        Parameters
        ----------
        n_samples : int
            Length of each block; the last one may be shorter.
        checked : bool
            False where the reader of the blocks finds NaN and infinity by itself, and calls ``check_finite`` then:
            audio that is not resampled is not searched for them.

        Yields
        ------
        ndarray, shape (k,), float32
            C-contiguous, mono, finite, k from 1 to ``n_samples``. Read-only where it is a view of an array that was
            given (one channel, float32, contiguous, at the wanted rate): nothing is copied then, and the array must
            not change while it is read.

        Raises
        ------
        AudioError
            When the data is damaged, has no samples, or has NaN or infinite ones; also on a second call.
        ConfigError
            When ``n_samples`` is not a positive whole number.
        """
        if _whole(n_samples) < 1:
            raise ConfigError(f"expected a block length of 1 or more samples, got {n_samples!r}; change n_samples")
        if self._started:
            raise AudioError(f"expected to read {self._source.label} once, got a second reading; open it again")
        self._started = True
        self._checks = checked or self.sample_rate != self._source_rate
        return _regrouped(self._resampled(), n_samples)

    def _mono(self) -> Iterator[NDArray[np.float32]]:
        position = 0
        while len(frames := self._source.read()):
            mono = _mean(frames) if self._channel is None else np.ascontiguousarray(frames[:, self._channel])
            if self._checks:
                check_finite(mono, position, self._source_rate, self._source.label)
            position += len(mono)
            yield mono
        if position == 0:
            raise AudioError(f"expected audio, got no samples in {self._source.label}; check that the file is complete")

    def _resampled(self) -> Iterator[NDArray[np.float32]]:
        if self.sample_rate == self._source_rate:
            yield from self._mono()
            return
        position = 0
        for piece in _soxr_pieces(self._mono(), self._source_rate, self.sample_rate):
            # The filter overshoots; from samples near the end of float32's range it can leave that range.
            check_finite(piece, position, self.sample_rate, f"{self._source.label}, resampled")
            position += len(piece)
            yield piece
        if position == 0:
            length = f"less than half a sample at {self.sample_rate} Hz"
            raise AudioError(f"expected audio, got {length} in {self._source.label}; give a longer recording")


def open_recording(source: object) -> _Recording:
    """Return what reads a source at its own rate, with all of its channels; sources as for `open_audio`."""
    if isinstance(source, tuple) and len(source) == 2:
        return ArraySamples(*source)
    if isinstance(source, Mapping):
        if not {"array", "sampling_rate"} <= set(source):
            raise AudioError(f"expected the keys 'array' and 'sampling_rate', got {sorted(map(str, source))}; add them")
        return ArraySamples(source["array"], source["sampling_rate"])
    if (
        isinstance(source, str | bytes | bytearray | memoryview)
        or hasattr(source, "__fspath__")
        or hasattr(source, "read")
    ):
        return open_decoder(source)
    raise AudioError(
        "expected a path, bytes, a binary file object, (samples, sample_rate) or "
        f"{{'array', 'sampling_rate'}}, got {type(source).__name__}; an array needs its sample rate beside it"
    )


def _checked_rate(rate: Any, where: str) -> int:
    try:
        whole = int(rate)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if isinstance(rate, bool | str) or whole != rate or not 0 < whole <= MAX_SAMPLE_RATE:
        expected = f"expected a sample rate in whole Hz from 1 to {MAX_SAMPLE_RATE}"
        raise AudioError(f"{expected}, got {rate!r} {where}; correct the rate")
    return whole


def _checked_channel(channel: int | None, source: _Recording) -> int | None:
    if channel is None:
        return None
    index = _whole(channel)
    if not 0 <= index < source.channels:
        expected = f"expected a channel from 0 to {source.channels - 1}"
        raise AudioError(f"{expected}, got channel={channel!r} for {source.label}; choose another or None for the mean")
    return index


def _whole(value: object) -> int:
    """Return a whole number as an int, and -1 for whatever is none."""
    try:
        return -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return -1


def _mean(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the channels, in their order (so the bits do not depend on the machine's vector width)."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # NaN and infinite samples are refused by the caller
        total = frames[:, 0] + frames[:, 1]
        for channel in range(2, frames.shape[1]):
            total += frames[:, channel]
        return total / np.float32(frames.shape[1])


def check_finite(samples: NDArray[np.float32], position: int, sample_rate: int, label: str) -> None:
    """Raise an AudioError that names the first NaN or infinity; ``position`` is that of the first sample."""
    # Their sum is finite only if all of them are; it takes half the time of looking at each.
    if math.isfinite(np.einsum("i->", samples)):
        return
    finite = np.isfinite(samples)
    if not finite.all():
        index = int(np.argmin(finite))
        where = f"sample {position + index} ({(position + index) / sample_rate:.6f} s) of {label}"
        raise AudioError(f"expected finite samples, got {samples[index]} at {where}; repair or replace the recording")


def _soxr_pieces(
    blocks: Iterator[NDArray[np.float32]], source_rate: int, sample_rate: int
) -> Iterator[NDArray[np.float32]]:
    stream = soxr.ResampleStream(source_rate, sample_rate, num_channels=1, dtype="float32", quality="HQ")
    step = max(1, min(_RESAMPLING_STEP, _RESAMPLING_STEP * source_rate // sample_rate))
    for block in blocks:
        for start in range(0, len(block), step):
            yield stream.resample_chunk(block[start : start + step])
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _regrouped(pieces: Iterator[NDArray[np.float32]], n_samples: int) -> Iterator[NDArray[np.float32]]:
    """Cut and join pieces of any length into blocks of ``n_samples``; the last one may be shorter."""
    held: list[NDArray[np.float32]] = []
    missing = n_samples
    for piece in pieces:
        start = 0
        while len(piece) - start >= missing:
            held.append(piece[start : start + missing])
            start += missing
            yield _joined(held)
            held, missing = [], n_samples
        if start < len(piece):
            held.append(piece[start:])
            missing -= len(piece) - start
    if held:
        yield _joined(held)


def _joined(held: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return held[0] if len(held) == 1 else np.concatenate(held)

"""Encoded audio to blocks of samples, through libsndfile."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from engine.byte_stream import ByteStream
from engine.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Samples, all channels together, that one read may ask for: 1 MiB of float32, whatever the header announces.
MAX_BLOCK_SAMPLES = 1 << 18
# What libsndfile says of streams whose length it does not know, at least.
UNKNOWN_FRAMES = 1 << 62
MAX_WARNINGS = 8
_INT16_SCALE = np.float32(1 / 32768)

# libsndfile's codes for data it knows no format for; the message of the second, from its MP3 reader, misleads.
_UNKNOWN_FORMAT = (1, 7)


class SndfileDecoder:
    """One recording in a format of libsndfile, read once from start to end in blocks of bounded size.

    Parameters
    ----------
    source : str or ByteStream
        A path to an existing file, or the bytes of a file.
    label : str
        How messages call the source.

    Attributes
    ----------
    name : str or None
        The path; None for bytes.
    sample_rate : int
        In Hz, as the header says.
    channels : int

    Raises
    ------
    AudioError
        When the source cannot be opened as audio.
    """

    def __init__(self, source: str | ByteStream, label: str) -> None:
        self.name = source if isinstance(source, str) else None
        self.label = label
        self._stream = source if isinstance(source, ByteStream) else None
        try:
            self._file = _ForwardFile(_as_libsndfile_wants(source))
        except soundfile.LibsndfileError as error:
            self._raise_kept_error()
            expected = f"expected audio such as WAV, FLAC, Ogg, Opus, MP3, AIFF or M4A, got {label}"
            raise AudioError(f"{expected}: {_reason(error)}; check the file or convert it to WAV or FLAC") from None
        self._raise_kept_error()
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        # libsndfile converts PCM samples one at a time; numpy does the same exact scaling in a third of the time.
        self._as_int16 = self._file.format in ("WAV", "WAVEX") and self._file.subtype == "PCM_16"
        self._position = 0

    def read(self) -> NDArray[np.float32]:
        """Return the next samples, shape (k, channels), full scale at 1; k is 0 at the end and only there.

        Raises
        ------
        AudioError
            Where the data is damaged.
        """
        # The length in the header is an upper bound (tags may follow the last frame), never a size to allocate.
        wanted = min(max(1, MAX_BLOCK_SAMPLES // self.channels), self._file.frames - self._position)
        if wanted <= 0:
            return np.empty((0, self.channels), np.float32)
        try:
            block = self._file.read(wanted, dtype="int16" if self._as_int16 else "float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            self._raise_kept_error()
            start_s, end_s = (n / self.sample_rate for n in (self._position, self._position + wanted))
            place = f"damaged between {start_s:.3f} s and {end_s:.3f} s"
            message = f"expected intact audio, got {self.label}, {place}: {_reason(error)}; replace the file"
            raise AudioError(message) from None
        self._raise_kept_error()
        self._position += len(block)
        samples: NDArray[np.float32] = np.multiply(block, _INT16_SCALE, dtype=np.float32) if self._as_int16 else block
        return samples

    @property
    def n_frames(self) -> int:
        """Samples per channel, as the header says; never a size to allocate."""
        n_frames: int = self._file.frames
        return n_frames

    @property
    def seeks_exactly(self) -> bool:
        """Whether ``start_at`` gives the samples that reading from the start does: in WAV of samples, and FLAC."""
        subtype, family = self._file.subtype, self._file.format
        return family == "FLAC" or (
            family in ("WAV", "WAVEX", "RF64") and subtype.startswith(("PCM_", "FLOAT", "DOUBLE"))
        )

    def warnings(self) -> list[str]:
        """Return what was odd about a recording that was read to its end: libsndfile's remarks, and missing samples."""
        told = self._file.extra_info
        found = []
        if "(should be" in told or "***" in told:  # hardly any has one
            lines = (" ".join(line.split()) for line in told.splitlines())
            found += [line for line in lines if "(should be" in line or (line[:3] == "***" and "unknown m" not in line)]
        if self._position < self._file.frames < UNKNOWN_FRAMES:
            found.append(f"the header announces {self._file.frames} samples, {self._position} could be read")
        return list(dict.fromkeys(found))[:MAX_WARNINGS]

    def start_at(self, frame: int) -> None:
        """Go to a sample, before anything is read; an AudioError where there is no way to it."""
        try:
            reached = soundfile.SoundFile.seek(self._file, frame)
        except soundfile.LibsndfileError as error:
            reached = _reason(error)
        self._raise_kept_error()
        if reached != frame:
            raise AudioError(f"expected to find sample {frame} of {self.label}, got {reached}; read it from the start")
        self._position = frame

    def close(self) -> None:
        """Release libsndfile's handle; a file object that was given stays open."""
        self._file.close()

    def _raise_kept_error(self) -> None:
        if self._stream is not None:
            self._stream.raise_kept_error()


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that is read from start to end, without the seek that soundfile adds after each block.

    That seek resets the MP3 decoder, so that the samples would depend on the block size, and it fails in slightly
    irregular FLAC files that decode well.
    """

    def seekable(self) -> bool:
        """Say no, which is what makes soundfile leave the position alone."""
        return False


def _as_libsndfile_wants(source: str | ByteStream) -> bytes | str | ByteStream:
    # Bytes carry names that are not valid Unicode; on Windows soundfile passes text on as wide characters.
    return os.fsencode(source) if isinstance(source, str) and os.name != "nt" else source


def _reason(error: soundfile.LibsndfileError) -> str:
    if error.code in _UNKNOWN_FORMAT:
        return "no format that libsndfile knows"
    text: str = error.error_string
    return "libsndfile reports: " + text.removeprefix("Error : ").rstrip(".")

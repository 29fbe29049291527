"""Encoded audio - a path, bytes or a binary file object - to blocks of samples, through libsndfile."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from engine.byte_stream import ByteStream
from engine.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Samples, all channels together, that one read may ask for: 1 MiB of float32, whatever the header announces.
MAX_BLOCK_SAMPLES = 1 << 18
_INT16_SCALE = np.float32(1 / 32768)

READABLE = "audio such as WAV, FLAC, Ogg, Opus, MP3 or AIFF"
# How a few formats that libsndfile cannot read begin: (offset in bytes, bytes, what it is).
_UNREADABLE_CONTAINERS = (
    (4, b"ftyp", "MP4/M4A (AAC or ALAC)"),
    (0, b"\x1a\x45\xdf\xa3", "WebM/Matroska"),
    (0, b"\x30\x26\xb2\x75", "Windows Media"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)
# libsndfile's codes for data it knows no format for; the message of the second, from its MP3 reader, misleads.
_UNKNOWN_FORMAT = (1, 7)


class Decoder:
    """One encoded recording, read once from start to end in blocks of bounded size.

    Parameters
    ----------
    source : str, os.PathLike, bytes, bytearray, memoryview or binary file object
        A file object is read from its current position to its end and is not closed.

    Attributes
    ----------
    name : str or None
        The path; None for bytes and file objects.
    label : str
        How messages call the source.
    sample_rate : int
        In Hz, as the header says.
    channels : int

    Raises
    ------
    AudioError
        When the source cannot be opened as audio.
    """

    def __init__(self, source: Any) -> None:
        self.name: str | None = None
        self._stream: ByteStream | None = None
        if isinstance(source, str | os.PathLike):
            self.name = os.fsdecode(source)
            self.label = repr(self.name)
            self._file = self._opened(_checked_path(self.name))
        else:
            is_file = hasattr(source, "read")
            self.label = "the given file object" if is_file else "the given bytes"
            self._stream = ByteStream(source if is_file else io.BytesIO(source))
            self._file = self._opened(self._stream)
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

    def close(self) -> None:
        """Release libsndfile's handle; a file object that was given stays open."""
        self._file.close()

    def _opened(self, file: bytes | str | ByteStream) -> _ForwardFile:
        try:
            opened = _ForwardFile(file)
        except soundfile.LibsndfileError as error:
            self._raise_kept_error()
            raise AudioError(self._refusal(file, error)) from None
        self._raise_kept_error()
        return opened

    def _refusal(self, file: bytes | str | ByteStream, error: soundfile.LibsndfileError) -> str:
        if isinstance(file, ByteStream):
            file.seek(0)
            head = file.read(12)
        else:
            with Path(os.fsdecode(file)).open("rb") as opened:
                head = opened.read(12)
        for offset, magic, container in _UNREADABLE_CONTAINERS:
            if head[offset : offset + len(magic)] == magic:
                reason = f"{container}, which libsndfile cannot read"
                return f"expected {READABLE}, got {self.label}: {reason}; convert it to WAV or FLAC"
        return f"expected {READABLE}, got {self.label}: {_reason(error)}; check the file or convert it to WAV or FLAC"

    def _raise_kept_error(self) -> None:
        """Raise what a file object raised inside libsndfile, where no exception can pass."""
        error = self._stream.error if self._stream else None
        if isinstance(error, Exception):
            raise AudioError(f"expected a readable file object, got {error!r} from it; open it again") from error
        if error is not None:
            raise error


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A SoundFile that is read from start to end, without the seek that soundfile adds after each block.

    That seek resets the MP3 decoder, so that the samples would depend on the block size, and it fails in slightly
    irregular FLAC files that decode well.
    """

    def seekable(self) -> bool:
        """Say no, which is what makes soundfile leave the position alone."""
        return False


def _checked_path(name: str) -> bytes | str:
    """Return the path as libsndfile wants it, or say in one sentence why there is no file to open."""
    expected = f"expected an audio file, got {name!r}"
    try:
        status = Path(name).stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{expected}, which is a folder; name the files inside it")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{expected}, which is a pipe or a device; read it and pass its bytes")
        if name.lower().endswith(".raw"):  # soundfile would ask for the rate and the channels
            raise AudioError(f"{expected}, named as samples without a header; pass (samples, sample_rate)")
        if status.st_size == 0:
            raise AudioError(f"{expected}, which is empty (0 bytes); replace the file")
        Path(name).open("rb").close()
    except FileNotFoundError:
        raise AudioError(f"{expected}, which does not exist; check the path") from None
    except PermissionError:
        raise AudioError(f"{expected}, which may not be read; change its permissions") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{expected}, which cannot be opened: {error}; check the path") from None
    # Bytes carry names that are not valid Unicode; on Windows soundfile passes text on as wide characters.
    return name if os.name == "nt" else os.fsencode(name)


def _reason(error: soundfile.LibsndfileError) -> str:
    if error.code in _UNKNOWN_FORMAT:
        return "no format that libsndfile knows"
    text: str = error.error_string
    return "libsndfile reports: " + text.removeprefix("Error : ").rstrip(".")

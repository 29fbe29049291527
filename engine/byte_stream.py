"""A file object made safe for a C library that calls back into it."""

from __future__ import annotations

import io
from typing import Any

from engine.errors import AudioError

# An object that cannot seek is read into memory, up to this many bytes.
MAX_UNSEEKABLE_BYTES = 1 << 28


class ByteStream:
    """The bytes of a file object from its current position to its end, as a C library may use them.

    Exceptions cannot pass through C: ``read`` keeps what the object raises in ``error`` and says that the data ended.
    Positions are kept here and never leave the data, so that the object sees nothing but seeks to valid positions and
    reads. A leading ID3v2 tag is skipped: libsndfile, called back, would cut the end of a WAV file by its length.

    Parameters
    ----------
    file : binary file object
        With ``read``; one that cannot ``seek`` is read into memory at once, up to 256 MiB. It is not closed.

    Attributes
    ----------
    error : BaseException or None
        What the object raised in a ``read``.

    Raises
    ------
    AudioError
        When the object is not a binary file, is too large to be held, or holds nothing.
    """

    def __init__(self, file: Any) -> None:
        self.error: BaseException | None = None
        try:
            if not isinstance(file.read(0), bytes):
                raise AudioError(
                    "expected a file object opened in binary mode, got one that reads text; open it with 'rb'"
                )
            self._file = file if _can_seek(file) else io.BytesIO(_drained(file))
            self._start = self._file.tell()
            self._size = self._file.seek(0, io.SEEK_END) - self._start
            self._file.seek(self._start)
            tag = _id3v2_length(self._file.read(10))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise AudioError(f"expected a readable binary file object, got {file!r}: {error}; open it again") from error
        if self._size <= 0:
            raise AudioError(
                "expected audio, got a file object with no data behind its current position; seek(0) first"
            )
        self._start += tag
        self._size = max(0, self._size - tag)
        self._position = 0

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes; none at the end and after an error."""
        count = max(0, min(count, self._size - self._position))
        try:
            self._file.seek(self._start + self._position)
            data = bytes(self._file.read(count))[:count]
            if count and not data:
                raise EOFError("the data ends before the end that seek() reports")
        except BaseException as error:  # noqa: BLE001 - the caller raises it again, KeyboardInterrupt included
            self.error = error
            self._position = self._size  # libsndfile would wait for ever on data that is announced and does not come
            return b""
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as ``read`` would, without a copy on the way where the file can do so too."""
        whole = memoryview(buffer)
        wanted = whole[: max(0, min(len(whole), self._size - self._position))]
        if not hasattr(self._file, "readinto"):
            data = self.read(len(wanted))
            whole[: len(data)] = data
            return len(data)
        try:
            self._file.seek(self._start + self._position)
            count = int(self._file.readinto(wanted))
            if len(wanted) and not count:
                raise EOFError("the data ends before the end that seek() reports")
        except BaseException as error:  # noqa: BLE001 - as in ``read``
            self.error = error
            self._position = self._size
            return 0
        self._position += count
        return count

    def raise_kept_error(self) -> None:
        """Raise what the object raised in a ``read``: an exception as an AudioError, KeyboardInterrupt as it is."""
        if isinstance(self.error, Exception) and not isinstance(self.error, AudioError):
            raise AudioError(
                f"expected a readable file object, got {self.error!r} from it; open it again"
            ) from self.error
        if self.error is not None:
            raise self.error

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start (0), the position (1) or the end (2); never before the start.

        After an error the position stays at the end.
        """
        if self.error is None:
            self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position


def _can_seek(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except AttributeError:
        return hasattr(file, "seek")


def _drained(file: Any) -> bytes:
    held = bytearray()
    while data := file.read(1 << 20):
        held += data
        if len(held) > MAX_UNSEEKABLE_BYTES:
            limit = f"at most {MAX_UNSEEKABLE_BYTES >> 20} MiB from a file object that cannot seek"
            raise AudioError(f"expected {limit}, got more; save it to a file and give its path")
    return bytes(held)


def _id3v2_length(head: bytes) -> int:
    """Return the length in bytes of the ID3v2 tag that begins with these 10 bytes, 0 without one (id3v2.4, 3.1)."""
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 0x7F:
        return 0
    has_footer = bool(head[5] & 0x10)
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + 10 * has_footer

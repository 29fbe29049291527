"""A file whose bytes are hashed while a decoder reads them, so that they are read once."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

BLOCK_BYTES = 1 << 18
# The first block, which decoders come back to, the last one, where some of them look for a length, and one between.
BLOCKS_HELD = 3


class HashedFile:
    """A binary file, read in blocks that are hashed in their order; memory does not depend on its length.

    A decoder that jumps ahead costs the blocks that it jumped to a second time, all others are read once.

    Parameters
    ----------
    file : binary file object
        With ``fileno``; it is not closed. It should not buffer: that is done here.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._digest = hashlib.sha256()
        # Bytes that are hashed, always whole blocks but for the last.
        self._hashed = 0
        self._position = 0
        self._blocks: dict[int, memoryview] = {}

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start (0), the position (1) or the end (2)."""
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Return up to ``count`` bytes, all that there are to the end of the file for -1."""
        data = bytearray(max(0, self._size - self._position) if count < 0 else count)
        return bytes(data[: self.readinto(data)])

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, as far as the file reaches, and return how many bytes that are."""
        wanted = memoryview(buffer)
        filled = 0
        while filled < len(wanted):
            number, offset = divmod(self._position, BLOCK_BYTES)
            part = self._block(number)[offset : offset + len(wanted) - filled]
            if not part:
                break
            wanted[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def sha256(self) -> str:
        """Read what has not been hashed, and return the hash of the whole file as 64 hexadecimal digits."""
        # A block that is short is the last one, also where the file was longer when it was opened.
        while self._hashed < self._size and self._hashed % BLOCK_BYTES == 0:
            if not self._block(self._hashed // BLOCK_BYTES):
                break
        return self._digest.hexdigest()

    def _block(self, number: int) -> memoryview:
        block = self._blocks.get(number)
        if block is None:
            self._file.seek(number * BLOCK_BYTES)
            block = memoryview(read_full(self._file, max(0, min(BLOCK_BYTES, self._size - number * BLOCK_BYTES))))
            if len(self._blocks) == BLOCKS_HELD:
                # Never the first one, which dictionaries keep in front.
                del self._blocks[next(held for held in self._blocks if held)]
            self._blocks[number] = block
        if number * BLOCK_BYTES == self._hashed:
            self._digest.update(block)
            self._hashed += len(block)
        return block


def read_full(file: BinaryIO, count: int) -> bytes:
    """Return ``count`` bytes, fewer only at the end: one read of an unbuffered file may give less than it has."""
    data = file.read(count)
    while data and len(data) < count and (more := file.read(count - len(data))):
        data += more
    return data

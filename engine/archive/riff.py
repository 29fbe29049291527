"""The chunks of a WAV file that are not sound."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# Of a chunk that is read; what recorders write is far shorter.
MAX_CHUNK_BYTES = 1 << 16
# A file of nothing but chunk headers is not searched to its end.
MAX_CHUNKS = 256
_SIZE_IN_DS64 = 0xFFFFFFFF


def read_chunks(file: BinaryIO, wanted: Collection[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give the chunks of a RIFF, RF64 or BW64 file that have one of the wanted identifiers.

    Nothing is given of files of other formats, and what a damaged file says of its lengths is never allocated.

    Parameters
    ----------
    file : binary file object
        With ``seek``; read from its current position, and left anywhere.
    wanted : collection of bytes
        Identifiers of four bytes.

    Yields
    ------
    identifier : bytes
    content : bytes
        At most its first 64 KiB.
    """
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return
    position = file.tell()
    data_size = 0
    for _ in range(MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return
        identifier, size = header[:4], struct.unpack("<I", header[4:])[0]
        if identifier == b"ds64":
            # EBU Tech 3306: the length of the whole file, then that of the data chunk.
            data_size = int.from_bytes(file.read(16)[8:], "little")
        elif identifier == b"data" and size == _SIZE_IN_DS64:
            size = data_size
        elif identifier in wanted:
            yield identifier, file.read(min(size, MAX_CHUNK_BYTES))
        position += 8 + size + size % 2
        if position >= 1 << 63:
            return
        file.seek(position)


def info_comment(content: bytes) -> str | None:
    """Return the comment (ICMT) of a LIST chunk of the kind INFO, None without one."""
    if content[:4] != b"INFO":
        return None
    position = 4
    while position + 8 <= len(content):
        identifier, size = struct.unpack_from("<4sI", content, position)
        if identifier == b"ICMT":
            return content[position + 8 : position + 8 + size].decode("utf-8", "replace").rstrip("\0")
        position += 8 + size + size % 2
    return None

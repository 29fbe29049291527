"""The header of an MP4 or QuickTime file, checked before FFmpeg makes an index as long as that header says."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from engine.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.byte_stream import ByteStream

_PARENTS = {
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"udta", b"meta", b"wave"),
    *(b"dinf", b"gmhd", b"tref", b"clip", b"wide", b"ipro", b"iprp", b"mfra", b"schi", b"sinf", b"strk", b"strd"),
}
# Boxes that announce samples, and where in them the number stands (ISO/IEC 14496-12, 8.7.3 and 8.8.8).
_COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
_MAX_DEPTH = 10  # FFmpeg's own limit


def check_sample_counts(stream: ByteStream, label: str) -> None:
    """Refuse a file that announces more encoded samples than it has bytes.

    FFmpeg allocates about 40 bytes for each sample announced, and once more for each edit of the track: some 100 bytes
    of header can ask for all memory.

    Parameters
    ----------
    stream : ByteStream
        Its position is moved.
    label : str
        How messages call the source.

    Raises
    ------
    AudioError
        For such a file, and for a compressed header, which cannot be checked.
    """
    length = stream.seek(0, io.SEEK_END)
    n_samples, n_edits = 0, 1
    for kind, start in _boxes(stream, 0, length, 0):
        if kind == b"cmov":
            raise AudioError(
                f"expected MP4 with a plain header, got {label} with a compressed one; convert it to WAV or FLAC"
            )
        if kind in _COUNTS:
            n_samples += _number(stream, start + _COUNTS[kind])
        elif kind == b"elst":
            n_edits = max(n_edits, _number(stream, start + 4))
        if n_samples * n_edits > length:
            announced = f"{n_samples} samples, {n_edits} times, in a file of {length} bytes"
            raise AudioError(
                f"expected MP4 with at most one encoded sample per byte, got {label}: {announced}; replace the file"
            )


def _boxes(stream: ByteStream, start: int, end: int, depth: int) -> Iterator[tuple[bytes, int]]:
    """Give the kind and the start of the content of each box that holds no others, as FFmpeg finds them."""
    while start + 8 <= end:
        stream.seek(start)
        head = stream.read(16)
        size, kind = int.from_bytes(head[:4]), head[4:8]
        content = start + 8
        if size == 1:
            size, content = int.from_bytes(head[8:16]), start + 16
        elif size == 0:
            size = end - start
        if start + size < content:
            return
        if kind not in _PARENTS:
            yield kind, content
        elif depth < _MAX_DEPTH:
            yield from _boxes(stream, content, min(start + size, end), depth + 1)
        start += size


def _number(stream: ByteStream, position: int) -> int:
    stream.seek(position)
    return int.from_bytes(stream.read(4))

"""Encoded audio - a path, bytes or a binary file object - to the decoder that reads it."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

from engine.byte_stream import ByteStream
from engine.decode_av import AvDecoder
from engine.decode_sndfile import SndfileDecoder
from engine.errors import AudioError

# How the formats begin that libsndfile cannot read: (offset in bytes, bytes, what it is, FFmpeg's name for it).
_CONTAINERS = (
    *((4, box, "MP4/M4A or QuickTime", "mov") for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1a\x45\xdf\xa3", "WebM/Matroska", "matroska"),
    (0, b"\x30\x26\xb2\x75", "Windows Media", "asf"),
    *((0, bytes((0xFF, sync)), "AAC", "aac") for sync in (0xF0, 0xF1, 0xF8, 0xF9)),
    (0, b"#!AMR", "AMR", "amr"),
    (0, b"wvpk", "WavPack", "wv"),
)
# Holds many codings, some of which libsndfile reads.
_SHARED_CONTAINER = (0, b"caff", "CAF with a coding that libsndfile lacks", "caf")
_HEAD_BYTES = 12


Decoder: TypeAlias = SndfileDecoder | AvDecoder


def open_decoder(source: Any, label: str | None = None) -> Decoder:
    """Open an encoded recording: with libsndfile, and with PyAV where libsndfile cannot read the format.

    Parameters
    ----------
    source : str, os.PathLike, bytes, bytearray, memoryview or binary file object
        A file object is read from its current position to its end and is not closed.
    label : str, optional
        What messages call it.

    Raises
    ------
    AudioError
        When the source cannot be opened as audio, or the format needs PyAV and that is not installed.
    """
    if isinstance(source, str | os.PathLike):
        name = os.fsdecode(source)
        return _decoder(name, label or repr(name), _checked_head(name))
    is_file = hasattr(source, "read")
    stream = ByteStream(source if is_file else io.BytesIO(source))
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    return _decoder(stream, label or ("the given file object" if is_file else "the given bytes"), head)


def _decoder(source: str | ByteStream, label: str, head: bytes) -> Decoder:
    for offset, magic, container, demuxer in _CONTAINERS:
        if head.startswith(magic, offset):
            return AvDecoder(source, label, container, demuxer)
    try:
        return SndfileDecoder(source, label)
    except AudioError:
        _, magic, container, demuxer = _SHARED_CONTAINER
        if not head.startswith(magic):
            raise
        return AvDecoder(source, label, container, demuxer)


def _checked_head(name: str) -> bytes:
    """Return the first bytes of a file behind any ID3v2 tag, or say in one sentence why there is no file to open."""
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
        with Path(name).open("rb") as file:
            return ByteStream(file).read(_HEAD_BYTES)
    except FileNotFoundError:
        raise AudioError(f"{expected}, which does not exist; check the path") from None
    except PermissionError:
        raise AudioError(f"{expected}, which may not be read; change its permissions") from None
    except (OSError, ValueError) as error:
        raise AudioError(f"{expected}, which cannot be opened: {error}; check the path") from None

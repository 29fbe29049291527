"""File objects as libsndfile sees them: from the current position on, bounded, never raising inside."""

from __future__ import annotations

import io
import struct

import pytest

from engine.byte_stream import ByteStream
from engine.errors import AudioError


class Pipe(io.RawIOBase):
    """A stream without seek that gives at most 7 bytes at a time."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, count=-1):
        return self._data.read(min(count, 7))


def test_reads_seeks_and_tells_like_a_file():
    data = bytes(range(100))
    stream, oracle = ByteStream(io.BytesIO(data)), io.BytesIO(data)
    for offset, whence, count in [(0, 0, 5), (10, 0, 5), (3, 1, 2), (-20, 2, 50), (0, 2, 4), (95, 0, 100), (-5, 1, 2)]:
        assert stream.seek(offset, whence) == oracle.seek(offset, whence)
        assert stream.read(count) == oracle.read(count)
        assert stream.tell() == oracle.tell()


def test_never_moves_before_the_start():
    stream = ByteStream(io.BytesIO(b"abc"))
    assert stream.seek(-9, 0) == stream.seek(-9, 1) == stream.seek(-9, 2) == 0
    assert stream.read(-1) == b""
    assert stream.error is None


def test_begins_at_the_current_position():
    file = io.BytesIO(b"header:samples")
    file.seek(7)
    stream = ByteStream(file)
    assert stream.tell() == 0
    assert stream.read(99) == b"samples"
    stream.seek(-3, 2)
    assert stream.read(99) == b"les"


@pytest.mark.parametrize("has_footer", [False, True])
def test_skips_an_id3v2_tag(has_footer):
    tag = b"ID3\x04\x00" + bytes([0x10 * has_footer]) + struct.pack(">BBBB", 0, 0, 2, 3) + bytes(2 * 128 + 3)
    stream = ByteStream(io.BytesIO(tag + b"\x00" * 10 * has_footer + b"RIFF"))
    assert stream.read(99) == b"RIFF"
    stream.seek(0)
    assert stream.read(99) == b"RIFF"


def test_an_id3v2_tag_longer_than_the_file_leaves_nothing():
    stream = ByteStream(io.BytesIO(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7frest"))
    assert stream.read(99) == b""


def test_what_only_looks_like_an_id3v2_tag_is_kept():
    for data in (b"ID3", b"ID3\x04\x00\x00\x00\x00\x80\x00rest"):
        assert ByteStream(io.BytesIO(data)).read(99) == data


def test_a_stream_without_seek_is_held(monkeypatch):
    data = bytes(range(256)) * 10
    stream = ByteStream(Pipe(data))
    stream.seek(-100, 2)
    assert stream.read(200) == data[-100:]
    monkeypatch.setattr("engine.byte_stream.MAX_UNSEEKABLE_BYTES", len(data) - 1)
    with pytest.raises(AudioError, match="save it to a file"):
        ByteStream(Pipe(data))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (io.StringIO("text"), "'rb'"),
        (io.BytesIO(b""), "no data"),
        (Pipe(b""), "no data"),
        (object(), "no attribute 'read'"),
    ],
)
def test_what_is_no_binary_file_is_refused(file, reason):
    with pytest.raises(AudioError, match=reason):
        ByteStream(file)


def test_a_closed_file_and_one_at_its_end_are_refused():
    closed = io.BytesIO(b"abc")
    closed.close()
    with pytest.raises(AudioError, match="closed file"):
        ByteStream(closed)
    ended = io.BytesIO(b"abc")
    ended.read()
    with pytest.raises(AudioError, match=r"seek\(0\)"):
        ByteStream(ended)


def test_errors_are_kept_and_too_long_answers_are_cut():
    class Odd(io.BytesIO):
        fails = False

        def read(self, count=-1):
            if self.fails:
                raise KeyboardInterrupt
            return super().read(count) + b"more than asked for" * (count > 0)

    file = Odd(b"0123456789")
    stream = ByteStream(file)
    assert stream.read(4) == b"0123"
    assert stream.tell() == 4
    file.fails = True
    assert stream.read(4) == b""
    assert isinstance(stream.error, KeyboardInterrupt)
    assert stream.seek(0) == stream.tell() == 10  # at the end, where no reader waits for more


def test_data_that_ends_before_its_announced_end_is_an_error():
    class Promising(io.BytesIO):
        def seek(self, offset, whence=0):
            return super().seek(offset, whence) + 5 * (whence == 2)

    stream = ByteStream(Promising(b"0123456789"))
    assert stream.read(99) == b"0123456789"
    assert stream.error is None
    assert stream.read(99) == b""
    assert "ends before the end" in str(stream.error)

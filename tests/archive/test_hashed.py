"""Hashing while reading: the bytes and the hash of the file, each block read once, whoever jumps about in it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.archive import hashed, items
from engine.archive.hashed import HashedFile
from engine.archive.items import Item, Opener
from engine.audio import open_recording

BLOCK = 64


class Counted:
    """A file that tells which bytes were asked of it, and gives them in two pieces."""

    def __init__(self, file):
        self._file = file
        self.fileno, self.seek = file.fileno, file.seek
        self.read_bytes = 0

    def read(self, count):
        data = self._file.read(max(1, count // 2))
        self.read_bytes += len(data)
        return data


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(hashed, "BLOCK_BYTES", BLOCK)


@given(
    size=st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK + 3]),
    steps=st.lists(st.tuples(st.integers(-10, 600), st.integers(0, 2), st.integers(-1, 300))),
)
@settings(max_examples=60, deadline=None)
def test_it_reads_as_the_file_does_and_has_its_hash(tmp_path_factory, size, steps):
    data = np.random.default_rng(size).bytes(size)
    path = tmp_path_factory.mktemp("hashed") / "file"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as raw, path.open("rb") as plain:
        file = HashedFile(Counted(raw))
        for offset, whence, count in steps:
            place = max(0, offset + (0, plain.tell(), size)[whence])
            assert file.seek(offset, whence) == plain.seek(place)
            assert file.read(count) == plain.read(count)
            assert file.tell() == plain.tell()
        assert file.sha256() == hashlib.sha256(data).hexdigest()


def test_what_is_read_in_order_is_read_once(tmp_path):
    data = bytes(range(250)) * 4
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb", buffering=0) as raw:
        counted = Counted(raw)
        file = HashedFile(counted)
        # As decoders do it: the head, the end, and then from the start.
        file.read(12)
        file.seek(-20, 2)
        file.read(20)
        file.seek(0)
        read = b"".join(iter(lambda: file.read(33), b""))
        assert read == data
        assert file.sha256() == hashlib.sha256(data).hexdigest()
        # The last block was read when it was jumped to, and perhaps again when its turn came.
        assert len(data) <= counted.read_bytes <= len(data) + BLOCK


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_a_decoder_reads_a_recording_once(tmp_path, monkeypatch, kind, subtype):
    monkeypatch.setattr(hashed, "BLOCK_BYTES", 1 << 13)
    monkeypatch.setattr(items, "WHOLE_BYTES", 0)
    path = tmp_path / "a"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-0.5, 0.5, 200_000), 44100, format=kind, subtype=subtype)
    read = []
    full = hashed.read_full
    monkeypatch.setattr(hashed, "read_full", lambda file, count: read.append(count) or full(file, count))
    with Opener() as opener, opener.open(Item(str(path))) as (source, sha256):
        recording = open_recording(source)
        while len(recording.read()):
            pass
        recording.close()
        assert sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    size = path.stat().st_size
    assert size > 5 << 13
    # A Vorbis decoder looks at the end, and at places in between, before it begins.
    assert size <= sum(read) <= size + (6 << 13 if kind == "OGG" else 0)


def test_a_small_file_is_read_at_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 2)), 44100, format="WAV")
    monkeypatch.setattr(items, "WHOLE_BYTES", path.stat().st_size)
    read = []
    full = items.read_full
    monkeypatch.setattr(items, "read_full", lambda file, count: read.append(count) or full(file, count))
    with Opener() as opener, opener.open(Item(str(path))) as (source, sha256):
        # It is in memory: what becomes of the file changes nothing.
        before = path.read_bytes()
        path.write_bytes(b"another")
        assert source.read() == before
        assert sha256() == hashlib.sha256(before).hexdigest()
    assert read == [len(before)]


def test_a_file_that_becomes_shorter_ends_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(5 * BLOCK))
    with path.open("rb", buffering=0) as raw:
        file = HashedFile(raw)
        path.write_bytes(bytes(BLOCK + 5))
        assert len(file.read()) == BLOCK + 5
        assert file.read(1) == b""
        assert file.sha256() == hashlib.sha256(bytes(BLOCK + 5)).hexdigest()

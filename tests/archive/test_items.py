"""Opening items: whatever they lie in, the same bytes with their hash, read once."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import tempfile
import threading
import tracemalloc
import zipfile

import fsspec
import numpy as np
import pytest

from engine.archive import containers, items
from engine.archive.items import Item, Opener
from engine.archive.recorded import recorded_at
from engine.audio import load
from engine.errors import AudioError, ConfigError
from tests.archive.containers_written import tarred, zipped
from tests.encoded_audio import Failing, encoded, noise

DATA = encoded(noise(3000))


def read(uri):
    with Opener() as opener, opener.open(Item(str(uri))) as (source, sha256):
        data = source.read()
        assert sha256() == hashlib.sha256(data).hexdigest()
    return data


def refusal(uri, error=AudioError):
    with pytest.raises(error) as caught:
        read(uri)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert "\n" not in message
    return message


def places(folder, memory):
    (folder / "a.wav").write_bytes(DATA)
    memory.pipe("/bucket/day/a.wav", DATA)
    memory.pipe("/bucket/a.zip", zipped(folder / "m.zip", {"b.txt": b"b", "day/a.wav": DATA}).read_bytes())
    return [
        str(folder / "a.wav"),
        f"file://{folder}/a.wav",
        "memory://bucket/day/a.wav",
        f"zip://day/a.wav::{zipped(folder / 'a.zip', {'b.txt': b'b', 'day/a.wav': DATA})}",
        f"zip://a.wav::{zipped(folder / 'stored.zip', {'a.wav': DATA}, zipfile.ZIP_STORED)}",
        "zip://day/a.wav::memory://bucket/a.zip",
        *(
            f"tar://day/a.wav::{tarred(folder / f'a.tar{end}', {'b.txt': b'b', 'day/a.wav': DATA}, f'w:{end[1:]}')}"
            for end in ("", ".gz", ".bz2", ".xz")
        ),
    ]


def test_every_place_gives_the_same_bytes_and_sound(tmp_path, memory):
    with Opener() as opener:
        for uri in places(tmp_path, memory):
            assert read(uri) == DATA
            with opener.open(Item(uri)) as (source, _):
                recorded_at(uri, source)
                samples, rate = load(source)
            assert rate == 8000
            np.testing.assert_array_equal(samples, load(DATA)[0])


def test_the_spelling_is_fsspecs(tmp_path, memory):
    for uri in places(tmp_path, memory)[1:]:
        with fsspec.open(uri) as file:
            assert file.read() == DATA


def test_a_store_is_read_once_in_order(memory, monkeypatch):
    memory.pipe("/a.wav", DATA * 1000)
    calls = []

    class Forward:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def read(self, n_bytes):
            calls.append(self._file.tell())
            return self._file.read(n_bytes)

    monkeypatch.setattr(items, "open_url", lambda url: Forward(fsspec.open(url).open()))
    assert read("memory://a.wav") == DATA * 1000
    assert calls == sorted(set(calls))


def test_large_items_go_to_disk_and_vanish(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(items, "SPOOL_BYTES", 1 << 20)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = bytes(5 << 20)
    memory.pipe("/large.wav", data)
    with Opener() as opener, opener.open(Item("memory://large.wav")) as (source, _):
        assert source._rolled
        assert source.read() == data
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_left_some_room(memory, monkeypatch):
    monkeypatch.setattr(items, "SPOOL_BYTES", 1 << 20)
    monkeypatch.setattr(items, "SPARED_BYTES", 1 << 60)
    memory.pipe("/large.wav", bytes(3 << 20))
    assert "expected room in" in refusal("memory://large.wav")
    memory.pipe("/small.wav", bytes(1 << 20))
    assert len(read("memory://small.wav")) == 1 << 20


def test_a_zip_bomb_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(items, "SPOOL_BYTES", 1 << 20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("bomb.wav", "w") as member:
        for _ in range(100):
            member.write(bytes(1 << 20))
    largest = 0
    real = items._check_room

    def check(uri, n_bytes):
        nonlocal largest
        largest = max(largest, n_bytes)
        if n_bytes > 10 << 20:
            monkeypatch.setattr(items, "SPARED_BYTES", 1 << 60)
        real(uri, n_bytes)

    monkeypatch.setattr(items, "_check_room", check)
    assert "expected room in" in refusal(f"zip://bomb.wav::{path}")
    assert largest <= 11 << 20


def test_a_container_is_opened_once(tmp_path, monkeypatch):
    names = [f"{k}.wav" for k in range(20)]
    opened = []
    real = containers.open_container
    monkeypatch.setattr(items, "open_container", lambda *place: opened.append(place) or real(*place))
    first = tarred(tmp_path / "a.tar.gz", {name: name.encode() for name in names}, "w:gz")
    second = zipped(tmp_path / "b.zip", {name: name.encode() for name in names})
    with Opener() as opener:
        for kind, path in (("tar", first), ("zip", second)):
            for name in names:
                with opener.open(Item(f"{kind}://{name}::{path}")) as (source, _):
                    assert source.read() == name.encode()
    assert opened == [("tar", str(first)), ("zip", str(second))]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_a_tar_file_in_any_order(tmp_path, mode):
    names = [f"{k}.wav" for k in range(9)]
    path = tarred(tmp_path / "a.tar", {name: name.encode() * 600 for name in names}, mode)
    with Opener() as opener:
        for k in (3, 8, 0, 0, 5, 4, 7, 8, 1):
            with opener.open(Item(f"tar://{k}.wav::{path}")) as (source, _):
                assert source.read() == names[k].encode() * 600


def test_a_tar_file_is_read_forward_once(tmp_path, monkeypatch):
    names = [f"{k}.wav" for k in range(50)]
    path = tarred(tmp_path / "a.tar.gz", {name: os.urandom(3000) for name in names}, "w:gz")
    read_bytes = 0

    class Counting(io.FileIO):
        def readinto(self, buffer):
            nonlocal read_bytes
            count = super().readinto(buffer)
            read_bytes += count
            return count

    monkeypatch.setattr(containers, "open", lambda name, mode: io.BufferedReader(Counting(name)), raising=False)
    with Opener() as opener:
        for name in names:
            with opener.open(Item(f"tar://{name}::{path}")) as (source, _):
                assert len(source.read()) == 3000
    # Once, and a little to find out how it is compressed.
    assert read_bytes < 1.5 * path.stat().st_size


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_damage_in_a_tar_file_leaves_what_lies_before(tmp_path, mode):
    names = [f"{k}.wav" for k in range(6)]
    path = tarred(tmp_path / "a.tar", {name: os.urandom(5000) for name in names}, mode)
    path.write_bytes(path.read_bytes()[:18_000])
    with Opener() as opener:
        for k in (1, 0, 5, 0, 3, 1):
            try:
                with opener.open(Item(f"tar://{k}.wav::{path}")) as (source, _):
                    assert len(source.read()) == 5000
                assert k < 3
            except AudioError:
                assert k >= 3


def test_a_container_is_opened_again_after_an_error(tmp_path, memory, monkeypatch):
    names = [f"{k}.wav" for k in range(4)]
    memory.pipe("/a.zip", zipped(tmp_path / "a.zip", dict.fromkeys(names, DATA), zipfile.ZIP_STORED).read_bytes())
    handles = []

    def open_url(url):
        # The first connection is lost for good after some reads.
        handles.append(Failing(memory.cat("/a.zip"), ConnectionError("reset by peer"), 40 if not handles else 10**9))
        return handles[-1]

    monkeypatch.setattr(containers, "open_url", open_url)
    results = []
    with Opener() as opener:
        for name in names * 10:
            try:
                with opener.open(Item(f"zip://{name}::memory://a.zip")) as (source, _):
                    results.append(source.read() == DATA)
            except AudioError as error:
                results.append(str(error))
    assert results.count(True) == 39
    assert sum("ConnectionError: reset by peer" in str(result) for result in results) == 1
    assert len(handles) == 2


def test_a_long_tar_file_takes_no_more_memory(tmp_path):
    peaks = []
    for n_members in (200, 4000):
        path = tarred(tmp_path / f"{n_members}.tar", {f"{k:05}.wav": b"a" for k in range(n_members)})
        tracemalloc.start()
        with contextlib.closing(containers.open_container("tar", str(path))) as container:
            assert sum(1 for _ in container.members()) == n_members
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_members_that_cannot_be_read(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.wav": os.urandom(5000), "b.wav": b"b", "none.wav": b""}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    assert "Bad CRC-32" in refusal(f"zip://a.wav::{path}")
    assert read(f"zip://b.wav::{path}") == b"b"
    assert "expected a member 'c.wav'" in refusal(f"zip://c.wav::{path}")
    assert "empty (0 bytes)" in refusal(f"zip://none.wav::{path}")
    assert "expected a member 'c.wav'" in refusal(f"tar://c.wav::{tarred(tmp_path / 'a.tar', {'a.wav': b'a'})}")


def test_encrypted_members(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.wav": b"a"})
    data = path.read_bytes()
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(signature) + offset
        data = data[:place] + bytes([data[place] | 1]) + data[place + 1 :]
    path.write_bytes(data)
    assert "encrypted" in refusal(f"zip://a.wav::{path}")


def test_an_unknown_compression(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.wav": b"a" * 100})
    data = path.read_bytes().replace(b"\x08\0", b"\x63\0")
    path.write_bytes(data)
    assert "NotImplementedError" in refusal(f"zip://a.wav::{path}")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_containers_that_are_none(tmp_path, kind):
    path = tmp_path / "x"
    for data in (b"", b"no container" * 1000, b"PK\x03\x04", b"\x1f\x8b\x08"):
        path.write_bytes(data)
        refusal(f"{kind}://a.wav::{path}")
        refusal(f"{kind}://::{path}")
    refusal(f"{kind}://a.wav::{tmp_path / 'missing'}")


def test_whole_containers_say_what_is_wrong_with_them(tmp_path):
    names = [f"{k}.wav" for k in range(6)]
    path = tarred(tmp_path / "a.tar", dict.fromkeys(names, bytes(5000)))
    assert "can be listed now" in refusal(f"tar://::{path}")
    whole = path.read_bytes()
    path.write_bytes(whole[:18_000])
    assert "unexpected end of data" in refusal(f"tar://::{path}")
    path.write_bytes(whole[: 5632 * 6])
    assert "no end of the archive at byte 33792" in refusal(f"tar://::{path}")
    path.write_bytes(whole[:5632] + b"x" * 100 + whole[5732:])
    assert "no end of the archive at byte 5632" in refusal(f"tar://::{path}")
    path.write_bytes(whole + whole)
    assert "joined to it" in refusal(f"tar://::{path}")


def test_whatever_a_store_raises_is_an_audio_error(memory, monkeypatch):
    class StoreError(Exception):
        pass

    class Failing(io.BytesIO):
        def read(self, *_):
            raise StoreError("the session has expired\nin the second line")

    assert "FileNotFoundError" in refusal("memory://missing.wav")
    monkeypatch.setattr(items, "open_url", lambda url: Failing())
    assert "StoreError: the session has expired in the second line" in refusal("memory://a.wav")


def test_local_files_that_cannot_be_read(tmp_path, monkeypatch):
    assert "No such file" in refusal(tmp_path / "missing.wav")
    assert "which can be listed now" in refusal(tmp_path)
    assert "null" in refusal("a\0b.wav")

    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", denied)
    assert "Permission denied" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    caught = []
    thread = threading.Thread(target=lambda: caught.append(refusal(tmp_path / "a.wav")), daemon=True)
    thread.start()
    thread.join(10)
    assert "pipe or a device" in caught[0]
    assert "pipe or a device" in refusal("/dev/zero")


def test_missing_packages_are_named(monkeypatch):
    assert "pip install s3fs" in refusal("s3://bucket/a.wav", ConfigError) or "s3fs" in sys.modules
    assert "expected a path, zip://, tar:// or one of memory://" in refusal("http://example.org/a.wav", ConfigError)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "pip install 'sound-engine[archive]'" in refusal("s3://bucket/a.wav", ConfigError)

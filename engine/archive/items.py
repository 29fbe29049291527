"""What an archive is made of: recordings by name, opened one at a time with the hash of their bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self

from engine.archive.containers import open_container
from engine.archive.hashed import HashedFile, read_full
from engine.archive.remote import open_url
from engine.archive.uri import is_url, member_of
from engine.errors import AudioError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from _typeshed import WriteableBuffer

    from engine.archive.containers import Container
    from engine.archive.uri import Member

_BLOCK_BYTES = 1 << 20
# A file of this size or less is read at once: a decoder's many small reads then find it in memory.
WHOLE_BYTES = 4 << 20
# What lies in a container or an object store is held in memory up to this, and in a temporary file beyond.
SPOOL_BYTES = 64 << 20
# Left free on the disk of temporary files.
SPARED_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of an archive.

    Attributes
    ----------
    uri : str
        Its name, and how it is opened: a path, a URL such as ``s3://bucket/a.wav``, or ``zip://MEMBER::CONTAINER`` and
        ``tar://MEMBER::CONTAINER``, as fsspec spells them too.
    size : int or None
        In bytes, where known without opening it.
    modified : float or None
        Seconds since 1970, where known.
    """

    uri: str
    size: int | None = None
    modified: float | None = None


class Opened(NamedTuple):
    """An item that is open: a binary file, and what returns the SHA-256 of its bytes as 64 hexadecimal digits.

    The bytes of a file are hashed while they are read; asking for the hash reads those that were not, and may fail as
    reading does.
    """

    source: Any
    sha256: Callable[[], str]


class Opener:
    """Opens items one after another; a container stays open from one of its members to the next.

    A file is read where it lies. Anything else is read once, from start to end, into a temporary file: decoders seek.
    """

    def __init__(self) -> None:
        self._held: tuple[tuple[str, str], Container] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the container that is open; the opener can still be used."""
        held, self._held = self._held, None
        if held is not None:
            held[1].close()

    @contextlib.contextmanager
    def open(self, item: Item) -> Iterator[Opened]:
        """Give an item as a binary file that can seek, with the way to the hash of its bytes.

        Raises
        ------
        AudioError
            The item cannot be opened, or, where it is not a file, not be read to its end.
        ConfigError
            The package for its kind of URL is missing.
        """
        if not is_url(item.uri):
            with _opened(item.uri) as file:
                size = os.fstat(file.fileno()).st_size
                if size <= WHOLE_BYTES:
                    with _explained(item.uri):
                        data = read_full(file, size)
                    yield Opened(io.BytesIO(data), hashlib.sha256(data).hexdigest)
                    return
                hashed = HashedFile(file)
                yield Opened(_Explained(hashed, item.uri), hashed.sha256)
            return
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            sha256 = self._fill(spool, item.uri)
            yield Opened(spool, lambda: sha256)

    def _fill(self, spool: Any, uri: str) -> str:
        digest = hashlib.sha256()
        try:
            with _explained(uri), self._stream(uri) as stream:
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
                    _check_room(uri, spool.tell() + len(block))
                    spool.write(block)
        except BaseException:
            if member_of(uri) is not None:
                self.close()
            raise
        if spool.tell() == 0:
            raise AudioError(f"expected a recording, got {uri!r}, which is empty (0 bytes); replace it")
        spool.seek(0)
        return digest.hexdigest()

    def _stream(self, uri: str) -> Any:
        member = member_of(uri)
        if member is None:
            return open_url(uri)
        container = self._container(member)
        if not member.name:
            _check_whole(container, member)
        return container.open(member.name)

    def _container(self, member: Member) -> Container:
        place = (member.kind, member.container)
        if self._held is None or self._held[0] != place:
            self.close()
            self._held = place, open_container(*place)
        return self._held[1]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a recording that is a file; an AudioError says why there is none."""
    with _explained(path):
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            os.listdir(path)  # noqa: PTH208 - raises what is wrong with it
            raise AudioError(
                f"expected a recording, got the folder {path!r}, which can be listed now if it could not before; run "
                "again with --resume and the same inputs to add what is in it"
            )
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"expected a recording, got {path!r}, which is a pipe or a device; save it to a file")
        if status.st_size == 0:
            raise AudioError(f"expected an audio file, got {path!r}, which is empty (0 bytes); replace the file")
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - what is done with it is not explained by this
    with file:
        yield file


class _Explained:
    """A file that raises nothing but AudioErrors where it is read."""

    def __init__(self, file: HashedFile, path: str) -> None:
        self._file = file
        self._path = path
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        with _explained(self._path):
            return self._file.read(count)

    def readinto(self, buffer: WriteableBuffer) -> int:
        with _explained(self._path):
            return self._file.readinto(buffer)


def _check_whole(container: Container, member: Member) -> None:
    """Say what is wrong with a container that could not be listed to its end."""
    for _ in container.members():
        pass
    raise AudioError(
        f"expected a recording, got {member.container!r}, which can be listed now if it could not before; "
        "run again with --resume and the same inputs to add what is in it"
    )


def _check_room(uri: str, n_bytes: int) -> None:
    if n_bytes <= SPOOL_BYTES:
        return
    folder = tempfile.gettempdir()
    if shutil.disk_usage(folder).free < SPARED_BYTES:
        raise AudioError(
            f"expected room in {folder} for {uri!r}, got less than {SPARED_BYTES >> 20} MiB behind its first "
            f"{n_bytes >> 20} MiB; let TMPDIR name a folder with more"
        )


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what reading raises into an AudioError: file systems and container readers raise whatever they like."""
    try:
        yield
    except (EngineError, MemoryError):
        raise
    except Exception as error:
        raise AudioError(
            f"expected to read {uri!r}, got {reason(error)}; see that it is there, intact and may be read, then run "
            "again with --retry-failed"
        ) from error


def reason(error: Exception) -> str:
    """Return in one line what an exception says."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

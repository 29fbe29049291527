"""Zip and tar files, read member by member without unpacking."""

from __future__ import annotations

import contextlib
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from engine.archive.remote import open_url
from engine.archive.uri import is_url
from engine.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAR_BLOCK = 512
_DRAIN_BYTES = 1 << 20
CONTAINER_SUFFIXES = {".zip": "zip", **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), "tar")}


class Listed(NamedTuple):
    """A file in a container: its name, its size in bytes and, where known, when it was changed (seconds since 1970)."""

    name: str
    size: int
    modified: float | None


class Container(Protocol):
    """A zip or tar file that is open. What its reader raises passes through."""

    def members(self) -> Iterator[Listed]:
        """Give the files, in their order in the container; links are left out, what they name is a member itself."""

    def open(self, name: str) -> Any:
        """Return a binary file object for a member."""

    def close(self) -> None:
        """Release the container."""


def container_kind(name: str) -> str | None:
    """Return "zip" or "tar" for a name that ends as such a file's does, None for others."""
    return next((kind for suffix, kind in CONTAINER_SUFFIXES.items() if name.lower().endswith(suffix)), None)


def open_container(kind: str, location: str) -> Container:
    """Open a zip or tar file at a path or URL."""
    with contextlib.ExitStack() as undo:
        file = open_url(location) if is_url(location) else open(location, "rb")  # noqa: PTH123, SIM115
        undo.callback(file.close)
        container = _ZipContainer(file) if kind == "zip" else _TarContainer(file)
        undo.pop_all()
    return container


class _ZipContainer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file)

    def members(self) -> Iterator[Listed]:
        for info in self._zip.infolist():
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                # The time that a zip file keeps has no time zone.
                yield Listed(info.filename, info.file_size, None)

    def open(self, name: str) -> Any:
        try:
            info = self._zip.getinfo(name)
        except KeyError:
            raise _missing(name) from None
        return self._zip.open(info)

    def close(self) -> None:
        self._zip.close()
        self._file.close()


class _TarContainer:
    """Read forward, since a compressed file knows no other way; members that are asked for in order cost one pass."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rewind()

    def members(self) -> Iterator[Listed]:
        self._rewind()
        while (info := self._next()) is not None:
            if info.isreg():
                yield Listed(info.name, info.size, float(info.mtime))
        self._check_end()

    def open(self, name: str) -> Any:
        if self._moved:
            # Damage further on says nothing of what lies before.
            with contextlib.suppress(Exception):
                if (info := self._find(name)) is not None:
                    return self._tar.extractfile(info)
            self._rewind()
        info = self._find(name)
        if info is None:
            raise _missing(name)
        return self._tar.extractfile(info)

    def close(self) -> None:
        self._tar.close()
        self._file.close()

    def _rewind(self) -> None:
        self._file.seek(0)
        self._tar = tarfile.open(fileobj=self._file, mode="r:*", encoding="utf-8")  # noqa: SIM115
        self._moved = False

    def _find(self, name: str) -> tarfile.TarInfo | None:
        while (info := self._next()) is not None:
            if info.name == name and info.isreg():
                return info
        return None

    def _next(self) -> tarfile.TarInfo | None:
        self._moved = True
        info = self._tar.next()
        # tarfile remembers every member that it has passed.
        members: list[tarfile.TarInfo] = vars(self._tar)["members"]
        members.clear()
        return info

    def _check_end(self) -> None:
        """Raise an error where a tar file does not say that it ends; tarfile takes a damaged header for the end."""
        file: Any = self._tar.fileobj
        file.seek(self._tar.offset)
        block = file.read(_TAR_BLOCK)
        if len(block) < _TAR_BLOCK or block.strip(b"\0"):
            raise tarfile.ReadError(f"no end of the archive at byte {self._tar.offset}, it is cut off or damaged there")
        while block := file.read(_DRAIN_BYTES):
            if block.strip(b"\0"):
                raise tarfile.ReadError("data behind the end of the archive, which may be another one joined to it")


def _missing(name: str) -> AudioError:
    return AudioError(f"expected a member {name!r}, the container has none of that name; scan it again")

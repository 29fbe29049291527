"""Where an archive is written: a folder of a file system, or a prefix of an object store.

Files take their names whole or not at all in both: in a folder by a rename, in an object store because an object is
there when its upload is complete. What is read of an object store is fetched to a temporary file first.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.archive.durable import PARTIAL, remove_partial, replace_paths, writing
from engine.archive.lease import lease
from engine.archive.locks import file_lock
from engine.archive.remote import filesystem
from engine.archive.uri import check_storable, is_url
from engine.errors import ArchiveError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

PARTIAL_PREFIX = "partial."


def is_partial(name: str) -> bool:
    """Return whether a name is that of a file that was not finished."""
    return name.startswith(PARTIAL_PREFIX) or name.endswith(PARTIAL)


class Place(Protocol):
    """A folder of files with names such as "windows/000000.parquet"."""

    def __str__(self) -> str:
        """Return what a user calls it."""

    def prepare(self, *folders: str) -> None:
        """Make the place and these folders in it, where that is needed; an ``OSError`` where it cannot be done."""

    def names(self, folder: str = "") -> list[str]:
        """Return the last parts of the names of what a folder holds, folders included; nothing where there is none."""

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, None where there is none."""

    def reading(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give a file under a path of this machine; a FileNotFoundError where there is none."""

    def replaced(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """Give the path of a file to make; it takes its name when the block ends, and vanishes if that raises.

        An ArchiveError where it cannot be written.
        """

    def replaced_together(self, *names: str) -> contextlib.AbstractContextManager[list[Path]]:
        """Give the paths of files to make, as ``replaced``; they take their names one after another."""

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""

    def sweep(self, *folders: str) -> None:
        """Remove what processes that were killed have left in the place and in these folders."""

    def locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold the place for writing; a ConfigError where another run does."""


def out_of(folder: str | os.PathLike[str]) -> Path | str:
    """Return what a user names as a URL or as a path."""
    return str(folder) if is_url(str(folder)) else Path(folder)


def place_of(out: Path | str) -> Place:
    """Return the place for a path or a URL; a ConfigError for a URL that cannot be used here."""
    name = str(out)
    if not is_url(name):
        return Folder(Path(name))
    check_storable(name)
    return ObjectStore(name)


class Folder:
    """A folder of a file system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def prepare(self, *folders: str) -> None:
        """Make the place and these folders."""
        for folder in ("", *folders):
            (self.path / folder).mkdir(parents=True, exist_ok=True)

    def names(self, folder: str = "") -> list[str]:
        """Return the last parts of the names of what a folder holds."""
        try:
            return [path.name for path in (self.path / folder).iterdir()]
        except FileNotFoundError:
            return []

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, None where there is none."""
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give a file under a path of this machine."""
        yield self.path / name

    @contextlib.contextmanager
    def replaced(self, name: str) -> Iterator[Path]:
        """Give the path of a file to make; it takes its name when the block ends."""
        with self.replaced_together(name) as (path,):
            yield path

    @contextlib.contextmanager
    def replaced_together(self, *names: str) -> Iterator[list[Path]]:
        """Give the paths of files to make; they take their names in their order when the block ends."""
        with writing(self.path), replace_paths(*(self.path / name for name in names)) as paths:
            yield paths

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        (self.path / name).unlink(missing_ok=True)

    def sweep(self, *folders: str) -> None:
        """Remove what was not finished."""
        for folder in ("", *folders):
            remove_partial(self.path / folder)

    def locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold the place for writing."""
        return file_lock(
            self.path / name, f"expected to write {self.path} alone", "wait for it or choose another folder"
        )


class ObjectStore:
    """A prefix of an object store, through fsspec."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._files, self._root = filesystem(self._url)

    def __str__(self) -> str:
        return self._url

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectStore, (self._url,)

    def prepare(self, *folders: str) -> None:
        """Make the place and these folders."""
        with self._writing():
            for folder in ("", *folders):
                self._files.makedirs(self._at(folder), exist_ok=True)

    def names(self, folder: str = "") -> list[str]:
        """Return the last parts of the names of what a folder holds."""
        try:
            return [path.rstrip("/").rpartition("/")[2] for path in self._files.ls(self._at(folder), detail=False)]
        except FileNotFoundError:
            return []

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, None where there is none."""
        try:
            return int(self._files.info(self._at(name))["size"])
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """Give a file under a path of this machine."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            self._files.get_file(self._at(name), str(path))
            yield path

    @contextlib.contextmanager
    def replaced(self, name: str) -> Iterator[Path]:
        """Give the path of a file to make; it takes its name when the block ends."""
        with self.replaced_together(name) as (path,):
            yield path

    @contextlib.contextmanager
    def replaced_together(self, *names: str) -> Iterator[list[Path]]:
        """Give the paths of files to make; they take their names in their order when the block ends."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}" for number in range(len(names))]
            with writing(Path(folder)):
                yield paths
            with self._writing():
                for path, name in zip(paths, names, strict=True):
                    self._put(path, name)

    def _put(self, path: Path, name: str) -> None:
        # What is a file system after all shows a file while it is written.
        if "file" not in self._files.protocol:
            self._files.put_file(str(path), self._at(name))
            return
        partial = f"{PARTIAL_PREFIX}{path.parent.name}"
        folder, _, last = self._at(name).rpartition("/")
        self._files.put_file(str(path), f"{folder}/{partial}")
        self._files.mv(f"{folder}/{partial}", f"{folder}/{last}")

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._at(name))

    def sweep(self, *folders: str) -> None:
        """Remove what was not finished."""
        with self._writing():
            for folder in ("", *folders):
                for name in self.names(folder):
                    if name.startswith(PARTIAL_PREFIX):
                        self.remove(f"{folder}/{name}".lstrip("/"))

    def locked(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Hold the place for writing."""
        return lease(self._files, self._at(name), self._url)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the store raises, which may be anything, into an ArchiveError."""
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ArchiveError(
                f"expected to write {self._url}, got {reason}; check the store and the credentials, then run again "
                "with --resume"
            ) from error

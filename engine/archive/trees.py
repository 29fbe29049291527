"""Folders on disk and in object stores, listed alike: sorted, one folder at a time."""

from __future__ import annotations

import glob
import os
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from engine.archive.items import Item
from engine.archive.remote import filesystem, open_url

if TYPE_CHECKING:
    from collections.abc import Iterator


# What the stores call the time of the last change: s3fs, gcsfs and local files, adlfs, memory.
_CHANGED = ("LastModified", "mtime", "last_modified", "created")


class Entry(NamedTuple):
    """What a folder holds: a name, where it is, and the item that it is; None for a folder."""

    name: str
    place: str
    item: Item | None


class Tree(Protocol):
    """Somewhere with folders and files. What it raises is an ``OSError``, or whatever an object store raises."""

    def place(self, name: str) -> str:
        """Return where a name leads, the same from everywhere."""

    def kind(self, place: str) -> str | None:
        """Return "file" or "folder" for what there is at a place, None for nothing."""

    def item(self, place: str) -> Item:
        """Return the item for a file, also for one that is not there."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Give what a folder holds, sorted by name; hidden files and folders left out."""

    def matches(self, pattern: str) -> list[str]:
        """Return the places that match a pattern with ``*``, ``?``, ``[]`` and ``**``, sorted."""

    def beside(self, place: str, name: str) -> str:
        """Return the place that a relative name means in the folder of another place."""

    def identity(self, place: str) -> str:
        """Return what is the same for two names of one folder or file."""

    def open(self, place: str) -> Any:
        """Return a binary file object."""


class LocalTree:
    """The files of this machine; a place is an absolute path."""

    def __init__(self) -> None:
        self._real_folder = lru_cache(maxsize=1024)(os.path.realpath)

    def place(self, name: str) -> str:
        """Return the absolute path; ``..`` is kept, it may lead through a link."""
        return str(Path(name).absolute())

    def kind(self, place: str) -> str | None:
        """Return "file" or "folder", None for nothing."""
        try:
            Path(place).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return "folder" if Path(place).is_dir() else "file"

    def item(self, place: str) -> Item:
        """Return the item for a file, also for one that is not there."""
        try:
            status = os.stat(place)  # noqa: PTH116 - once per file; a Path takes three times as long
        except (OSError, ValueError):
            return Item(place)
        return Item(place, status.st_size, status.st_mtime)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Give what a folder holds; links to folders are folders."""
        with os.scandir(folder) as found:
            names = sorted((entry.name, _is_folder(entry)) for entry in found if not entry.name.startswith("."))
        for name, is_folder in names:
            place = os.path.join(folder, name)  # noqa: PTH118
            yield Entry(name, place, None if is_folder else self.item(place))

    def matches(self, pattern: str) -> list[str]:
        """Return the paths that match."""
        # Matched before it is made absolute: the folder that a relative pattern starts from may look like one.
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        return [self.place(name) for name in found]

    def beside(self, place: str, name: str) -> str:
        """Return the path of a name in a list."""
        return os.path.join(os.path.dirname(place), name)  # noqa: PTH118, PTH120

    def identity(self, place: str) -> str:
        """Return the path without links."""
        if os.path.islink(place):  # noqa: PTH114
            return os.path.realpath(place)
        folder, name = os.path.split(place)
        return os.path.normcase(f"{self._real_folder(folder)}/{name}")

    def open(self, place: str) -> Any:
        """Return a binary file object."""
        return Path(place).open("rb")


class RemoteTree:
    """An object store; a place is a URL."""

    def __init__(self, url: str) -> None:
        self._scheme = url.partition("://")[0]
        self._files, _ = filesystem(url)

    def place(self, name: str) -> str:
        """Return the URL."""
        return name

    def kind(self, place: str) -> str | None:
        """Return "file" or "folder", None for nothing."""
        try:
            return "folder" if self._files.info(place)["type"] == "directory" else "file"
        except FileNotFoundError:
            return None

    def item(self, place: str) -> Item:
        """Return the item for a file, also for one that is not there."""
        try:
            return self._item(self._files.info(place))
        except FileNotFoundError:
            return Item(place)

    def entries(self, folder: str) -> Iterator[Entry]:
        """Give what lies directly under a prefix."""
        for info in sorted(self._files.ls(folder, detail=True), key=lambda info: info["name"].rstrip("/")):
            path = info["name"].rstrip("/")
            name = path.rpartition("/")[2]
            if not name.startswith("."):
                yield Entry(name, self._url(path), None if info["type"] == "directory" else self._item(info))

    def matches(self, pattern: str) -> list[str]:
        """Return the URLs that match."""
        return [self._url(path) for path in sorted(self._files.glob(pattern))]

    def beside(self, place: str, name: str) -> str:
        """Return the URL of a name in a list."""
        return f"{place.rpartition('/')[0]}/{name}"

    def identity(self, place: str) -> str:
        """Return the path in the store."""
        return self._url(self._files._strip_protocol(place))  # noqa: SLF001

    def open(self, place: str) -> Any:
        """Return a binary file object."""
        return open_url(place)

    def _url(self, path: str) -> str:
        return f"{self._scheme}://{path if self._scheme == 'file' else path.lstrip('/')}"

    def _item(self, info: dict[str, Any]) -> Item:
        changed = next((info[key] for key in _CHANGED if key in info), None)
        if isinstance(changed, datetime):
            changed = changed.timestamp()
        modified = float(changed) if isinstance(changed, int | float) else None
        return Item(self._url(info["name"]), info.get("size"), modified)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads nowhere, or to itself: what opens it says so

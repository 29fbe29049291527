"""The inputs of an archive to its items: one after another, in an order that stays, each once."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.archive.containers import container_kind, open_container
from engine.archive.items import Item, reason
from engine.archive.lists import LIST_SUFFIXES, read_list
from engine.archive.remote import filesystem
from engine.archive.trees import LocalTree, RemoteTree
from engine.archive.uri import Member, check_storable, file_name, is_url, member_of
from engine.errors import AudioError, ConfigError, EngineError
from engine.scan import AUDIO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.archive.trees import Entry, Tree


def scan(
    inputs: Iterable[str | os.PathLike[str]], include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> Iterator[Item]:
    """Give the recordings that the inputs name, in the order of the inputs, sorted within each folder.

    A file that is named twice, also by way of a link, is one item. Paths become absolute. Nothing is dropped unseen: a
    folder inside an input that cannot be listed, and a container that is damaged, is an item of its own, which says
    why when it is opened.

    Parameters
    ----------
    inputs : iterable of str or os.PathLike
        - A file, whatever its name; one that ends in .csv or .parquet is a list of files in its column ``path``,
          relative to the list's folder.
        - A folder: the files with an audio suffix in it and below it, links to folders included, each folder once;
          hidden files and folders, and zip and tar files inside it, left out.
        - A zip or tar file, or ``zip://CONTAINER``, ``tar://CONTAINER``: the members with an audio suffix, in their
          order in it. ``zip://MEMBER::CONTAINER`` names one, a folder of them, or a pattern.
        - A URL of an object store such as ``s3://bucket/folder``, for any of these.
        - Something that does not exist and holds ``*``, ``?`` or ``[``: a pattern, ``**`` for any depth; what matches
          is taken as if it were named.
    include, exclude : iterable of str
        Patterns of names to take (all, without any) and not to take. They are compared with the file name and with the
        path below the input, in which ``*`` stands for any depth; case does not matter. Excluded folders are not
        entered.

    Yields
    ------
    Item

    Raises
    ------
    AudioError
        An input does not exist, cannot be read, or gives no recordings.
    ConfigError
        An input is a URL with a password, or of a kind that cannot be read here.
    """
    if isinstance(inputs, str | os.PathLike):
        raise ConfigError(f"expected a list of inputs, got {inputs!r}; write [{os.fspath(inputs)!r}]")
    choice = _Choice(include, exclude)
    seen: set[bytes] = set()
    for given in inputs:
        name = os.fsdecode(given)
        check_storable(name)
        for item, identity in _Input(name, choice).items():
            digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                yield item


class _Choice:
    """What ``include`` and ``exclude`` leave."""

    def __init__(self, include: Iterable[str], exclude: Iterable[str]) -> None:
        self._include = _compiled("include", include)
        self._exclude = _compiled("exclude", exclude)

    def takes(self, relative: str) -> bool:
        """Return whether a file is taken, by its path below the input."""
        return not self.leaves(relative) and (not self._include or _matches(self._include, relative))

    def leaves(self, relative: str) -> bool:
        """Return whether a file or folder is left out."""
        return _matches(self._exclude, relative)


def _compiled(option: str, patterns: Iterable[str]) -> list[re.Pattern[str]]:
    if isinstance(patterns, str):
        raise ConfigError(f"expected a list of patterns, got {option}={patterns!r}; write {option}=[{patterns!r}]")
    return [re.compile(fnmatch.translate(pattern), re.IGNORECASE) for pattern in patterns]


def _matches(patterns: list[re.Pattern[str]], relative: str) -> bool:
    name = relative.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(relative) for pattern in patterns)


class _Input:
    """One input, and everything that it names."""

    def __init__(self, name: str, choice: _Choice) -> None:
        self._name = name
        self._choice = choice
        self._member = member_of(name)
        location = name if self._member is None else self._member.container
        self._tree: Tree = RemoteTree(location) if is_url(location) else LocalTree()

    def items(self) -> Iterator[tuple[Item, str]]:
        """Give each item with what is the same for all of its names."""
        try:
            if self._member is None:
                yield from self._named(self._name)
            else:
                container = self._tree.place(self._member.container)
                yield from self._members(replace(self._member, container=container))
        except (EngineError, MemoryError):
            raise
        except Exception as error:
            raise AudioError(
                f"expected an input that can be read, got {self._name!r}: {reason(error)}; check that it is there and "
                "may be read"
            ) from error

    def _named(self, name: str) -> Iterator[tuple[Item, str]]:
        place = self._tree.place(name)
        kind = self._tree.kind(place)
        if kind is not None:
            yield from self._existing(place, kind)
        elif glob.has_magic(name):
            matches = self._tree.matches(name)
            if not matches:
                raise AudioError(f"expected files that match {name!r}, got none; check the pattern")
            for match in matches:
                yield from self._existing(match, self._tree.kind(match))
        else:
            raise AudioError(f"expected a file or a folder, got {name!r}, which does not exist; check the path")

    def _existing(self, place: str, kind: str | None) -> Iterator[tuple[Item, str]]:
        container = container_kind(place)
        if kind == "folder":
            yield from self._folder(place)
        elif container is not None:
            yield from self._members(Member(container, "", place))
        elif place.lower().endswith(LIST_SUFFIXES):
            with self._tree.open(place) as file:
                yield from self._list(place, read_list(file, place))
        elif self._choice.takes(file_name(place)):
            yield self._tree.item(place), self._tree.identity(place)

    def _list(self, place: str, names: Iterable[str]) -> Iterator[tuple[Item, str]]:
        local, schemes = LocalTree(), set()
        for name in names:
            check_storable(name)
            if not self._choice.takes(name.replace(os.sep, "/")):
                continue
            member = member_of(name)
            location = name if member is None else member.container
            if not (is_url(location) or Path(location).is_absolute()):
                location = self._tree.beside(place, location)
            if is_url(location) and (scheme := location.partition("://")[0]) not in schemes:
                # What cannot be read here at all is an error of the list, not of each recording.
                filesystem(location)
                schemes.add(scheme)
            identity = location if is_url(location) else local.identity(location)
            if member is not None:
                yield Item(replace(member, container=location).uri), replace(member, container=identity).uri
            else:
                # Asking an object store about every row would take longer than reading the list.
                yield Item(location) if is_url(location) else local.item(location), identity

    def _folder(self, root: str) -> Iterator[tuple[Item, str]]:
        found = False
        for entry, relative in self._walk(root):
            found = True
            if entry.item is None:
                yield Item(entry.place), entry.place
            elif self._choice.takes(relative):
                yield entry.item, self._tree.identity(entry.place)
        if not found:
            raise AudioError(f"expected audio files in the folder {root!r}, got none; name another folder or the files")

    def _walk(self, root: str) -> Iterator[tuple[Entry, str]]:
        """Give the audio files below a folder with their paths below it, and the folders that cannot be listed."""
        entered = {self._tree.identity(root)}
        stack: list[tuple[str, Iterator[Entry], Entry | None]] = [("", self._tree.entries(root), None)]
        while stack:
            prefix, entries, folder = stack[-1]
            try:
                entry = next(entries, None)
            except Exception:
                if folder is None:
                    raise
                stack.pop()
                yield folder, prefix
                continue
            if entry is None:
                stack.pop()
                continue
            relative = prefix + entry.name
            if entry.item is not None:
                if entry.name.lower().endswith(AUDIO_SUFFIXES):
                    yield entry, relative
            elif not self._choice.leaves(relative):
                identity = self._tree.identity(entry.place)
                if identity not in entered:
                    entered.add(identity)
                    stack.append((f"{relative}/", self._tree.entries(entry.place), entry))

    def _members(self, wanted: Member) -> Iterator[tuple[Item, str]]:
        if "::" in wanted.container:
            raise ConfigError(f"expected a container without '::' in its name, got {wanted.container!r}; rename it")
        if self._tree.kind(wanted.container) != "file":
            raise AudioError(f"expected a {wanted.kind} file, got {wanted.container!r}, which is none; check the path")
        identity = replace(wanted, container=self._tree.identity(wanted.container))
        found = False
        try:
            with contextlib.closing(open_container(wanted.kind, wanted.container)) as container:
                for name, size, modified in container.members():
                    relative = _below(wanted.name, name)
                    found = found or relative is not None
                    if relative is not None and self._choice.takes(relative):
                        yield Item(replace(wanted, name=name).uri, size, modified), replace(identity, name=name).uri
        except EngineError:
            raise
        except Exception:  # noqa: BLE001 - opening the item raises it again, for the list of failures
            yield Item(replace(wanted, name="").uri), replace(identity, name="").uri
        else:
            if not found:
                raise AudioError(f"expected audio files in {self._name!r}, got none; check the name")


def _below(wanted: str, name: str) -> str | None:
    """Return the path of a member below what is wanted of its container; None for one that is not wanted."""
    if name == wanted:
        return name.rpartition("/")[2]
    if any(part.startswith(".") and part not in (".", "..") for part in name.split("/")):
        return None
    if glob.has_magic(wanted):
        return name if fnmatch.fnmatchcase(name, wanted) else None
    folder = f"{wanted.rstrip('/')}/" if wanted else ""
    return name.removeprefix(folder) if name.startswith(folder) and name.lower().endswith(AUDIO_SUFFIXES) else None

"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

from engine.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTIAL = ".partial"


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write; it takes the name ``path`` when the block ends, and vanishes if that raises."""
    with replace_path(path) as partial, partial.open("wb") as file:
        yield file


@contextlib.contextmanager
def replace_path(path: Path) -> Iterator[Path]:
    """Give the name of a file to make; it is synchronised and takes the name ``path`` when the block ends."""
    with replace_paths(path) as (partial,):
        yield partial


@contextlib.contextmanager
def replace_paths(*paths: Path) -> Iterator[list[Path]]:
    """Give the names of files to make; all are synchronised, and then take their names in their order.

    They are synchronised at once, and their folders when all have their names: a file system writes its journal for
    one as for many.
    """
    # Random: on a shared file system, processes of two machines may have one number.
    partials = [path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL}") for path in paths]
    try:
        yield partials
        with ThreadPoolExecutor(len(partials)) as pool:
            list(pool.map(_sync, partials))
        for partial, path in zip(partials, paths, strict=True):
            partial.replace(path)
        for folder in dict.fromkeys(path.parent for path in paths):
            _sync_folder(folder)
    except BaseException:
        for partial in partials:
            with contextlib.suppress(OSError):  # it would hide why
                partial.unlink()
        raise


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed have left of their files."""
    for path in folder.glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(folder: Path | str) -> Iterator[None]:
    """Turn an ``OSError`` into an ArchiveError that says what cannot be written."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(
            f"expected to write {folder}, got {error.strerror or error}; make room or change its permissions, then run "
            "again with --resume"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename last; systems that cannot open folders do that themselves."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

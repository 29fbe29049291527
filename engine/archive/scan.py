"""Inputs of an archive to its items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.archive.items import Item
from engine.scan import find_audio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def scan(inputs: Iterable[str], include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Iterator[Item]:
    """Yield the items."""
    for path in find_audio(inputs):
        try:
            status = Path(path).stat()
            yield Item(str(path), status.st_size, status.st_mtime)
        except OSError:
            yield Item(str(path))

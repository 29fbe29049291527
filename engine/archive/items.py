"""What an archive is made of: recordings by name, opened one at a time with the hash of their bytes."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of an archive.

    Attributes
    ----------
    uri : str
        Its name, and how it is opened: a path, or a URL that ends in one.
    size : int or None
        In bytes, where known without opening it.
    modified : float or None
        Seconds since 1970, where known.
    """

    uri: str
    size: int | None = None
    modified: float | None = None


@contextlib.contextmanager
def open_item(item: Item) -> Iterator[tuple[Any, str]]:
    """Give what ``open_audio`` takes for an item, and the SHA-256 of its bytes.

    Raises
    ------
    OSError
        The item cannot be read.
    """
    digest = hashlib.sha256()
    with Path(item.uri).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    yield item.uri, digest.hexdigest()

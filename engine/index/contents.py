"""Vectors and items of one index: the version on disk, and changes to it that are not saved yet."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from engine.archive.arrow import pyarrow
from engine.archive.durable import writing
from engine.index.layout import locked, open_version, write_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


# Vectors that are copied at a time while a version is written: 32 MB of 128 numbers.
_COPIED = 65_536


class Contents:
    """What an index holds; made for its folder.

    New vectors wait in a file without a name, so that a build takes no more memory than its table of items.

    Attributes
    ----------
    folder : Path
    header : Header
        Set another one to have it written by ``save``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header, self._vectors, self._items = open_version(folder)
        self._held = contextlib.ExitStack()
        self._spool: BinaryIO | None = None
        self._stays: NDArray[np.bool_] | None = None
        self._added: list[Any] = []
        self._current: tuple[NDArray[np.float32], Any] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors, changes included; memory-mapped where there are none."""
        return self._state()[0] if self._is_changed else self._vectors

    @property
    def items(self) -> Any:
        """The table of items, changes included."""
        return self._table() if self._is_changed else self._items

    def begin(self) -> None:
        """Hold the index for writing until it is saved or closed, from the version that is on disk now."""
        self._current = None
        if self._spool is None:
            self._held.enter_context(locked(self.folder))
            header, vectors, items = open_version(self.folder)
            if header.version != self.header.version:
                self.header, self._vectors, self._items = header, vectors, items
            with writing(self.folder):
                spool: Any = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed with the lock
            self._spool = self._held.enter_context(spool)

    def append(self, vectors: NDArray[np.float32], items: Any) -> None:
        """Add vectors (n, size) and their rows."""
        assert self._spool is not None
        with writing(self.folder):
            self._spool.write(np.ascontiguousarray(vectors, "<f4").tobytes())
        self._added.append(items)
        self._current = None

    def drop(self, paths: Iterable[str]) -> None:
        """Remove the items of recordings that are saved."""
        gone = pyarrow().array(list(paths), pyarrow().string())
        stays = ~np.asarray(pyarrow().compute.is_in(self._items["path"], value_set=gone))
        self._stays = stays if self._stays is None else self._stays & stays
        self._current = None

    def touch(self, times: Mapping[str, int]) -> None:
        """Write new times of files whose bytes are the same."""
        if not times:
            return
        both = zip(self._items["path"].to_pylist(), self._items["mtime_ns"].to_pylist(), strict=True)
        column = pyarrow().array([times.get(path, before) for path, before in both], pyarrow().int64())
        place = self._items.schema.get_field_index("mtime_ns")
        self._items = self._items.set_column(place, "mtime_ns", column)
        self.drop(())

    def save(self) -> None:
        """Write the next version and open it."""
        if self._is_changed:
            with writing(self.folder):
                write_version(self.folder, self.header, self._blocks(), self._table())
            self.close()
            self.header, self._vectors, self._items = open_version(self.folder)

    def close(self) -> None:
        """Forget the changes and let others write."""
        self._held.close()
        self._held = contextlib.ExitStack()
        self._spool, self._stays, self._added, self._current = None, None, [], None

    @property
    def _is_changed(self) -> bool:
        return self._stays is not None or bool(self._added)

    def _state(self) -> tuple[NDArray[np.float32], Any]:
        if self._current is None:
            vectors = np.concatenate([*self._blocks(), np.zeros((0, self.header.size), np.float32)])
            self._current = vectors, self._table()
        return self._current

    def _table(self) -> Any:
        kept = self._items if self._stays is None else self._items.filter(pyarrow().array(self._stays))
        return pyarrow().concat_tables([kept, *self._added]).combine_chunks()

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self._vectors), _COPIED):
            block = self._vectors[start : start + _COPIED]
            yield block if self._stays is None else block[self._stays[start : start + _COPIED]]
        if self._spool is not None:
            self._spool.seek(0)
            while data := self._spool.read(4 * self.header.size * _COPIED):
                yield np.frombuffer(data, np.float32).reshape(-1, self.header.size)
            self._spool.seek(0, os.SEEK_END)

"""Which files have to be embedded: those that an index does not have, and those whose bytes have changed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.arrow import pyarrow
from engine.index.items import FileState, file_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """A recording of an index, as it is or as it will be.

    Attributes
    ----------
    recording_id : int
    state : FileState
    tags : sequence of str
    """

    recording_id: int
    state: FileState
    tags: Sequence[str]


@dataclass(slots=True)
class Work:
    """What there is to do.

    Attributes
    ----------
    wanted : dict from path to Source
        To be embedded.
    touched : dict from path to int
        New times of files whose bytes are the same.
    failed : list of (path, sentence)
    seen : set of path
        All that were looked at.
    n_unchanged : int
    """

    wanted: dict[str, Source] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    n_unchanged: int = 0


def known_sources(items: Any) -> dict[str, Source]:
    """Return the recordings of a table of items by path."""
    coded = items["path"].combine_chunks().dictionary_encode() if len(items) else None
    if coded is None:
        return {}
    _, first = np.unique(np.asarray(coded.indices), return_index=True)
    rows = items.take(pyarrow().array(first)).to_pylist()
    return {
        row["path"]: Source(
            row["recording_id"], FileState(row["size"], row["mtime_ns"], row["sha256"]), row["tags"] or ()
        )
        for row in rows
    }


def work_for(
    paths: Iterable[Path], known: Mapping[str, Source], tags: Sequence[str] | Callable[[str], Sequence[str]]
) -> Work:
    """Return what has to be done about files; only those of another size or time are read."""
    work = Work()
    next_id = 1 + max((source.recording_id for source in known.values()), default=-1)
    for path in paths:
        name = os.path.abspath(path)  # noqa: PTH100 - links are not followed
        if name in work.seen:
            continue
        work.seen.add(name)
        before = known.get(name)
        try:
            name.encode()
            status = os.stat(name)  # noqa: PTH116 - of each file of a library, at a third of Path's time
            if before and (status.st_size, status.st_mtime_ns) == (before.state.size, before.state.mtime_ns):
                work.n_unchanged += 1
                continue
            state = file_state(path)
        except OSError as error:
            work.failed.append((name, f"expected a readable file, got {error.strerror}; check the path"))
        except UnicodeEncodeError:
            work.failed.append((ascii(name), "expected a name in Unicode, got other bytes; rename the file"))
        else:
            if before and state.sha256 == before.state.sha256:
                work.touched[name] = state.mtime_ns
                work.n_unchanged += 1
            elif before:
                work.wanted[name] = Source(before.recording_id, state, before.tags)
            else:
                work.wanted[name] = Source(next_id, state, tags(name) if callable(tags) else tags)
                next_id += 1
    return work

"""The table of items: one row for each vector."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.archive.arrow import pyarrow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.results import Clip


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells whether a file is still the one that was embedded.

    Attributes
    ----------
    size : int
        In bytes.
    mtime_ns : int
    sha256 : str
        Of the bytes.
    """

    size: int
    mtime_ns: int
    sha256: str


def schema() -> Any:
    """Return the columns.

    path, start_s, end_s, recording_id; duration_s of the recording; tags; size, mtime_ns and sha256 of the file.
    """
    pa = pyarrow()
    return pa.schema(
        [
            ("path", pa.string()),
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            ("recording_id", pa.int64()),
            ("duration_s", pa.float64()),
            ("tags", pa.list_(pa.string())),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.string()),
        ]
    )


def rows(clip: Clip, path: str, recording_id: int, tags: Sequence[str], state: FileState) -> Any:
    """Return the rows of one recording, one for each window."""
    n = len(clip.windows)
    columns = {
        "path": [path] * n,
        "start_s": [window.start_s for window in clip.windows],
        "end_s": [window.end_s for window in clip.windows],
        "recording_id": [recording_id] * n,
        "duration_s": [clip.duration_s] * n,
        "tags": [list(tags)] * n,
        "size": [state.size] * n,
        "mtime_ns": [state.mtime_ns] * n,
        "sha256": [state.sha256] * n,
    }
    return pyarrow().table(columns, schema=schema())


def file_state(path: Path) -> FileState:
    """Return the state of a file; an OSError where it cannot be read."""
    with path.open("rb") as file:
        # Before it is read: a file that changes meanwhile looks changed the next time.
        status = os.fstat(file.fileno())
        return FileState(status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())

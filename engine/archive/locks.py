"""One writer at a time: a file that is locked for as long as its process lives."""

from __future__ import annotations

import contextlib
import os
import platform
from typing import TYPE_CHECKING, Any

from engine.archive.durable import writing
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def file_lock(path: Path, expected: str, remedy: str) -> Iterator[None]:
    """Hold a file while the block runs; what was killed holds nothing.

    Parameters
    ----------
    path : Path
        Made where it is not there; it says who holds it.
    expected, remedy : str
        For the sentence of the ConfigError where another process holds it.
    """
    with writing(path.parent):
        file = path.open("a+b")
    with file:
        if not _try_lock(file.fileno()):
            file.seek(0)
            holder = file.read(200).decode(errors="replace").strip() or "unknown"
            raise ConfigError(f"{expected}, another run does ({holder}); {remedy}")
        with writing(path.parent):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
            file.flush()
        yield


def _try_lock(handle: int) -> bool:
    """Lock an open file until it is closed, or the process ends; False where another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            locking: Any = msvcrt
            # A byte that nothing is written to: others may not read what is locked.
            os.lseek(handle, 1 << 30, os.SEEK_SET)
            locking.locking(handle, locking.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

"""One writer at a time where nothing can be locked: an object that its holder writes anew again and again.

No clocks are compared, which on two machines need not agree: whoever finds the object watches whether it changes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The holder writes it so often, and is taken for dead when it has not changed for so long.
RENEW_S = 5.0
DEAD_S = 20.0
# How often an object that is empty is looked at again, and after how long.
GLANCES, GLANCE_S = 10, 0.05


@contextlib.contextmanager
def lease(files: Any, path: str, name: str) -> Iterator[None]:
    """Hold an object while the block runs; after a kill it can be had again when it has not changed for a while.

    Two that begin within the same moment may both find nothing there: each reads its own back before it goes on.

    Parameters
    ----------
    files : file system of fsspec
    path : str
        Of the object.
    name : str
        What the sentence of the ConfigError calls the place.
    """
    _wait_for_the_dead(files, path, name)
    over = threading.Event()
    token = secrets.token_hex(8)
    _write(files, path, token, 0)
    time.sleep(min(1.0, RENEW_S))
    if (found := _content(files, path)) is None or token not in found:
        raise _held(name, found)
    renewing = threading.Thread(target=_renew, args=(files, path, token, over), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        over.set()
        renewing.join()
        with contextlib.suppress(Exception):  # whoever comes next waits a little longer
            files.rm_file(path)


def _wait_for_the_dead(files: Any, path: str, name: str) -> None:
    found = _content(files, path)
    until = time.monotonic() + DEAD_S
    while found is not None and time.monotonic() < until:
        time.sleep(min(0.5, RENEW_S))
        now = _content(files, path)
        if now is not None and now != found:
            raise _held(name, now)
        found = now


def _renew(files: Any, path: str, token: str, over: threading.Event) -> None:
    number = 0
    while not over.wait(RENEW_S):
        number += 1
        # A store that is away for a moment is no reason to end: the next time it may answer.
        with contextlib.suppress(Exception):
            _write(files, path, token, number)


def _write(files: Any, path: str, token: str, number: int) -> None:
    files.pipe_file(path, f"process {os.getpid()} on {platform.node()}, {token}, {number}\n".encode())


def _content(files: Any, path: str) -> str | None:
    """Return what the object holds; what is a file system after all shows it empty while it is written."""
    content = ""
    for _ in range(GLANCES):
        try:
            content = str(files.cat_file(path).decode(errors="replace"))
        except FileNotFoundError:
            return None
        if content:
            break
        time.sleep(GLANCE_S)
    return content


def _held(name: str, found: str | None) -> ConfigError:
    holder = (found or "unknown").partition(",")[0].strip()
    return ConfigError(f"expected to write {name} alone, another run does ({holder}); wait for it or choose another")

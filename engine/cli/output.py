"""Where results go: standard output, or a file that appears under its name only when it is complete."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_output(name: str | None, overwrite: bool) -> Iterator[BinaryIO]:
    """Give a stream for results: standard output for None, else a new file.

    The file is written beside its place and renamed at the end, so that it is never seen half written; after an error
    nothing is left of it.

    Raises
    ------
    click.ClickException
        With exit code 1, when the file exists and ``overwrite`` is False, or its folder does not exist.
    """
    if name is None:
        yield sys.stdout.buffer
        return
    path = Path(os.path.realpath(name))
    if path.exists() and not path.is_file():
        raise click.ClickException(
            f"expected a name for a file, got {name!r}, a folder or a device; choose another name"
        )
    if path.exists() and not overwrite:
        raise click.ClickException(f"expected a new file, got {name!r}, which exists; rename it or add --overwrite")
    if not path.parent.is_dir():
        raise click.ClickException(f"expected a file in an existing folder, got {name!r}; make the folder first")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as stream:
            yield stream
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

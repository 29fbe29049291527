"""What recordings are called on the page."""

from __future__ import annotations

from pathlib import Path

from engine.archive.uri import file_name


def shown_name(uri: str, *, whole: bool) -> str:
    """Return a name as seen from the working directory where it lies below that; without ``whole`` its last part."""
    if not whole:
        return file_name(uri)
    try:
        return str(Path(uri).relative_to(Path.cwd()))
    except ValueError:
        return uri

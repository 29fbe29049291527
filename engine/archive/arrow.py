"""pyarrow, imported when an archive is first used."""

from __future__ import annotations

from typing import Any

from engine.errors import ConfigError


def pyarrow() -> Any:
    """Return the package; a ConfigError with the line that installs it where it is missing."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ConfigError(
            "expected the package pyarrow, which archives and indexes keep their tables with; "
            "pip install 'sound-engine[archive]'"
        ) from error
    return pa


def parquet() -> Any:
    """Return ``pyarrow.parquet``."""
    pyarrow()
    import pyarrow.parquet as pq

    return pq

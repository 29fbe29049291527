"""Object stores, through fsspec."""

from __future__ import annotations

from typing import Any

from engine.errors import ConfigError

# The schemes that are taken, and the package that fsspec needs for each.
PACKAGES = dict.fromkeys(("memory", "file"), "fsspec")
PACKAGES |= dict.fromkeys(("s3", "s3a"), "s3fs")
PACKAGES |= dict.fromkeys(("gs", "gcs"), "gcsfs")
PACKAGES |= dict.fromkeys(("az", "abfs", "abfss"), "adlfs")
# Read at a time: a recording is read once, from its start to its end.
READ_AHEAD_BYTES = 8 << 20


def filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it.

    Raises
    ------
    ConfigError
        The scheme is unknown, or the package for it is missing.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in PACKAGES:
        known = ", ".join(f"{name}://" for name in PACKAGES)
        raise ConfigError(f"expected a path, zip://, tar:// or one of {known}, got {url!r}; copy the files there")
    try:
        import fsspec
    except ImportError as error:
        raise ConfigError(
            f"expected the package fsspec, which reads {scheme}://; pip install 'sound-engine[archive]'"
        ) from error
    try:
        # Without its cache of listings, which would grow with the archive.
        files = fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        package = PACKAGES[scheme]
        raise ConfigError(f"expected the package {package}, which reads {scheme}://; pip install {package}") from error
    return files, files._strip_protocol(url)  # noqa: SLF001  (what fsspec itself calls on every path it is given)


def open_url(url: str) -> Any:
    """Return a binary file object for a URL; whatever the file system raises passes through."""
    files, path = filesystem(url)
    return files.open(path, "rb", block_size=READ_AHEAD_BYTES)

"""Zip and tar files for the tests, and a store in memory."""

from __future__ import annotations

import io
import tarfile
import zipfile


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    """Write a zip file of names and bytes; return its path."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def tarred(path, members, mode="w"):
    """Write a tar file of names and bytes; return its path."""
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_500_000_000
            file.addfile(info, io.BytesIO(data))
    return path

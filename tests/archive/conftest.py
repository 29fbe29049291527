"""Fixtures of the tests of archives."""

from __future__ import annotations

import pytest


@pytest.fixture
def memory():
    """An object store that is empty before and after."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]

"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings; skip in a clone without it, fail in CI."""
    named = os.environ.get("ENGINE_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if (folder / "README.md").is_file():
        return folder
    reason = f"no recordings at {folder}: set ENGINE_TEST_DATA to a folder with esc10_dev, hostile and the other sets"
    if os.environ.get("CI") == "true" or named:
        pytest.fail(reason)
    return pytest.skip(reason)

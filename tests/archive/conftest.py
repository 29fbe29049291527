"""Fixtures of the tests of archives."""

from __future__ import annotations

import pytest

from engine.archive.settings import settings_for
from engine.model import Model
from tests.tiny_models import save


@pytest.fixture
def memory():
    """An object store that is empty before and after."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The path of a model with scores and an embedding."""
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def model(tiny):
    with Model.open(tiny, "cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def settings(model):
    return settings_for(model)

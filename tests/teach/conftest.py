"""The embedder of the tests of teaching, and clips for it."""

from __future__ import annotations

import pytest

from tests import tiny_models
from tests.teach import clips


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the tiny network, which has windows of one second and an embedding of four numbers."""
    return tiny_models.save(tmp_path_factory.mktemp("embedder") / "tiny.onnx")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a folder of labelled clips: three labels, five clips of each."""
    return clips.folder_of(tmp_path_factory.mktemp("labelled"))

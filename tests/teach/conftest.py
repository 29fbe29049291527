"""The embedder of the tests of teaching, and clips for it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from tests import tiny_models
from tests.teach import clips


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the tiny network, which has windows of one second, with an embedding that tells bands apart."""
    network = tiny_models.log_mel_network()
    projection = next(each for each in network.graph.initializer if each.name == "projection")
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 4)))[0].astype(np.float32)
    projection.CopyFrom(numpy_helper.from_array(directions, "projection"))
    return tiny_models.save(tmp_path_factory.mktemp("embedder") / "tiny.onnx", network)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a folder of labelled clips: three labels, five clips of each."""
    return clips.folder_of(tmp_path_factory.mktemp("labelled"))

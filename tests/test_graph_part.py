from __future__ import annotations

import numpy as np
import onnx
import pytest

from engine.errors import ModelError
from engine.fingerprint import METADATA_KEY
from engine.graph_part import GraphPart, cut_graph
from engine.session import Session
from tests.tiny_models import FRONTEND
from tests.tiny_towers import (
    QUERY_FRONTEND,
    QUERY_SIZE,
    QUERY_WEIGHTS,
    REFERENCE_SIZE,
    save_towers,
    two_tower_network,
)

GENERATOR = np.random.default_rng(0)


@pytest.fixture
def model(tmp_path):
    return save_towers(tmp_path / "towers.onnx")


def names(ports):
    return [port.name for port in ports]


def test_a_part_runs_alone_and_keeps_the_metadata(model):
    session = Session(model, "cpu", 1)
    part = session.cut(("query_log_mel",), ("query",))
    assert (names(part.inputs), names(part.outputs)) == (["query_log_mel"], ["query"])
    assert part.metadata[METADATA_KEY] == session.metadata[METADATA_KEY]
    log_mel = GENERATOR.normal(size=(2, 9, QUERY_FRONTEND.n_mels)).astype(np.float32)
    (got,) = part.run(["query"], {"query_log_mel": log_mel})
    np.testing.assert_allclose(got, log_mel.mean(1) @ QUERY_WEIGHTS, atol=1e-6)


def test_a_part_holds_only_its_own_weights(model):
    whole = onnx.load(model)
    part = onnx.load_from_string(cut_graph(model, GraphPart(("query_log_mel",), ("query",))))
    assert {tensor.name for tensor in part.graph.initializer} == {"query_weights", "time_axis"}
    assert len(part.graph.node) == 2 < len(whole.graph.node)


def test_outputs_of_the_whole_are_inputs_of_a_part(model):
    head = Session(model, "cpu", 1).cut(("query", "reference"), ("similarity",))
    query = GENERATOR.normal(size=(1, QUERY_SIZE)).astype(np.float32)
    reference = GENERATOR.normal(size=(4, REFERENCE_SIZE)).astype(np.float32)
    (got,) = head.run(["similarity"], {"query": query, "reference": reference})
    assert got.shape == (4,)


def test_the_same_cut_again_is_the_same_session_and_another_starts_from_the_file(model):
    part = Session(model, "cpu", 1).cut(("query_log_mel",), ("query",))
    assert part.cut(("query_log_mel",), ("query",)) is part
    assert names(part.cut(("reference_log_mel",), ("reference",)).inputs) == ["reference_log_mel"]


def test_a_file_that_changed_since_is_not_cut(model):
    session = Session(model, "cpu", 1)
    save_towers(model, attribution="someone else")
    with pytest.raises(ModelError, match="changed since"):
        session.cut(("query_log_mel",), ("query",))


def test_a_model_given_as_bytes_is_cut_too(model):
    part = Session(model.read_bytes(), "cpu", 1).cut(("reference_log_mel",), ("reference",))
    log_mel = GENERATOR.normal(size=(1, 9, FRONTEND.n_mels)).astype(np.float32)
    assert part.run(["reference"], {"reference_log_mel": log_mel})[0].shape == (1, REFERENCE_SIZE)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(("nothing",), ("query",)), (("query_log_mel",), ("nothing",)), ((), ("query",))]
)
def test_names_that_the_graph_lacks_are_refused(model, inputs, outputs):
    with pytest.raises(ModelError, match=r"expected .*query.*correct the card"):
        Session(model, "cpu", 1).cut(inputs, outputs)


def test_an_output_that_needs_more_is_refused_by_what_it_needs():
    content = two_tower_network(query_in_reference=True).SerializeToString()
    with pytest.raises(ModelError, match=r"computed from .*reference_log_mel.* alone.*query_log_mel"):
        cut_graph(content, GraphPart(("reference_log_mel",), ("reference",)))


def test_damaged_bytes_are_refused():
    with pytest.raises(ModelError, match="that can be cut"):
        cut_graph(b"no model", GraphPart(("a",), ("b",)))

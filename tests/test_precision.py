"""Finding 16-bit floats in a model file by stepping through its bytes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from engine.precision import ATTRIBUTE, GRAPH, NODE, SUBGRAPH, holds_float16
from engine.session import Session
from tests import tiny_models
from tests.convert import networks

KINDS = [networks.convolutional, networks.recurrent, networks.attentive]


def length_of(content):
    """The length of ``content`` as a protocol buffer writes it."""
    length, digits = len(content), []
    while length >= 128:
        digits.append(length % 128 + 128)
        length //= 128
    return bytes([*digits, length])


def half(network):
    return convert_float_to_float16(network, keep_io_types=True)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_found_in_bytes_and_in_files(kind, tmp_path):
    for model, expected in ((kind(), False), (half(kind()), True)):
        content = model.SerializeToString()
        (tmp_path / "model.onnx").write_bytes(content)
        assert holds_float16(content) is expected
        assert holds_float16(tmp_path / "model.onnx") is expected


@pytest.mark.parametrize("data_type", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_constants_of_nodes_are_found(data_type):
    network = tiny_models.log_mel_network()
    constant = helper.make_tensor("c", data_type, [1], [1.0])
    network.graph.node.append(helper.make_node("Constant", [], ["c"], value=constant))
    assert holds_float16(network.SerializeToString())


def test_constants_of_branches_are_found():
    branch = helper.make_graph([], "branch", [], [], [helper.make_tensor("c", TensorProto.FLOAT16, [1], [1.0])])
    network = tiny_models.log_mel_network()
    network.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    assert holds_float16(network.SerializeToString())


def test_what_merely_looks_like_it_is_not_taken_for_it():
    network = tiny_models.log_mel_network()
    network.doc_string = "\x10\x0a" * 50
    network.graph.initializer.append(numpy_helper.from_array(np.full(9, 0x0A10, np.int64), "numbers"))
    assert not holds_float16(network.SerializeToString())


def test_damaged_files_are_left_to_the_runtime(tmp_path):
    content = half(networks.recurrent()).SerializeToString()
    for cut in range(1, len(content), 97):
        holds_float16(content[:cut])
    deep = b""
    for _ in range(3000):  # an attribute with a graph, in a node, in a graph
        for number in (SUBGRAPH, ATTRIBUTE, NODE):
            deep = bytes([number << 3 | 2]) + length_of(deep) + deep
    assert holds_float16(bytes([GRAPH << 3 | 2]) + length_of(deep) + deep) is False
    for nonsense in (b"", b"\xff" * 100, b"\x3a\xff\xff\xff\xff\x7f", b"RIFF....WAVEfmt ", bytes(range(256))):
        assert holds_float16(nonsense) is False


@pytest.mark.parametrize("kind", KINDS)
def test_16_bit_networks_open_and_run_on_the_cpu(kind):
    # Without care the runtime's default settings crash the process on the recurrent one (onnxruntime 1.30 and 1.31).
    log_mel = np.random.default_rng(0).standard_normal((1, 40, 8)).astype(np.float32)
    expected = Session(kind().SerializeToString(), "cpu", 1).run(["scores"], {"log_mel": log_mel})[0]
    got = Session(half(kind()).SerializeToString(), "cpu", 1).run(["scores"], {"log_mel": log_mel})[0]
    np.testing.assert_allclose(got, expected, atol=5e-3)
    assert np.ptp(expected) > 0.05

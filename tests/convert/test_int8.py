"""The int8 variant: which layers compute in 8 bits, what it may cost, and what happens where it costs more."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import onnx
import pytest

from engine import Tagger
from engine.convert import int8
from engine.convert.agreement import Agreement
from engine.convert.candidate import open_candidate
from engine.convert.int8 import MIN_RECORDINGS, passes, to_int8
from engine.convert.quantizer import Quantizer, feeds_of
from engine.convert.recordings import Recording, read_recordings
from engine.errors import ConfigError, ModelError
from engine.registry import find_model
from tests import tiny_models
from tests.convert import networks

CARD = networks.card()


def recordings(n=MIN_RECORDINGS):
    """Tones and noises of every level, less and more than a window."""
    generator = np.random.default_rng(0)
    found = []
    for index in range(n):
        t = np.arange(int(tiny_models.RATE * generator.uniform(0.5, 1.8))) / tiny_models.RATE
        samples = np.sin(2 * np.pi * 100 * 1.25**index * t) + generator.standard_normal(t.size) * generator.uniform(
            0, 1
        )
        found.append(Recording(None, (samples * 0.2 * generator.uniform(0.01, 1)).astype(np.float32), None))
    return found


def in_8_bits(model):
    """Names of the layers whose weights come out of 8 bits."""
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    return [node.name for node in layers if makers.get(node.input[1]) == "DequantizeLinear"]


def test_layers_that_gain_are_in_8_bits_and_agree():
    made = to_int8(networks.convolutional(), CARD, recordings(32))
    assert in_8_bits(made.model) == ["second", "third"]  # one input channel, and small heads, do not gain
    assert (made.layers, made.left_out) == (2, 0)
    assert made.agreement.recordings == 16
    assert made.agreement.rank_correlation >= 0.99
    assert made.agreement.accuracy_drop <= 0.01
    # The residual sum between them is in 8 bits too: nothing goes to float and back in the middle.
    makers = {output: node.op_type for node in made.model.graph.node for output in node.output}
    (added,) = [node for node in made.model.graph.node if node.op_type == "Add"]
    assert makers[added.input[1]] == "DequantizeLinear"


def test_weights_are_signed_and_activations_are_not():
    model = to_int8(networks.convolutional(), CARD, recordings()).model
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    points = [types[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert set(points) == {onnx.TensorProto.UINT8}
    weights = [
        types[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in types
    ]
    assert onnx.TensorProto.INT8 in weights


def test_large_matrices_and_grouped_convolutions_gain():
    rng = np.random.default_rng(0)
    constants = {
        "axis": np.array([1]),
        "grouped": rng.standard_normal((1, 1, 3, 3)).astype(np.float32),
        "large": rng.standard_normal((8, 8192)).astype(np.float32),
        "small": rng.standard_normal((8192, 6)).astype(np.float32),
        "places": np.array([1, 2]),
    }
    node = onnx.helper.make_node
    nodes = [
        node("Unsqueeze", ["log_mel", "axis"], ["image"]),
        node("Conv", ["image", "grouped"], ["conv"], name="one channel", pads=[1] * 4),
        node("MatMul", ["conv", "large"], ["wide"], name="large"),
        node("MatMul", ["wide", "small"], ["narrow"], name="small"),
        node("ReduceMean", ["narrow", "places"], ["scores"], keepdims=0),
    ]
    model = tiny_models.build(nodes, {"log_mel": ["batch", "time", 8]}, {"scores": ["batch", 6]}, constants)
    model.graph.node[1].attribute.append(onnx.helper.make_attribute("group", 1))
    assert Quantizer(model, []).layers == ("large",)
    model.graph.node[1].attribute[-1].i = 2
    assert Quantizer(model, []).layers[0] == "one channel"


def test_ranges_come_from_what_the_engine_feeds():
    heard = recordings(3)
    feeds = feeds_of(networks.convolutional(), CARD, heard, 100)
    model = open_candidate(networks.convolutional(), CARD)
    windows = [len(model((recording.samples, model.sample_rate)).windows) for recording in heard]
    assert len(feeds) == sum(windows)
    assert {feed["log_mel"].shape for feed in feeds} == {(1, tiny_models.FRONTEND.n_frames(CARD.window), 8)}
    assert len(feeds_of(networks.convolutional(), CARD, heard, 2)) <= 2


def test_the_model_that_was_given_stays_as_it_was():
    model = networks.convolutional()
    before = model.SerializeToString(deterministic=True)
    to_int8(model, CARD, recordings())
    assert model.SerializeToString(deterministic=True) == before


def test_the_root_logger_stays_as_it_was(capfd):
    before = logging.root.handlers[:], logging.root.level
    to_int8(networks.convolutional(), CARD, recordings())
    assert (logging.root.handlers[:], logging.root.level) == before
    assert capfd.readouterr() == ("", "")


def fragile(spread=3e4):
    """A network whose second convolution has weights for one input that is 30,000 times louder than what matters."""
    model = networks.convolutional()
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    first, second = (onnx.numpy_helper.to_array(weights[name]).copy() for name in ("c1", "c2"))
    first[0] *= spread
    second[:, 0] /= spread
    for name, values in (("c1", first), ("c2", second)):
        weights[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    return model


def test_the_shipped_model_agrees_on_real_recordings(shared_data):
    path = find_model("esc10")
    card = Tagger(path, "cpu", 1).card
    made = to_int8(onnx.load(path), card, read_recordings(shared_data / "esc10_dev", card)[::3])
    assert (made.layers, made.left_out) == (9, 0)
    assert made.agreement.recordings == 26
    assert made.agreement.accuracy_drop == 0
    assert made.agreement.embedding_cosine > 0.999


def test_a_layer_that_hurts_stays_in_32_bits():
    made = to_int8(fragile(), CARD, recordings())
    assert in_8_bits(made.model) == ["third"]
    assert (made.layers, made.left_out) == (1, 1)


def test_a_model_that_loses_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(int8, "SMALLEST_CORRELATION", 1.1)
    with pytest.raises(
        ModelError, match=r"expected int8 to keep what 'tiny' finds, got an accuracy drop of .* and a rank"
    ):
        to_int8(networks.convolutional(), CARD, recordings())


def test_too_few_recordings_are_refused():
    with pytest.raises(ConfigError, match=r"expected at least 16 recordings .*, got 15"):
        to_int8(networks.convolutional(), CARD, recordings(15))


def test_a_model_without_layers_that_gain_is_refused():
    with pytest.raises(ModelError, match="expected a model with convolutions or large matrices, 'tiny' has none"):
        to_int8(tiny_models.log_mel_network(), tiny_models.log_mel_card(), recordings())


FOUND = Agreement(
    recordings=50,
    largest_difference=0.1,
    mean_difference=0.01,
    rank_correlation=0.995,
    accuracy_drop=0.0,
    labelled=True,
    embedding_cosine=0.5,
)


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"accuracy_drop": 0.01}, True),
        ({"accuracy_drop": 0.0101}, False),
        ({"accuracy_drop": -0.2}, True),
        ({"rank_correlation": 0.99}, True),
        ({"rank_correlation": 0.9899}, False),
        ({"accuracy_drop": None}, True),
        ({"rank_correlation": None, "accuracy_drop": None}, False),
        ({"rank_correlation": None, "accuracy_drop": None, "embedding_cosine": 0.991}, True),
    ],
)
def test_the_gate(changes, right):
    assert passes(replace(FOUND, **changes)) is right


def test_a_refused_embedder_is_told_its_cosine(monkeypatch):
    monkeypatch.setattr(int8, "SMALLEST_CORRELATION", 1.1)
    card = CARD
    outputs = replace(card.outputs, scores=None)
    card = replace(card, task="embed", labels=(), score=None, outputs=outputs)
    with pytest.raises(
        ModelError, match=r"expected int8 to keep what 'tiny' finds, got embeddings of cosine 1\.000, 1\.1 is needed"
    ):
        to_int8(networks.convolutional(), card, recordings())

"""The waveform variant: the same outputs from samples, whatever the card says of axes, ends and lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper

from engine import Tagger
from engine.audio import load
from engine.card import ModelInput
from engine.convert.candidate import open_candidate
from engine.convert.log_mel_graph import NodeList
from engine.convert.recordings import Recording
from engine.convert.waveform import to_waveform
from engine.convert.waveform_parity import TOLERANCE, check_waveform
from engine.errors import ModelError
from engine.frontend import PRESETS, FrontendConfig
from engine.registry import find_model
from tests import tiny_models
from tests.convert import networks

RATE = tiny_models.RATE


def noise(n, seed=0):
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32)


def assert_same_clips(original, variant, lengths):
    model, other = open_candidate(*original), open_candidate(*variant)
    for n in lengths:
        a, b = model((noise(n, n), RATE)), other((noise(n, n), RATE))
        assert [w.start_s for w in a.windows] == [w.start_s for w in b.windows]
        for one, two in zip(a.windows, b.windows, strict=True):
            np.testing.assert_allclose(two.scores, one.scores, atol=TOLERANCE)
            np.testing.assert_allclose(two.embedding, one.embedding, atol=TOLERANCE)


FRONT_ENDS = {
    "tiny": {},
    "loudest cell": {"log": "dB", "log_reference": "max", "log_range": 80.0, "mean": -40.0, "std": 20.0},
    "whole windows": {"framing": "valid", "preemphasis": 0.97, "remove_dc": True, "window": "povey"},
    "standardised": {"zscore": True, "log": "dB", "remove_clip_mean": True},
    "16-bit scale": {"framing": "mirror", "input_scale": 32768.0, "mel_scale": "kaldi"},
}


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("network", [networks.convolutional, networks.recurrent, networks.attentive])
def test_scores_and_embeddings_stay(name, network):
    front_end = replace(tiny_models.FRONTEND, **FRONT_ENDS[name])
    original = (network(), networks.card(frontend=front_end))
    variant = to_waveform(*original)
    assert check_waveform(original, variant) < TOLERANCE
    assert_same_clips(original, variant, [1, 399, RATE, 2 * RATE + 123])


@pytest.mark.filterwarnings("ignore:mel filters")
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_of_the_card(name):
    front_end = PRESETS[name]
    rate = front_end.sample_rate
    original = (networks.convolutional(front_end.n_mels), networks.card(frontend=front_end, window=rate, hop=rate))
    # A tone in noise 60 dB below it: bands that are deep, and not empty.
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    loud = Recording(None, (tone + 5e-3 * noise(2 * rate)).astype(np.float32), None)
    assert check_waveform(original, to_waveform(*original), [loud]) < TOLERANCE


@pytest.mark.parametrize(
    "axes", [("batch", "mel", "time"), ("batch", "channel", "time", "mel"), ("channel", "batch", "mel", "time")]
)
def test_any_order_of_axes(axes):
    card = tiny_models.log_mel_card(input=ModelInput("log_mel", "log_mel", axes))
    original = (tiny_models.log_mel_network(axes), card)
    variant = to_waveform(*original)
    assert variant[1].input.axes == ("batch", "time")
    assert check_waveform(original, variant) < TOLERANCE


def without_batch():
    nodes = [
        helper.make_node("ReduceMean", ["log_mel", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"axis": np.array([0]), "weights": tiny_models.WEIGHTS}
    return tiny_models.build(nodes, {"log_mel": ["time", 8]}, {"scores": [3]}, constants)


def scores_only(**changes):
    outputs = tiny_models.log_mel_card().outputs
    return tiny_models.log_mel_card(
        outputs=replace(outputs, embedding=None, scores=replace(outputs.scores, axes=changes.pop("axes"))),
        embedding_size=None,
        embedding_normalised=False,
        **changes,
    )


def test_a_network_without_batch_axis_gets_samples_without_one():
    original = (
        without_batch(),
        scores_only(axes=("label",), score="distance", input=ModelInput("log_mel", "log_mel", ("time", "mel"))),
    )
    variant = to_waveform(*original)
    assert variant[1].input.axes == ("time",)
    assert check_waveform(original, variant) < TOLERANCE


@pytest.mark.parametrize("pad", ["zeros", "repeat", "none", "frames"])
def test_every_way_to_fill_a_last_window(pad):
    input_ = ModelInput("log_mel", "log_mel", ("batch", "time", "mel"), frame_padding=-3.0 if pad == "frames" else 0.0)
    original = (tiny_models.log_mel_network(), tiny_models.log_mel_card(pad=pad, input=input_, hop=RATE))
    variant = to_waveform(*original)
    assert_same_clips(original, variant, [1, 50, 199, 3000, RATE + 1, RATE + 5000])


FRAMES_PADDED = {
    "pad": "frames",
    "input": ModelInput("log_mel", "log_mel", ("batch", "time", "mel"), frame_padding=-3.0),
}


def test_windows_longer_than_the_cards_lose_no_frame():
    original = (tiny_models.log_mel_network(), tiny_models.log_mel_card(**FRAMES_PADDED))
    model, other = open_candidate(*original), open_candidate(*to_waveform(*original))
    source = (noise(4 * RATE), RATE)
    expected, got = (heard(source, window_s=2.0, hop_s=2.0) for heard in (model, other))
    np.testing.assert_allclose(got.scores, expected.scores, atol=TOLERANCE)


def fixed_network():
    network = tiny_models.log_mel_network()
    dims = network.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_value, dims[1].dim_value = 1, tiny_models.FRONTEND.n_frames(RATE)
    return network


def test_a_fixed_length_with_filled_frames_takes_short_windows():
    original = (fixed_network(), tiny_models.log_mel_card(**FRAMES_PADDED))
    variant = to_waveform(*original)
    assert_same_clips(original, variant, [1, 1234, RATE, RATE + 1234])


def test_fixed_lengths_stay_fixed():
    network = fixed_network()
    model, card = to_waveform(network, tiny_models.log_mel_card())
    assert open_candidate(model, card)._network.fixed_time == RATE
    assert check_waveform((network, tiny_models.log_mel_card()), (model, card)) < TOLERANCE


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
def test_every_opset_from_13(opset):
    original = (networks.convolutional(opset=opset), networks.card())
    assert check_waveform(original, to_waveform(*original)) < TOLERANCE


def test_the_card_says_what_became_of_it():
    card = tiny_models.log_mel_card(pad="repeat", thresholds={"low": 0.5})
    variant = to_waveform(tiny_models.log_mel_network(), card)[1]
    assert variant.frontend is None
    assert (variant.input.kind, variant.input.sample_rate) == ("waveform", RATE)
    assert (variant.window, variant.hop, variant.pad) == (card.window, card.hop, "repeat")
    assert variant.labels == card.labels
    assert variant.thresholds == {"low": 0.5}


def test_names_that_are_taken_are_left_alone():
    network = tiny_models.log_mel_network()
    for node in network.graph.node:
        node.input[:] = ["waveform" if name == "ordered" else name for name in node.input]
        node.output[:] = ["waveform" if name == "ordered" else name for name in node.output]
    network.graph.node[0].name = "front_end/MatMul_3"
    original = (network, tiny_models.log_mel_card())
    variant = to_waveform(*original)
    assert variant[1].input.name == "waveform_"
    assert check_waveform(original, variant) < TOLERANCE


def test_only_operators_of_every_host():
    model, _ = to_waveform(networks.convolutional(), networks.card())
    assert {node.domain for node in model.graph.node} == {""}
    assert {"DFT", "STFT", "HannWindow", "MelWeightMatrix"}.isdisjoint(node.op_type for node in model.graph.node)
    assert (model.ir_version, model.opset_import[0].version) == (10, 20)


def test_models_that_take_no_log_mel_are_refused():
    with pytest.raises(ModelError, match="expected a model that takes log-mel, 'tiny' takes input of kind 'waveform'"):
        to_waveform(tiny_models.waveform_network(), tiny_models.waveform_card())


def test_old_opsets_are_refused():
    network = tiny_models.log_mel_network()
    network.opset_import[0].version = 12
    with pytest.raises(ModelError, match="expected a model of opset 13 or newer, 'tiny' is of opset 12"):
        to_waveform(network, tiny_models.log_mel_card())


@pytest.mark.parametrize("damage", [1.01, 0.0])
def test_a_variant_that_computes_something_else_is_found(damage):
    original = (networks.convolutional(), networks.card())
    model, card = to_waveform(*original)
    broken = onnx.ModelProto()
    broken.CopyFrom(model)
    filters = next(node.input[1] for node in reversed(broken.graph.node) if node.name.startswith("front_end/MatMul"))
    tensor = next(tensor for tensor in broken.graph.initializer if tensor.name == filters)
    values = onnx.numpy_helper.to_array(tensor) * np.float32(damage)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    with pytest.raises(ModelError, match=r"expected the waveform variant of 'tiny' to give its outputs within 0\.0001"):
        check_waveform(original, (broken, card))


def test_the_shipped_model_hears_the_same(shared_data):
    path = find_model("esc10")
    tagger = Tagger(path, "cpu", 1)
    variant = open_candidate(*to_waveform(onnx.load(path), tagger.card))
    recordings = sorted((shared_data / "esc10_dev" / "audio").glob("*.ogg"))[::29]
    for recording in recordings:
        source = load(recording)
        expected, got = tagger.embed(source), variant(source)
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(got.embedding, expected.embedding, atol=1e-5)


def test_prefixes_and_constants():
    nodes = NodeList("front_end/", 20)
    assert nodes.constant([1, 2]) == "front_end/constant_0"
    assert nodes.initializers[0].data_type == onnx.TensorProto.INT64
    assert nodes.constant(0.5) == "front_end/constant_1"
    assert nodes.initializers[1].data_type == onnx.TensorProto.FLOAT


def test_a_long_front_end_is_not_carried_into_the_file():
    config = FrontendConfig(sample_rate=44100, win_length=2048, hop_length=882, n_fft=2048, n_mels=8)
    card = networks.card(frontend=config, window=44100, hop=44100)
    small = len(networks.convolutional().SerializeToString())
    assert len(to_waveform(networks.convolutional(), card)[0].SerializeToString()) - small < 1_000_000

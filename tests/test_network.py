"""Feeding networks: states, constants, axes, frames and batches, on graphs whose numbers can be written down."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from engine.card import ModelConstant, ModelInput, ModelOutput, ModelOutputs, ModelState, write_card
from engine.errors import ModelError
from engine.model import Model
from engine.network import mean_embedding, reduced
from tests.tiny_models import build, log_mel_card, log_mel_network, save, waveform_card, waveform_network

RATE = 100
WINDOW = 40
NOISE = np.random.default_rng(0).standard_normal(3 * WINDOW + 15).astype(np.float32)
WEIGHTS = np.array([[1, 2, -1]], np.float32)


def card(**changes):
    """A card for scores straight from windows of 40 samples."""
    given = {
        "input": ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=RATE),
        "window": WINDOW,
        "hop": WINDOW,
    }
    return waveform_card(**given | changes)


@pytest.fixture
def open_model(tmp_path):
    def make(network, card):
        return Model.open(save(tmp_path / "model.onnx", network, card), device="cpu", threads=1)

    return make


def padded(samples, window=WINDOW, hop=WINDOW):
    """The windows of samples, the last one filled with zeros; every window begins inside."""
    samples = np.concatenate([samples, np.zeros(window, np.float32)])
    return [samples[start : start + window] for start in range(0, len(samples) - window, hop)]


# States


def summing_network():
    """Scores are the sum of all samples so far, times 1, 2 and -1; ``total`` goes out and comes in again."""
    nodes = [
        helper.make_node("ReduceSum", ["waveform", "time_axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "total"], ["new_total"]),
        helper.make_node("MatMul", ["new_total", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": WEIGHTS}
    inputs = {"waveform": ["batch", "time"], "total": [1, 1]}
    return build(nodes, inputs, {"scores": ["batch", 3], "new_total": [1, 1]}, constants)


def summing_card(**changes):
    states = (ModelState("total", "new_total", (1, 1)),)
    given = ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=RATE, states=states)
    return card(input=given, **changes)


@pytest.mark.parametrize("hop", [WINDOW, WINDOW // 2])
def test_states_start_as_zeros_and_go_from_window_to_window(open_model, hop):
    model = open_model(summing_network(), summing_card(hop=hop))
    got = [window.scores[0] for window in model.windows((NOISE, RATE))]
    want = np.cumsum([window.sum() for window in padded(NOISE, hop=hop)][: len(got)])
    assert len(got) == (4 if hop == WINDOW else 6)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_states_begin_anew_with_each_recording(open_model):
    model = open_model(summing_network(), summing_card())
    want = model((NOISE, RATE)).scores
    np.testing.assert_array_equal(model((NOISE, RATE)).scores, want)
    next(model.windows((NOISE, RATE)))  # a recording that is left in the middle
    np.testing.assert_array_equal(model((NOISE, RATE)).scores, want)


def test_recordings_that_interleave_keep_their_own_states(open_model):
    model = open_model(summing_network(), summing_card())
    other = NOISE[::-1].copy()
    want = [[w.scores[0] for w in model.windows((samples, RATE))] for samples in (NOISE, other)]
    pairs = zip(model.windows((NOISE, RATE)), model.windows((other, RATE)), strict=True)
    assert [(a.scores[0], b.scores[0]) for a, b in pairs] == list(zip(*want, strict=True))


def test_threads_have_their_own_states(open_model):
    model = open_model(summing_network(), summing_card())
    clips = [np.roll(NOISE, shift) * (shift + 1) for shift in range(8)]
    want = [model((clip, RATE)).scores.tolist() for clip in clips]
    got = [None] * len(clips)
    start = threading.Barrier(len(clips))

    def work(i):
        start.wait()
        got[i] = [model((clips[i], RATE)).scores.tolist() for _ in range(20)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(clips))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == [[scores] * 20 for scores in want]


def test_a_network_with_states_gets_one_window_at_a_time(open_model):
    assert not open_model(summing_network(), summing_card())._network.takes_batches
    assert open_model(waveform_network(), card())._network.takes_batches


# Constants


@pytest.mark.parametrize(
    ("dtype", "onnx_type", "shape", "value", "sum_"),
    [
        ("int64", TensorProto.INT64, (), 16000, 16000),
        ("int64", TensorProto.INT64, (), 2**40, 2**40),
        ("int32", TensorProto.INT32, (1,), -3, -3),
        ("float32", TensorProto.FLOAT, (2, 3), 0.25, 1.5),
        ("bool", TensorProto.BOOL, (), True, 1),
        ("bool", TensorProto.BOOL, (2,), False, 0),
    ],
)
def test_constants_are_fed_in_their_type_and_shape(open_model, dtype, onnx_type, shape, value, sum_):
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("Cast", ["given"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["number"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "sum"], ["all"]),
        helper.make_node("MatMul", ["all", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": WEIGHTS, "nothing": np.zeros(1, np.float32)}
    inputs = {"waveform": ["batch", "time"], "given": list(shape)}
    network = build(nodes, inputs, {"scores": ["batch", 3]}, constants, {"given": onnx_type})
    fed = (ModelConstant("given", dtype, shape, value),)
    given = ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=RATE, constants=fed)
    clip = open_model(network, card(input=given, reduce="mean"))((NOISE, RATE))
    np.testing.assert_allclose(clip.scores, sum_ * WEIGHTS[0], rtol=1e-6)


# Frames, embeddings over time, and the order of axes

FRAME = 10


def framing_network(
    frame_axes=("batch", "time", "label"), embedding_axes=("batch", "time", "feature"), with_scores=True
):
    """Frames are the means of ten samples times 1, 2 and -1; the embedding has the mean and one at each time."""
    nodes = [
        helper.make_node("Reshape", ["waveform", "split"], ["pieces"]),
        helper.make_node("ReduceMean", ["pieces", "last"], ["means"], keepdims=1),
        helper.make_node("MatMul", ["means", "weights"], ["frames_btl"]),
        helper.make_node("MatMul", ["means", "first"], ["mean_0"]),
        helper.make_node("Add", ["mean_0", "one"], ["embedding_btf"]),
        *_ordered("frames", frame_axes, ("batch", "time", "label")),
        *_ordered("embedding", embedding_axes, ("batch", "time", "feature")),
    ]
    constants = {
        "split": np.array([1, -1, FRAME]),
        "last": np.array([2]),
        "batch_axis": np.array([0]),
        "weights": WEIGHTS,
        "first": np.array([[1, 0]], np.float32),
        "one": np.array([0, 1], np.float32),
        "time_axis": np.array([1]),
    }
    outputs = {"frames": [None] * len(frame_axes), "embedding": [None] * len(embedding_axes)}
    if with_scores:
        nodes.append(helper.make_node("ReduceMin", ["frames_btl", "time_axis"], ["scores"], keepdims=0))
        outputs["scores"] = [None, 3]
    return build(nodes, {"waveform": [1, "time"]}, outputs, constants)


def _ordered(name, axes, stored):
    source, kept = f"{name}_{''.join(axis[0] for axis in stored)}", stored
    nodes = []
    if "batch" not in axes:
        nodes.append(helper.make_node("Squeeze", [source, "batch_axis"], [f"{name}_alone"]))
        source, kept = f"{name}_alone", stored[1:]
    return [*nodes, helper.make_node("Transpose", [source], [name], perm=[kept.index(axis) for axis in axes])]


def framing_card(
    frame_axes=("batch", "time", "label"), embedding_axes=("batch", "time", "feature"), with_scores=True, **changes
):
    outputs = ModelOutputs(
        scores=ModelOutput("scores", ("batch", "label")) if with_scores else None,
        embedding=ModelOutput("embedding", embedding_axes),
        frames=ModelOutput("frames", frame_axes),
    )
    given = {"outputs": outputs, "embedding_size": 2, "frame_hop": FRAME, "frame_length": FRAME}
    return card(**given | changes)


ORDERS = [("batch", "time", "label"), ("label", "batch", "time"), ("time", "label"), ("label", "time")]


@pytest.mark.parametrize("axes", ORDERS)
def test_frames_come_in_any_order_of_axes(open_model, axes):
    clip = open_model(framing_network(axes), framing_card(axes))((NOISE, RATE))
    for window, samples in zip(clip.windows, padded(NOISE), strict=True):
        n_frames = round((window.end_s - window.start_s) * RATE / FRAME + 0.4)
        means = samples.reshape(-1, FRAME).mean(axis=1)
        np.testing.assert_allclose(window.frames.scores, means[:n_frames, np.newaxis] * WEIGHTS, atol=1e-6)
        np.testing.assert_allclose(window.scores, (means[:, np.newaxis] * WEIGHTS).min(axis=0), atol=1e-6)
        assert (window.frames.hop_s, window.frames.length_s) == (0.1, 0.1)


@pytest.mark.parametrize("axes", [("batch", "time", "feature"), ("feature", "time"), ("time", "feature", "batch")])
@pytest.mark.parametrize("normalised", [True, False])
def test_embeddings_over_time_are_averaged(open_model, axes, normalised):
    model = open_model(
        framing_network(embedding_axes=axes), framing_card(embedding_axes=axes, embedding_normalised=normalised)
    )
    (window,) = model.windows((NOISE[:WINDOW], RATE))
    want = np.array([NOISE[:WINDOW].astype(np.float64).mean(), 1])
    want = want / np.linalg.norm(want) if normalised else want
    assert window.embedding.shape == (2,)
    np.testing.assert_allclose(window.embedding, want, atol=1e-6)


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_frames_alone_are_reduced_to_the_windows_scores(open_model, reduce):
    model = open_model(framing_network(with_scores=False), framing_card(with_scores=False, reduce=reduce))
    (window,) = model.windows((NOISE[:WINDOW], RATE))
    frames = NOISE[:WINDOW].reshape(-1, FRAME).mean(axis=1)[:, np.newaxis] * WEIGHTS
    np.testing.assert_allclose(window.scores, getattr(frames, reduce)(axis=0), atol=1e-6)


@pytest.mark.parametrize("axes", [("label", "batch"), ("label",), ("batch", "label")])
def test_scores_come_in_any_order_of_axes(open_model, axes):
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores_bl"]),
        *_ordered("scores", axes, ("batch", "label")),
    ]
    constants = {"time_axis": np.array([1]), "weights": WEIGHTS, "batch_axis": np.array([0])}
    network = build(nodes, {"waveform": [1, "time"]}, {"scores": [None] * len(axes)}, constants)
    clip = open_model(network, card(outputs=ModelOutputs(scores=ModelOutput("scores", axes))))((NOISE[:WINDOW], RATE))
    np.testing.assert_allclose(clip.scores, NOISE[:WINDOW].mean() * WEIGHTS[0], atol=1e-6)


@pytest.mark.parametrize("axes", [("time",), ("channel", "time"), ("time", "channel"), ("batch", "channel", "time")])
def test_the_waveform_comes_in_any_order_of_axes(open_model, axes):
    nodes = [
        helper.make_node("Reshape", ["waveform", "flat"], ["row"]),
        helper.make_node("ReduceMean", ["row", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": WEIGHTS, "flat": np.array([1, -1])}
    shape = [WINDOW if axis == "time" else 1 for axis in axes]
    network = build(nodes, {"waveform": shape}, {"scores": [1, 3]}, constants)
    model = open_model(network, card(input=ModelInput("waveform", "waveform", axes, sample_rate=RATE)))
    assert model._network.fixed_time == WINDOW
    assert not model._network.takes_batches
    got = [window.scores[0] for window in model.windows((NOISE, RATE))]
    np.testing.assert_allclose(got, [window.mean() for window in padded(NOISE)], atol=1e-6)


# Batches


def in_batches(model, monkeypatch):
    """Let a model on the CPU take batches, as one on a GPU does; gives the sizes of the batches it runs."""
    sizes = []
    run = model._network.run

    def counted(contents, state):
        sizes.append(len(contents))
        return run(contents, state)

    monkeypatch.setattr(model, "_batches", model._network.takes_batches)
    monkeypatch.setattr(model, "_plain", None)
    monkeypatch.setattr(model._network, "run", counted)
    return sizes


def same(got, want):
    """Whether two clips are equal, windows, frames and embeddings included."""
    assert len(got.windows) == len(want.windows)
    for one, other in zip((*got.windows, got), (*want.windows, want), strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        assert (one.embedding is None) == (other.embedding is None)
        if one.embedding is not None:
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert [(w.start_s, w.end_s) for w in got.windows] == [(w.start_s, w.end_s) for w in want.windows]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(1, [1] * 11), (4, [4, 4, 4]), (8, [8, 4]), (None, [16]), (16, [16]), (3, [3, 3, 3, 2])]
)
def test_batches_give_what_windows_give_alone(tmp_path, monkeypatch, batch_size, sizes):
    model = Model.open(save(tmp_path / "tiny.onnx"), device="cpu", threads=1)
    rate = model.sample_rate
    noise = np.random.default_rng(1).standard_normal(6 * rate - 1234).astype(np.float32)
    want = model((noise, rate))
    assert len(want.windows) == 11
    ran = in_batches(model, monkeypatch)
    same(model((noise, rate), batch_size=batch_size), want)
    assert ran == sizes


@pytest.mark.parametrize("pad", ["zeros", "none"])
def test_a_short_last_window_is_a_batch_of_its_own(tmp_path, monkeypatch, pad):
    model = Model.open(save(tmp_path / "tiny.onnx", card=log_mel_card(pad=pad)), device="cpu", threads=1)
    noise = np.random.default_rng(1).standard_normal(2 * model.sample_rate + 1000).astype(np.float32)
    want = model((noise, model.sample_rate))
    ran = in_batches(model, monkeypatch)
    same(model((noise, model.sample_rate), batch_size=8), want)
    assert ran == ([4] if pad == "zeros" else [4, 1])


def test_networks_that_take_one_window_get_one_whatever_is_asked(open_model, monkeypatch):
    model = open_model(summing_network(), summing_card())
    want = model((NOISE, RATE))
    ran = in_batches(model, monkeypatch)
    same(model((NOISE, RATE), batch_size=8), want)
    assert ran == [1] * 4


def test_the_cpu_takes_one_window_at_a_time_whatever_is_asked(open_model, monkeypatch):
    model = open_model(waveform_network(), card())
    ran = []
    run = model._network.run
    monkeypatch.setattr(
        model._network, "run", lambda contents, state: ran.append(len(contents)) or run(contents, state)
    )
    model((NOISE, RATE), batch_size=64)
    assert ran == [1] * 4


# What comes out is looked at


@pytest.mark.parametrize(("output", "bad"), [("scores", np.nan), ("embedding", np.inf), ("frames", -np.inf)])
def test_outputs_that_are_not_finite_are_refused(tmp_path, output, bad):
    network = framing_network()
    producer = next(node for node in network.graph.node if node.output[0] == output)
    producer.output[0] = "clean"
    network.graph.node.append(helper.make_node("Add", ["clean", "bad"], [output]))
    width = 2 if output == "embedding" else 3
    damage = np.zeros(width, np.float32)
    damage[-1] = bad
    network.graph.initializer.append(helper.make_tensor("bad", TensorProto.FLOAT, [width], damage))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(write_card(network, framing_card()).SerializeToString())
    with pytest.raises(ModelError, match=f"expected finite values in the output '{output}', got NaN or infinity"):
        Model.open(path)((NOISE, RATE))


def test_large_outputs_are_no_damage(open_model):
    # Their squares leave the range of float32.
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": WEIGHTS * np.float32(1e30)}
    network = build(nodes, {"waveform": ["batch", "time"]}, {"scores": ["batch", 3]}, constants)
    clip = open_model(network, card(reduce="mean"))((np.ones(WINDOW, np.float32), RATE))
    np.testing.assert_allclose(clip.scores, WEIGHTS[0] * 1e30, rtol=1e-6)


def test_no_frames_at_all_are_refused(tmp_path):
    nodes = [
        helper.make_node("Reshape", ["waveform", "split"], ["pieces"]),
        helper.make_node("Slice", ["pieces", "begin", "begin", "axis"], ["none"]),
        helper.make_node("Slice", ["none", "begin", "width", "last"], ["frames"]),
    ]
    constants = {
        "split": np.array([1, -1, FRAME]),
        "begin": np.array([0]),
        "axis": np.array([1]),
        "width": np.array([3]),
        "last": np.array([2]),
    }
    network = build(nodes, {"waveform": [1, "time"]}, {"frames": [None, None, 3]}, constants)
    outputs = ModelOutputs(frames=ModelOutput("frames", ("batch", "time", "label")))
    path = tmp_path / "none.onnx"
    only_frames = card(outputs=outputs, frame_hop=FRAME, frame_length=FRAME)
    path.write_bytes(write_card(network, only_frames).SerializeToString())
    with pytest.raises(ModelError, match=r"expected 3 values for each of 1 windows.*got the shape \(1, 0, 3\)"):
        Model.open(path)((NOISE, RATE))


# Reducing


def test_reduced_by_hand():
    scores = [np.array([0.25, 1], np.float32), np.array([0.75, 0], np.float32)]
    assert reduced(scores, "max").tolist() == [0.75, 1]
    assert reduced(scores, "mean").tolist() == [0.5, 0.5]
    assert reduced(scores[:1], "mean").tolist() == [0.25, 1]
    assert {reduced(scores, how).dtype for how in ("max", "mean")} == {np.dtype(np.float32)}


def test_embeddings_that_cancel_have_a_mean_of_zero():
    there, back = np.array([1, 0], np.float32), np.array([-1, 0], np.float32)
    assert mean_embedding([there, back], normalised=True).tolist() == [0, 0]
    assert mean_embedding([there, there, back], normalised=True).tolist() == [1, 0]
    np.testing.assert_allclose(mean_embedding([there, there, back], normalised=False), [1 / 3, 0], rtol=1e-6)


def test_network_and_card_at_odds_are_refused_at_once(tmp_path):
    path = tmp_path / "odd.onnx"
    path.write_bytes(write_card(log_mel_network(), waveform_card()).SerializeToString())
    with pytest.raises(ModelError, match=r"odd\.onnx: expected"):
        Model.open(path)

"""Small random networks over log-mel, one of each kind that variants must be right for, with cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from tests import tiny_models

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from engine.card import ModelCard

WIDTH = 32
N_LABELS = 6
LABELS = ("one", "two", "three", "four", "five", "six")


def convolutional(mels: int = 8, channels: int = 16, opset: int = 20) -> onnx.ModelProto:
    """Two plain convolutions, a residual block, the mean over time and frequency, and two heads."""
    weights = _Weights(1)
    constants = {
        "axis": np.array([1]),
        "places": np.array([2, 3]),
        "c1": weights(channels, 1, 3, 3),
        "c2": weights(channels, channels, 3, 3),
        "c3": weights(channels, channels, 3, 3),
        "head": weights(N_LABELS, channels).T.copy() * 12,
        "embed": weights(4, channels).T.copy(),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["log_mel", "axis"], ["image"]),
        helper.make_node("Conv", ["image", "c1"], ["a"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "c2"], ["c"], name="second", pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "c3"], ["e"], name="third", pads=[1] * 4),
        helper.make_node("Add", ["d", "e"], ["f"]),
        helper.make_node("Relu", ["f"], ["g"]),
        _mean("g", "places", "mean", opset),
        *_heads("mean"),
    ]
    return _built(nodes, constants, mels, opset)


def recurrent(mels: int = 8) -> onnx.ModelProto:
    """A GRU in both directions; each of its states is classified, scores are their mean."""
    weights = _Weights(2)
    constants = {
        "w": weights(2, 3 * WIDTH, mels),
        "r": weights(2, 3 * WIDTH, WIDTH),
        "joined": np.array([0, 0, 2 * WIDTH]),
        "axis": np.array([1]),
        "head": weights(N_LABELS, 2 * WIDTH).T.copy() * 4,
        "bias": weights(N_LABELS),
        "embed": weights(4, 2 * WIDTH).T.copy(),
    }
    nodes = [
        helper.make_node("Transpose", ["log_mel"], ["sequence"], perm=[1, 0, 2]),
        helper.make_node(
            "GRU",
            ["sequence", "w", "r"],
            ["states"],
            hidden_size=WIDTH,
            linear_before_reset=1,
            direction="bidirectional",
        ),
        helper.make_node("Transpose", ["states"], ["beside"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["beside", "joined"], ["sides"]),
        helper.make_node("Transpose", ["sides"], ["in_time"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["in_time", "head"], ["raw"]),
        helper.make_node("Add", ["bias", "raw"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["frames"]),
        _mean("frames", "axis", "scores"),
        _mean("in_time", "axis", "mean"),
        helper.make_node("MatMul", ["mean", "embed"], ["projected_mean"]),
        helper.make_node("LpNormalization", ["projected_mean"], ["embedding"], axis=1),
    ]
    return _built(nodes, constants, mels)


def attentive(mels: int = 8) -> onnx.ModelProto:
    """One head of self-attention with a residual and a layer normalisation, the mean over time is classified."""
    weights = _Weights(3)
    constants = {
        "lift": weights(WIDTH, mels).T.copy(),
        **{name: weights(WIDTH, WIDTH).T.copy() for name in ("q", "k", "v", "o")},
        "root": np.array(np.sqrt(WIDTH), np.float32),
        "scale": np.ones(WIDTH, np.float32),
        "shift": np.zeros(WIDTH, np.float32),
        "axis": np.array([1]),
        "head": weights(N_LABELS, WIDTH).T.copy() * 4,
        "embed": weights(4, WIDTH).T.copy(),
    }
    nodes = [
        helper.make_node("MatMul", ["log_mel", "lift"], ["x"]),
        *(helper.make_node("MatMul", ["x", name], [f"x{name}"]) for name in ("q", "k", "v")),
        helper.make_node("Transpose", ["xk"], ["xkt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["xq", "xkt"], ["products"]),
        helper.make_node("Div", ["products", "root"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["attention"], axis=-1),
        helper.make_node("MatMul", ["attention", "xv"], ["seen"]),
        helper.make_node("MatMul", ["seen", "o"], ["projected"]),
        helper.make_node("Add", ["x", "projected"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "scale", "shift"], ["normal"], axis=-1),
        _mean("normal", "axis", "mean"),
        *_heads("mean"),
    ]
    return _built(nodes, constants, mels)


def card(**changes: Any) -> ModelCard:
    """The card of each of them."""
    return tiny_models.log_mel_card(**{"labels": LABELS, "thresholds": {}, "threshold_method": ""} | changes)


class _Weights:
    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> NDArray[np.float32]:
        return (self._generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _mean(values: str, axes: str, output: str, opset: int = 20) -> onnx.NodeProto:
    if opset < 18:
        return helper.make_node("ReduceMean", [values], [output], axes=[2, 3], keepdims=0)
    return helper.make_node("ReduceMean", [values, axes], [output], keepdims=0)


def _heads(values: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("MatMul", [values, "head"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("MatMul", [values, "embed"], ["projected_mean"]),
        helper.make_node("LpNormalization", ["projected_mean"], ["embedding"], axis=1),
    ]


def _built(
    nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], mels: int, opset: int = 20
) -> onnx.ModelProto:
    outputs: dict[str, list[int | str] | None] = {"scores": ["batch", N_LABELS], "embedding": ["batch", 4]}
    model = tiny_models.build(nodes, {"log_mel": ["batch", "time", mels]}, outputs, constants)
    model.opset_import[0].version = opset
    return model

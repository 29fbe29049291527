"""ONNX files as other people make them: no card, other axes, states, logits, old and new operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.tiny_models import build

if TYPE_CHECKING:
    from pathlib import Path

N_LABELS = 3
WINDOW = 400


def save(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def waveform_logits(shape: tuple[int | str, ...] = ("batch", WINDOW), opset: int = 20) -> onnx.ModelProto:
    """Logits: the mean of the samples times 10, -10 and 5, over the axis that is last; shape (1, 3) or as batched."""
    kept = [axis for axis in range(len(shape)) if axis != len(shape) - 1][1:]
    if opset < 18:  # the axes are an attribute
        nodes = [helper.make_node("ReduceMean", ["sound"], ["mean"], axes=[len(shape) - 1], keepdims=1)]
    else:
        nodes = [helper.make_node("ReduceMean", ["sound", "time_axis"], ["mean"], keepdims=1)]
    if kept:
        nodes.append(helper.make_node("Squeeze", ["mean", "channel_axis"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat" if kept else "mean", "weights"], ["logits"]))
    constants = {
        "time_axis": np.array([len(shape) - 1]),
        "weights": np.array([[10, -10, 5]], np.float32),
        "channel_axis": np.array(kept or [1]),
    }
    model = build(nodes, {"sound": list(shape)}, {"logits": [None, N_LABELS]}, constants)
    model.opset_import[0].version = opset
    return model


def running_sum() -> onnx.ModelProto:
    """total_out = total + gain * mean of the samples; the score is the sigmoid of it."""
    nodes = [
        helper.make_node("ReduceMean", ["sound", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("Cast", ["gain"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["mean", "factor"], ["step"]),
        helper.make_node("Add", ["total", "step"], ["total_out"]),
        helper.make_node("Sigmoid", ["total_out"], ["score"]),
    ]
    model = build(
        nodes,
        {"sound": ["batch", "time"], "total": ["batch", 1]},
        {"score": ["batch", 1], "total_out": ["batch", 1]},
        {"time_axis": np.array([1])},
    )
    model.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.INT64, []))
    return model


def frame_logits(axes: str = "batch time label") -> onnx.ModelProto:
    """Frame scores of log-mel (batch, time, 8): its first three bands as logits, in that order; a vector: frame 0."""
    order = [("batch", "time", "label").index(axis) for axis in axes.split()]
    nodes = [
        helper.make_node("Slice", ["mel", "zero", "three", "two"], ["bands"]),
        helper.make_node("Transpose", ["bands"], ["framewise"], perm=order),
        helper.make_node("Gather", ["mel", "first"], ["vector"], axis=1),
    ]
    constants = {"zero": np.array([0]), "three": np.array([3]), "two": np.array([2]), "first": np.array(0)}
    return build(nodes, {"mel": ["batch", "time", 8]}, {"framewise": None, "vector": None}, constants)


def row_head() -> onnx.ModelProto:
    """Rows (batch, 4, 6) of an embedding to softmax scores over three labels."""
    nodes = [
        helper.make_node("ReduceMean", ["rows", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    constants = {
        "time_axis": np.array([1]),
        "weights": np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, N_LABELS),
    }
    return build(nodes, {"rows": ["batch", 4, 6]}, {"scores": ["batch", N_LABELS]}, constants)


def random_scores() -> onnx.ModelProto:
    """Scores that are drawn anew at each call, as from dropout left on."""
    nodes = [
        helper.make_node("ReduceMean", ["sound", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("RandomUniform", [], ["noise"], shape=[1, N_LABELS]),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "noise"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "zero": np.array([0], np.float32)}
    return build(nodes, {"sound": [1, WINDOW]}, {"scores": [1, N_LABELS]}, constants)


def batch_of_one_in_disguise() -> onnx.ModelProto:
    """A free batch axis in front of a reshape that was traced with one window."""
    nodes = [
        helper.make_node("Reshape", ["sound", "one_window"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    constants = {
        "one_window": np.array([1, -1]),
        "time_axis": np.array([1]),
        "weights": np.array([[1, 2, -1]], np.float32),
    }
    return build(nodes, {"sound": ["batch", WINDOW]}, {"scores": None}, constants)


def with_weights_outside(folder: Path) -> Path:
    """A network of 1024 weights that lie in a file beside it."""
    weights = np.linspace(-0.01, 0.01, WINDOW * N_LABELS, dtype=np.float32).reshape(WINDOW, N_LABELS)
    nodes = [
        helper.make_node("MatMul", ["sound", "weights"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
    ]
    model = build(nodes, {"sound": ["batch", WINDOW]}, {"scores": ["batch", N_LABELS]}, {"weights": weights})
    path = folder / "outside.onnx"
    onnx.save(model, path, save_as_external_data=True, location="outside.data", size_threshold=0)
    assert (folder / "outside.data").is_file()
    return path

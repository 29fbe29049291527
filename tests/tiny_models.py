"""Networks small enough to compute by hand, with cards: what the tests of the engine run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs, write_card
from engine.frontend import FrontendConfig
from engine.verify import record_golden

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

RATE = 8000
LABELS = ("low", "high", "both")
FRONTEND = FrontendConfig(sample_rate=RATE, win_length=200, hop_length=80, n_fft=256, n_mels=8, log_floor=1e-6)
# Sees the lower bands, the upper bands, and all of them.
WEIGHTS = np.array([[1, 0, 0.5]] * 4 + [[0, 1, 0.5]] * 4, np.float32) / 4
BIAS = np.array([1, 1, 1], np.float32)
EMBEDDING_SIZE = 4
PROJECTION = np.linspace(-1, 1, 8 * EMBEDDING_SIZE, dtype=np.float32).reshape(8, EMBEDDING_SIZE)


def log_mel_network(axes: tuple[str, ...] = ("batch", "time", "mel")) -> onnx.ModelProto:
    """sigmoid(mean over time @ WEIGHTS + BIAS), and the mean @ PROJECTION brought to length one."""
    nodes = [
        helper.make_node("Transpose", ["log_mel"], ["ordered"], perm=[axes.index(a) for a in ("batch", "time", "mel")]),
        helper.make_node("ReduceMean", ["ordered", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("MatMul", ["mean", "projection"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["embedding"], axis=1),
    ]
    if "channel" in axes:
        kept = tuple(axis for axis in axes if axis != "channel")
        nodes[0] = helper.make_node("Squeeze", ["log_mel", "channel_axis"], ["flat"])
        nodes.insert(
            1,
            helper.make_node(
                "Transpose", ["flat"], ["ordered"], perm=[kept.index(a) for a in ("batch", "time", "mel")]
            ),
        )
    sizes = {"batch": "batch", "time": "time", "mel": FRONTEND.n_mels, "channel": 1}
    constants = {
        "weights": WEIGHTS,
        "bias": BIAS,
        "projection": PROJECTION,
        "time_axis": np.array([1]),
        "channel_axis": np.array([axes.index("channel") if "channel" in axes else 0]),
    }
    return build(
        nodes,
        {"log_mel": [sizes[axis] for axis in axes]},
        {"scores": ["batch", len(LABELS)], "embedding": ["batch", EMBEDDING_SIZE]},
        constants,
    )


def waveform_network() -> onnx.ModelProto:
    """The mean of the samples, times 1, 2 and -1: numbers that need no front end and no activation."""
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.array([[1, 2, -1]], np.float32)}
    return build(nodes, {"waveform": ["batch", "time"]}, {"scores": ["batch", len(LABELS)]}, constants)


def build(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str] | None],
    constants: dict[str, np.ndarray],
    types: dict[str, int] | None = None,
) -> onnx.ModelProto:
    """A network of opset 20; its inputs and outputs are float32 but for those in ``types``."""

    def ports(shapes: dict[str, list[int | str] | None]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, (types or {}).get(name, TensorProto.FLOAT), shape)
            for name, shape in shapes.items()
        ]

    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", ports(inputs), ports(outputs), initializers)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def log_mel_card(**changes: Any) -> ModelCard:
    """The card of ``log_mel_network``, without hashes and golden check."""
    values: dict[str, Any] = {
        "name": "tiny",
        "task": "tag",
        "labels": LABELS,
        "score": "sigmoid",
        "frontend": FRONTEND,
        "input": ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        "outputs": ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        "window": RATE,
        "hop": RATE // 2,
        "pad": "zeros",
        "reduce": "max",
        "embedding_size": EMBEDDING_SIZE,
        "embedding_normalised": True,
        "thresholds": {"low": 0.25, "high": 0.75},
        "threshold_method": "chosen by hand",
        "training_data": "none, the weights are made up",
        "licence": "Apache-2.0",
        "attribution": "",
        "commit": "",
        "metrics": {"accuracy": {"mean": 0.5, "folds": [0.25, 0.75]}},
    }
    return ModelCard(**values | changes)


def waveform_card(**changes: Any) -> ModelCard:
    """The card of ``waveform_network``."""
    defaults = {
        "score": "distance",
        "frontend": None,
        "input": ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=RATE),
        "outputs": ModelOutputs(scores=ModelOutput("scores", ("batch", "label"))),
        "embedding_size": None,
        "embedding_normalised": False,
    }
    return log_mel_card(**defaults | changes)


def save(path: Path, network: onnx.ModelProto | None = None, card: ModelCard | None = None) -> Path:
    """Write a model with its card, golden check included; ``log_mel_network`` by default."""
    network = log_mel_network() if network is None else network
    card = log_mel_card() if card is None else card
    path.write_bytes(write_card(network, record_golden(network, card)).SerializeToString())
    return path

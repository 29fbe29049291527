"""onnxruntime's static quantiser, given the layers that gain from it and the inputs that the network really sees."""

from __future__ import annotations

import copy
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.card import write_card
from engine.model import Model
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import onnx
    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.convert.recordings import Recording

# A layer below these costs more to bring to 8 bits and back than its products save.
MIN_CHANNELS = 4
MIN_MATRIX = 1 << 16
# What computes in 8 bits only where its inputs are in 8 bits already.
PASSING = ("Add", "Relu", "MaxPool", "AveragePool")


class RecordingSession(Session):
    """A session that keeps what it is fed."""

    def __init__(self, model: bytes) -> None:
        super().__init__(model, device="cpu", threads=1)
        self.feeds: list[dict[str, NDArray[Any]]] = []

    def run(self, outputs: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run, and keep the feeds."""
        self.feeds.append(feeds)
        return super().run(outputs, feeds)


def feeds_of(
    model: onnx.ModelProto, card: ModelCard, recordings: Iterable[Recording], at_most: int
) -> list[dict[str, NDArray[Any]]]:
    """Return what the engine feeds a network for recordings: up to ``at_most`` windows, evenly spread."""
    session = RecordingSession(write_card(model, card).SerializeToString())
    opened = Model(session, card)
    for recording in recordings:
        opened((recording.samples, opened.sample_rate))
    return session.feeds[:: max(1, -(-len(session.feeds) // at_most))]


class Quantizer:
    """Makes int8 variants of one model.

    Parameters
    ----------
    model : ModelProto
    feeds : list of dict
        What to see the ranges of the activations on.

    Attributes
    ----------
    layers : tuple of str
        The nodes that gain from 8 bits: convolutions and large constant matrices.
    """

    def __init__(self, model: onnx.ModelProto, feeds: list[dict[str, NDArray[Any]]]) -> None:
        self._model = _prepared(model)
        self._feeds = feeds
        self.layers = tuple(node.name for node in self._model.graph.node if _gains(node, _shapes(self._model)))

    def quantized(self, layers: Collection[str]) -> onnx.ModelProto:
        """Return the model with ``layers``, and what lies between them, in 8 bits."""
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                copy.deepcopy(self._model),
                path,
                _Reader(self._feeds),
                quant_format=QuantFormat.QDQ,
                # Both signed would leave the dot-product instructions unused.
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_quantize=[*layers, *self._between(layers)],
            )
            return onnx.load(path)

    def _between(self, layers: Collection[str]) -> Iterator[str]:
        """Yield the names of the nodes whose inputs all come from ``layers`` or from other such nodes."""
        in_8_bits: set[str] = set()
        for node in self._model.graph.node:
            passing = node.op_type in PASSING and in_8_bits.issuperset(node.input)
            if passing:
                yield node.name
            if passing or node.name in layers:
                in_8_bits.update(node.output)


class _Reader:
    """Hands the quantiser one window after another; it asks for ``get_next`` until that is None."""

    def __init__(self, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """Return the next window's feeds, or None."""
        return next(self._feeds, None)


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with shapes inferred, constants folded and normalisations fused into convolutions, all named."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        given, path = Path(folder) / "given.onnx", Path(folder) / "prepared.onnx"
        given.write_bytes(model.SerializeToString())
        quant_pre_process(given, path, skip_symbolic_shape=True)
        prepared = onnx.load(path)
    for index, node in enumerate(prepared.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return prepared


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}


def _gains(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    if node.op_type not in ("Conv", "MatMul", "Gemm") or len(node.input) < 2:
        return False
    shape = shapes.get(node.input[1])
    if shape is None:
        return False
    if node.op_type != "Conv":
        return len(shape) == 2 and math.prod(shape) >= MIN_MATRIX
    grouped = any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    return grouped or shape[1] >= MIN_CHANNELS

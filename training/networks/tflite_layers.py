"""The convolutions and linear layers of a TensorFlow Lite file, as float32 weights in torch's order."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# TensorFlow Lite's numbers for the element types and the fused activations that are read here.
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 9: np.int8}
CEILINGS = {0: None, 1: float("inf"), 3: 6.0}


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    kind : str
        "CONV_2D", "DEPTHWISE_CONV_2D" or "FULLY_CONNECTED".
    weight, bias : ndarray, float32
        In torch's order: (out, in, height, width), (channel, 1, height, width) or (out, in); and (out,).
    ceiling : float or None
        Infinity after ReLU, 6 after ReLU6, None without activation.
    """

    kind: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    ceiling: float | None


def read_layers(path: Path) -> list[Layer]:
    """Return the layers in the order in which they run; other operators are passed over.

    Integer weights become the numbers that they stand for: scale * (integer - zero point).

    Raises
    ------
    ModelError
        The file is no TensorFlow Lite file, or damaged; or the package ``tflite`` is missing.
    """
    try:
        import tflite
    except ImportError as error:
        raise ModelError("expected the package tflite to read such files, found none; pip install tflite") from error
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"expected a TensorFlow Lite file, got {path}: {error.strerror}; check the path") from error
    if content[4:8] != b"TFL3":
        raise ModelError(f"expected a TensorFlow Lite file, {path} is none; name another file")
    operators = tflite.BuiltinOperator
    kinds = {
        operators.CONV_2D: ("CONV_2D", tflite.Conv2DOptions, (0, 3, 1, 2)),
        operators.DEPTHWISE_CONV_2D: ("DEPTHWISE_CONV_2D", tflite.DepthwiseConv2DOptions, (3, 0, 1, 2)),
        operators.FULLY_CONNECTED: ("FULLY_CONNECTED", tflite.FullyConnectedOptions, (0, 1)),
    }
    try:
        model = tflite.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        found = [graph.Operators(index) for index in range(graph.OperatorsLength())]
        codes = [model.OperatorCodes(operator.OpcodeIndex()) for operator in found]
        return [
            _layer(model, graph, operator, *kinds[code.BuiltinCode()])
            for operator, code in zip(found, codes, strict=True)
            if code.BuiltinCode() in kinds
        ]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise ModelError(
            f"expected a whole TensorFlow Lite file of a plain network, {path} is damaged or has other layers "
            f"({error}); get it again"
        ) from error


def _layer(model: Any, graph: Any, operator: Any, kind: str, options: Any, order: tuple[int, ...]) -> Layer:
    weight, bias = (_values(model, graph.Tensors(operator.Inputs(position))) for position in (1, 2))
    table, chosen = operator.BuiltinOptions(), options()
    chosen.Init(table.Bytes, table.Pos)
    ceiling = CEILINGS[chosen.FusedActivationFunction()]
    return Layer(kind, np.ascontiguousarray(weight.transpose(order)), bias, ceiling)


def _values(model: Any, tensor: Any) -> NDArray[np.float32]:
    stored = model.Buffers(tensor.Buffer()).DataAsNumpy().view(DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    quantization = tensor.Quantization()
    if quantization is None or quantization.ScaleLength() == 0:
        return stored.astype(np.float32)
    along = [1] * stored.ndim
    along[quantization.QuantizedDimension()] = -1
    scale, zero = quantization.ScaleAsNumpy().reshape(along), quantization.ZeroPointAsNumpy().reshape(along)
    return ((stored - zero) * scale).astype(np.float32)

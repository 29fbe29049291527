"""Models made to harm whoever opens or runs them, each with a card that fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper

from engine.card import write_card
from tests.tiny_models import build, waveform_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


def hostile(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    domain: str | None = None,
) -> bytes:
    """The mean of the samples, plus "harm", which the nodes compute from it ("mean") or from constants."""
    graph = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["clean"]),
        *nodes,
        helper.make_node("Add", ["clean", "harm"], ["scores"]),
    ]
    values = {"time_axis": np.array([1]), "weights": np.array([[1, 2, -1]], np.float32)} | (constants or {})
    model = build(graph, {"waveform": ["batch", "time"]}, {"scores": ["batch", 3]}, values)
    model.functions.extend(functions)
    if domain is not None:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return write_card(model, waveform_card(window=1000, hop=1000)).SerializeToString()


def custom_operator() -> bytes:
    return hostile([helper.make_node("Harm", ["mean"], ["harm"], domain="harm")], domain="harm")


def python_operator() -> bytes:
    node = helper.make_node("PyOp", ["mean"], ["harm"], domain="com.microsoft", module="os", class_name="system")
    return hostile([node], domain="com.microsoft")


def recursive_function() -> bytes:
    calls = {"F": "G", "G": "F"}
    return hostile([_call("F", "mean", "harm")], functions=[_function(f, [g]) for f, g in calls.items()], domain="own")


def doubling_functions(depth: int) -> bytes:
    """Each function calls the next one twice: 2 ** depth nodes once they are inlined."""
    functions = [_function(f"F{i}", [f"F{i + 1}"] * 2) for i in range(depth)]
    last = helper.make_function(
        "own", f"F{depth}", ["x"], ["y"], [helper.make_node("Abs", ["x"], ["y"])], [helper.make_opsetid("", 20)]
    )
    return hostile([_call("F0", "mean", "harm")], functions=[*functions, last], domain="own")


def division_that_overflows() -> bytes:
    """The smallest integer divided by -1, which x86 answers with a signal; computed when the model is opened."""
    nodes = [
        helper.make_node("Div", ["smallest", "minus_one"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["harm"], to=TensorProto.FLOAT),
    ]
    return hostile(nodes, {"smallest": np.array([-(2**63)]), "minus_one": np.array([-1])})


def enormous_constant(shape: Sequence[int]) -> bytes:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["enormous"]),
        helper.make_node("ReduceMax", ["enormous"], ["harm"], keepdims=0),
    ]
    return hostile(nodes, {"shape": np.array(shape)})


def endless_loop() -> bytes:
    ports = [
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("i", TensorProto.INT64), ("c", TensorProto.BOOL), ("x", TensorProto.FLOAT))
    ]
    results = [
        helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x2", TensorProto.FLOAT, []),
    ]
    body = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["x"], ["x2"])]
    loop = helper.make_node("Loop", ["n", "go", "zero"], ["harm"], body=helper.make_graph(body, "body", ports, results))
    return hostile([loop], {"n": np.array(2**62), "go": np.array(True), "zero": np.array(0, np.float32)})


def negative_initializer() -> bytes:
    return _with_lying_initializer([-1])


def overflowing_initializer() -> bytes:
    return _with_lying_initializer([2**32, 2**32])


def _with_lying_initializer(dims: Sequence[int]) -> bytes:
    from onnx import ModelProto

    model = ModelProto.FromString(hostile([], {"harm": np.zeros(1, np.float32)}))
    harm = next(tensor for tensor in model.graph.initializer if tensor.name == "harm")
    harm.dims[:] = dims
    return model.SerializeToString()


def _function(name: str, callees: Sequence[str]) -> onnx.FunctionProto:
    names = ["x", *(f"v{i}" for i in range(len(callees) - 1)), "y"]
    nodes = [_call(callee, names[i], names[i + 1]) for i, callee in enumerate(callees)]
    return helper.make_function("own", name, ["x"], ["y"], nodes, [helper.make_opsetid("own", 1)])


def _call(name: str, source: str, target: str) -> onnx.NodeProto:
    return helper.make_node(name, [source], [target], domain="own")

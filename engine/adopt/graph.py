"""A foreign ONNX file as one graph that every onnxruntime of the engine reads, and the nodes it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import onnx

    from engine.adopt.facts import Activation

# The newest that every onnxruntime the engine accepts can read.
MAX_IR_VERSION, MAX_OPSET = 10, 23
# Before this one, Softmax flattened every axis behind its own into it.
SOFTMAX_OF_ONE_AXIS = 13


def load_graph(path: Path) -> onnx.ModelProto:
    """Return the model in a file, weights that lie in other files of its folder included, in a version that runs.

    Raises
    ------
    ModelError
        The file is missing or no ONNX file, weights are missing or outside its folder, or its operators are too new.
    """
    import onnx

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf, the check of paths and the file system each raise their own
        reason = " ".join(str(error).split())
        raise ModelError(
            f"expected an ONNX file with all its weights, {path} is none: {reason}; get it again"
        ) from error
    if not model.graph.node:
        raise ModelError(f"expected an ONNX file, {path} has no graph; get it again")
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)
    newest = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if newest <= MAX_OPSET:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, MAX_OPSET)
    except Exception as error:  # the converter is C++ and raises what it likes
        reason = " ".join(str(error).split())
        raise ModelError(
            f"expected operators of opset {MAX_OPSET} at most in {path}, got {newest}, which onnx cannot convert "
            f"({reason}); export the model with an older opset"
        ) from error
    converted.ir_version = min(converted.ir_version, MAX_IR_VERSION)
    return converted


def serialised(model: onnx.ModelProto) -> bytes:
    """Return the bytes of a model; one above the two gigabytes of the format is a ModelError."""
    try:
        content: bytes = model.SerializeToString()
    except Exception as error:  # protobuf's own, or ValueError, by its version
        raise ModelError(
            f"expected a model that fits into one file of 2 GB, the limit of the format, got a larger one ({error}); "
            "export it in half precision weights or as a smaller network"
        ) from error
    return content


def fix_batch(model: onnx.ModelProto, name: str, axes: Sequence[str]) -> None:
    """Write into the graph that its input takes one window at a time."""
    port = next(port for port in model.graph.input if port.name == name)
    port.type.tensor_type.shape.dim[axes.index("batch")].dim_value = 1


def append_activation(model: onnx.ModelProto, output: str, axes: Sequence[str], activation: Activation) -> str:
    """Make an output the sigmoid or softmax of what it was, over its axis "label"; return its new name.

    Raises
    ------
    ModelError
        The graph's operators are so old that their softmax takes no axis in the middle.
    """
    from onnx import helper

    port = next(port for port in model.graph.output if port.name == output)
    axis = axes.index("label")
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if activation == "softmax" and opset < SOFTMAX_OF_ONE_AXIS and axis != len(axes) - 1:
        raise ModelError(
            f"expected labels on the last axis of {output!r}, for the softmax of opset {opset} knows no other, got "
            f"{tuple(axes)}; export the model with opset {SOFTMAX_OF_ONE_AXIS} or newer"
        )
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    name = f"{output}_{activation}"
    while name in taken:
        name += "_"
    if activation == "sigmoid":
        node = helper.make_node("Sigmoid", [output], [name])
    else:
        node = helper.make_node("Softmax", [output], [name], axis=axis)
    model.graph.node.append(node)
    port.name = name
    return name

"""The waveform variant: the front end inside the graph, for hosts that have onnxruntime and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.convert.log_mel_graph import NodeList, add_log_mel
from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

    from engine.card import ModelCard
    from engine.card_parts import ModelInput

# Since then padding, slicing and squeezing take their numbers as inputs.
OLDEST_OPSET = 13


def to_waveform(model: onnx.ModelProto, card: ModelCard) -> tuple[onnx.ModelProto, ModelCard]:
    """Return a model that takes samples where ``model`` takes log-mel, and its card without golden check.

    Parameters
    ----------
    model : ModelProto
    card : ModelCard
        Of an input of kind "log_mel".

    Raises
    ------
    ModelError
        The model takes no log-mel, or was written for an older opset than 13.
    """
    import onnx

    if card.frontend is None:
        raise ModelError(
            f"expected a model that takes log-mel, {card.name!r} takes input of kind {card.input.kind!r}; leave the "
            "waveform variant out"
        )
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"expected a model of opset {OLDEST_OPSET} or newer, {card.name!r} is of opset {opset}; bring it up with "
            "onnx.version_converter"
        )
    variant = onnx.ModelProto()
    variant.CopyFrom(model)
    taken = _names(variant.graph)
    prefix = _free("front_end", taken) + "/"
    name = _free("waveform", taken)
    nodes = NodeList(prefix, opset)
    _add_front_end(nodes, card, name)
    port = next(port for port in variant.graph.input if port.name == card.input.name)
    lengths = dict(zip(card.input.axes, port.type.tensor_type.shape.dim, strict=True))
    old = list(variant.graph.node)
    del variant.graph.node[:]
    variant.graph.node.extend([*nodes.nodes, *old])
    variant.graph.initializer.extend(nodes.initializers)
    input_ = _input(card, name)
    dims: list[int | str] = []
    for axis in input_.axes:
        fixed = lengths[axis].HasField("dim_value") and not (axis == "time" and card.pad == "frames")
        size = lengths[axis].dim_value if axis == "batch" else card.window
        dims.append(size if fixed else {"batch": "batch", "time": "samples"}[axis])
    port.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims))
    onnx.checker.check_model(variant)
    return variant, replace(
        card,
        frontend=None,
        input=input_,
        pad="none" if card.pad == "frames" else card.pad,
        golden=None,
    )


def _input(card: ModelCard, name: str) -> ModelInput:
    axes = ("batch", "time") if "batch" in card.input.axes else ("time",)
    return replace(card.input, name=name, kind="waveform", axes=axes, sample_rate=card.sample_rate, frame_padding=0.0)


def _add_front_end(nodes: NodeList, card: ModelCard, name: str) -> None:
    """Add what lies between samples and the input that the network had: the frames, in the order of its axes."""
    assert card.frontend is not None
    axes = card.input.axes
    waveform = name if "batch" in axes else nodes.add("Unsqueeze", name, nodes.constant([0]))
    frames = add_log_mel(nodes, card.frontend, waveform)
    if card.pad == "frames":
        missing = nodes.add("Sub", nodes.constant([card.frontend.n_frames(card.window)]), nodes.length(frames, 1))
        missing = nodes.add("Max", missing, nodes.constant([0]))
        pads = nodes.add("Concat", nodes.constant([0, 0, 0, 0]), missing, nodes.constant([0]), axis=0)
        frames = nodes.add("Pad", frames, pads, nodes.constant(card.input.frame_padding))
    content = ["batch", "time", "mel"]
    order = [content.index(axis) for axis in axes if axis in content]
    if 0 not in order:
        frames = nodes.add("Squeeze", frames, nodes.constant([0]))
        order = [index - 1 for index in order]
    frames = nodes.add("Transpose", frames, perm=order)
    if "channel" in axes:
        frames = nodes.add("Unsqueeze", frames, nodes.constant([axes.index("channel")]))
    nodes.add("Identity", frames, output=card.input.name)


def _names(graph: onnx.GraphProto) -> set[str]:
    """Return every name of a value or node in a graph, its subgraphs' left out: those cannot clash with new names."""
    named = {item.name for part in (graph.input, graph.initializer, graph.node) for item in part}
    return named.union(*(set(node.output) for node in graph.node))


def _free(name: str, taken: Iterable[str]) -> str:
    while any(other == name or other.startswith(f"{name}/") for other in taken):
        name += "_"
    return name

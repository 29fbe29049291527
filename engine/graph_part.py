"""A part of a network's graph as a network of its own: what lies between some of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.card_fields import shown
from engine.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class GraphPart:
    """Where to cut a graph.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Inputs or outputs of the whole graph, by name; an output of the whole may be an input of the part.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut_graph(model: Path | bytes, part: GraphPart) -> bytes:
    """Return the nodes of ``model`` that lead from the part's inputs to its outputs, with all metadata, as a model.

    Raises
    ------
    ModelError
        The graph has no such inputs and outputs, or the outputs need more than the inputs.
    """
    import onnx
    from onnx.utils import Extractor

    try:
        whole = onnx.load_from_string(model if isinstance(model, bytes) else model.read_bytes())
        cut = Extractor(whole).extract_model(list(part.inputs), list(part.outputs))
        cut.metadata_props.extend(whole.metadata_props)
        made = {name for node in cut.graph.node for name in node.output}
        known = made | {tensor.name for tensor in cut.graph.initializer} | set(part.inputs) | {""}
        unfed = sorted(({name for node in cut.graph.node for name in node.input} | set(part.outputs)) - known)
        if not unfed:
            content: bytes = cut.SerializeToString()
            return content
    except Exception as error:  # protobuf, the extractor and the file system each raise their own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"expected a graph that can be cut from {shown(part.inputs)} to {shown(part.outputs)}, got {reason}; "
            "correct the card"
        ) from error
    raise ModelError(
        f"expected {shown(part.outputs)} to be computed from {shown(part.inputs)} alone, the graph also needs "
        f"{shown(unfed)}; correct the card, or export the network so that its towers meet in the similarity only"
    )

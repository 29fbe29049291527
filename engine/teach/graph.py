"""One network out of an embedder and a head: the head's layers as nodes behind the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.card import ModelOutput, ModelOutputs
from engine.convert.log_mel_graph import AXES_AS_INPUT, NodeList
from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from engine.card import ModelCard
    from engine.teach.head import Head

# Since then the softmax is that of one axis.
OLDEST_OPSET = 13


def join_head(model: onnx.ModelProto, card: ModelCard, head: Head) -> tuple[onnx.ModelProto, ModelOutputs]:
    """Return a network that gives the head's scores beside the embedding, and what its card says of its outputs.

    What only served the embedder's own scores is left out.

    Parameters
    ----------
    model : ModelProto
    card : ModelCard
        Of the embedder.
    head : Head

    Raises
    ------
    ModelError
        The embedder was written for an opset before 13.
    """
    import onnx

    output = card.outputs.embedding
    assert output is not None
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"expected an embedder of opset {OLDEST_OPSET} or newer, {card.name!r} is of opset {opset}; bring it up "
            "with onnx.version_converter"
        )
    joined = onnx.ModelProto()
    joined.CopyFrom(model)
    graph = joined.graph
    nodes = NodeList(_free_prefix(graph), opset)
    embedding, batched = _add_embedding(nodes, output, normalised=card.embedding_normalised)
    scores = _add_head(nodes, embedding, head)
    graph.node.extend(nodes.nodes)
    graph.initializer.extend(nodes.initializers)
    kept = {output.name, *(state.output for state in card.input.states)}
    ports = [port for port in graph.output if port.name in kept]
    shape: list[int | str] = ["batch", head.n_labels] if batched else [head.n_labels]
    del graph.output[:]
    graph.output.extend([onnx.helper.make_tensor_value_info(scores, onnx.TensorProto.FLOAT, shape), *ports])
    _prune(graph)
    onnx.checker.check_model(joined)
    return joined, ModelOutputs(ModelOutput(scores, ("batch", "label") if batched else ("label",)), output)


def _add_embedding(nodes: NodeList, output: ModelOutput, *, normalised: bool) -> tuple[str, bool]:
    """Return the embedding of each window as the engine makes it, and whether its first axis is the batch."""
    wanted = tuple(axis for axis in ("batch", "time", "feature") if axis in output.axes)
    name = output.name
    if wanted != output.axes:
        name = nodes.add("Transpose", name, perm=[output.axes.index(axis) for axis in wanted])
    if "time" in wanted:
        axis = wanted.index("time")
        if nodes.opset >= AXES_AS_INPUT:
            name = nodes.add("ReduceMean", name, nodes.constant([axis]), keepdims=0)
        else:
            name = nodes.add("ReduceMean", name, axes=[axis], keepdims=0)
        if normalised:
            # The mean of unit vectors is brought to length one again; where they cancel it stays zero.
            length = nodes.reduce("ReduceL2", name, [-1])
            name = nodes.add("Div", name, nodes.add("Max", length, nodes.constant([np.finfo(np.float32).tiny])))
    return name, "batch" in wanted


def _add_head(nodes: NodeList, embedding: str, head: Head) -> str:
    # Scale and temperature go into the weights. The mean does not: what cancels must do so before the products.
    name = nodes.add("Sub", embedding, nodes.constant(head.mean))
    last = len(head.layers) - 1
    for number, (weight, bias) in enumerate(head.layers):
        if number > 0:
            name = nodes.add("Relu", name)
        temperature = head.temperature if number == last else 1.0
        scale = head.scale if number == 0 else 1.0
        name = nodes.add("MatMul", name, nodes.constant(weight / (scale * temperature)))
        name = nodes.add("Add", name, nodes.constant(bias / temperature))
    return nodes.add("Softmax", name, axis=-1) if head.exclusive else nodes.add("Sigmoid", name)


def _free_prefix(graph: onnx.GraphProto) -> str:
    taken = {name for node in _every_node(graph) for name in (node.name, *node.input, *node.output)}
    taken |= {each.name for each in (*graph.input, *graph.initializer)}
    prefix = "taught"
    while any(name.startswith(f"{prefix}/") for name in taken):
        prefix += "_"
    return f"{prefix}/"


def _every_node(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for part in (attribute.g, *attribute.graphs):
                yield from _every_node(part)


def _prune(graph: onnx.GraphProto) -> None:
    """Take out the nodes and constants that no output needs."""
    needed = {port.name for port in graph.output}
    kept = []
    for node in reversed(graph.node):  # the nodes of an ONNX graph are sorted
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            # Graphs inside a node take values from around it by name.
            inside = (part for attribute in node.attribute for part in (attribute.g, *attribute.graphs))
            needed.update(name for part in inside for each in _every_node(part) for name in each.input)
            needed.update(port.name for attribute in node.attribute for port in attribute.g.output)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for values in (graph.initializer, graph.sparse_initializer, graph.value_info):
        names = [getattr(each, "name", "") or each.values.name for each in values]
        left = [each for each, name in zip(values, names, strict=True) if name in needed]
        del values[:]
        values.extend(left)

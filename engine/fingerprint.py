"""SHA-256 of a model without its card, and of a card without its hashes: what tells one model file from another."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

METADATA_KEY = "engine_card"
HASH_FIELDS = ("card_sha256", "model_sha256")


def card_sha256(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a card's JSON values without the two hashes, as 64 hexadecimal digits."""
    content = {name: value for name, value in values.items() if name not in HASH_FIELDS}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def model_sha256(model: onnx.ModelProto) -> str:
    """Return the SHA-256 of the serialised model without its card, as 64 hexadecimal digits.

    Raises
    ------
    ModelError
        The model keeps weights in other files, which its hash would not cover.
    """
    if any(tensor.data_location == tensor.EXTERNAL for tensor in _tensors(model.graph)):
        raise ModelError(
            "expected a model with its weights inside, got one with weights in other files, which its hash would not "
            "cover; save it as one file (onnx.save with save_as_external_data=False)"
        )
    return hashlib.sha256(without_card(model).SerializeToString(deterministic=True)).hexdigest()


def without_card(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of ``model`` without its card; other metadata stays."""
    bare = copy.deepcopy(model)
    del bare.metadata_props[:]
    bare.metadata_props.extend(entry for entry in model.metadata_props if entry.key != METADATA_KEY)
    return bare


def canonical_json(values: Mapping[str, Any]) -> str:
    """Return the one JSON text of ``values``: keys sorted, no spaces, ASCII; NaN and infinities are a ValueError."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _tensors(subgraph)

"""A network of two towers that can be computed by hand, with its card: what the tests of ranking run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs, QueryTower
from engine.frontend import FrontendConfig
from tests.tiny_models import FRONTEND, RATE, build, log_mel_card, save

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

QUERY_RATE = 4000
QUERY_FRONTEND = FrontendConfig(
    sample_rate=QUERY_RATE, win_length=100, hop_length=40, n_fft=128, n_mels=6, log="dB", log_reference="max"
)
QUERY_SIZE, REFERENCE_SIZE = 3, 5
GENERATOR = np.random.default_rng(7)
QUERY_WEIGHTS = GENERATOR.normal(0, 0.3, (6, QUERY_SIZE)).astype(np.float32)
REFERENCE_WEIGHTS = GENERATOR.normal(0, 0.2, (8, REFERENCE_SIZE)).astype(np.float32)
BILINEAR = GENERATOR.normal(0, 0.01, (QUERY_SIZE, REFERENCE_SIZE)).astype(np.float32)


def two_tower_network(query_in_reference: bool = False) -> onnx.ModelProto:
    """sigmoid((mean query @ QUERY_WEIGHTS) @ BILINEAR . (mean reference @ REFERENCE_WEIGHTS)), pair by pair.

    With ``query_in_reference`` the reference tower also looks at the query, which no card can describe.
    """
    reference = helper.make_node("MatMul", ["mean_reference", "reference_weights"], ["reference"])
    nodes = [
        helper.make_node("ReduceMean", ["query_log_mel", "time_axis"], ["mean_query"], keepdims=0),
        helper.make_node("MatMul", ["mean_query", "query_weights"], ["query"]),
        helper.make_node("ReduceMean", ["reference_log_mel", "time_axis"], ["mean_reference"], keepdims=0),
        reference,
        helper.make_node("MatMul", ["query", "bilinear"], ["turned"]),
        helper.make_node("Mul", ["turned", "reference"], ["products"]),
        helper.make_node("ReduceSum", ["products", "time_axis"], ["logits"], keepdims=0),
        helper.make_node("Sigmoid", ["logits"], ["similarity"]),
    ]
    if query_in_reference:
        reference.output[0] = "alone"
        nodes.insert(4, helper.make_node("ReduceMean", ["mean_query", "time_axis"], ["glance"], keepdims=1))
        nodes.insert(5, helper.make_node("Add", ["alone", "glance"], ["reference"]))
    constants = {
        "query_weights": QUERY_WEIGHTS,
        "reference_weights": REFERENCE_WEIGHTS,
        "bilinear": BILINEAR,
        "time_axis": np.array([1]),
    }
    return build(
        nodes,
        {
            "query_log_mel": ["queries", "query_time", QUERY_FRONTEND.n_mels],
            "reference_log_mel": ["references", "reference_time", FRONTEND.n_mels],
        },
        {
            "query": ["queries", QUERY_SIZE],
            "reference": ["references", REFERENCE_SIZE],
            "similarity": ["references"],
        },
        constants,
    )


def query_tower(**changes: Any) -> QueryTower:
    """The query tower's part of the card, with some fields changed."""
    fields: dict[str, Any] = {
        "frontend": QUERY_FRONTEND,
        "input": ModelInput("query_log_mel", "log_mel", ("batch", "time", "mel")),
        "embedding": ModelOutput("query", ("batch", "feature")),
        "embedding_size": QUERY_SIZE,
        "window": 2 * QUERY_RATE,
        "similarity": "similarity",
    }
    return QueryTower(**(fields | changes))


def two_tower_card(**changes: Any) -> ModelCard:
    """The card of ``two_tower_network``, without hashes and golden check."""
    fields: dict[str, Any] = {
        "name": "tiny-towers",
        "task": "rank",
        "labels": (),
        "score": None,
        "input": ModelInput("reference_log_mel", "log_mel", ("batch", "time", "mel")),
        "outputs": ModelOutputs(embedding=ModelOutput("reference", ("batch", "feature"))),
        "window": RATE,
        "hop": RATE,
        "embedding_size": REFERENCE_SIZE,
        "embedding_normalised": False,
        "thresholds": {},
        "threshold_method": "",
        "query": query_tower(),
    }
    return log_mel_card(**fields | changes)


def save_towers(path: Path, **changes: Any) -> Path:
    """Write the network with its card, golden check included."""
    return save(path, two_tower_network(), two_tower_card(**changes))

"""The card of TL-IMINET, and the network with random weights."""

from __future__ import annotations

from typing import Any

import torch

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs, QueryTower
from engine.frontend import preset
from training.networks.two_tower import QUERY_FEATURES, REFERENCE_FEATURES, TwoTower, tl_iminet

SECONDS = 4


def iminet(seed: int = 0) -> TwoTower:
    """TL-IMINET with random weights and statistics, in evaluation mode."""
    torch.manual_seed(seed)
    network = tl_iminet()
    network(torch.randn(4, 482, 39), 20 * torch.randn(4, 173, 128))
    return network.eval()


def iminet_card(**changes: Any) -> ModelCard:
    """The card of TL-IMINET, with some fields changed."""
    imitation, reference = preset("iminet_imitation"), preset("iminet_reference")
    fields: dict[str, Any] = {
        "name": "tl-iminet",
        "task": "rank",
        "labels": (),
        "score": None,
        "frontend": reference,
        "input": ModelInput("reference_log_mel", "log_mel", ("batch", "time", "mel")),
        "outputs": ModelOutputs(embedding=ModelOutput("reference", ("batch", "feature"))),
        "window": SECONDS * reference.sample_rate,
        "hop": SECONDS * reference.sample_rate,
        "pad": "zeros",
        "reduce": "mean",
        "embedding_size": REFERENCE_FEATURES,
        "embedding_normalised": False,
        "query": QueryTower(
            frontend=imitation,
            input=ModelInput("query_log_mel", "log_mel", ("batch", "time", "mel")),
            embedding=ModelOutput("query", ("batch", "feature")),
            embedding_size=QUERY_FEATURES,
            window=SECONDS * imitation.sample_rate,
            similarity="similarity",
        ),
        "training_data": "none, the weights are random",
        "licence": "Apache-2.0",
        "attribution": "none",
        "commit": "unknown",
    }
    return ModelCard(**(fields | changes))

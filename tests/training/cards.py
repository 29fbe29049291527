"""A card and a network small enough to export in an instant."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine import FrontendConfig, ModelCard
from engine.card import ModelInput, ModelOutput, ModelOutputs
from training.networks.residual import ResidualTagger

LABELS = ("low", "high", "both")
FRONTEND = FrontendConfig(sample_rate=8000, win_length=200, hop_length=80, n_fft=256, n_mels=8, log_floor=1e-6)


def small_network() -> nn.Module:
    """A residual tagger of three labels with random weights and statistics."""
    torch.manual_seed(0)
    network = ResidualTagger(len(LABELS), channels=(4, 8), embedding_size=6)
    network(torch.randn(16, 30, FRONTEND.n_mels))
    return network.eval()


def small_card(**changes: Any) -> ModelCard:
    """The card of ``small_network``, with some fields changed."""
    fields: dict[str, Any] = {
        "name": "small",
        "task": "tag",
        "labels": LABELS,
        "score": "sigmoid",
        "frontend": FRONTEND,
        "input": ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        "outputs": ModelOutputs(
            ModelOutput("scores", ("batch", "label")), ModelOutput("embedding", ("batch", "feature"))
        ),
        "window": 4000,
        "hop": 4000,
        "pad": "zeros",
        "reduce": "max",
        "embedding_size": 6,
        "embedding_normalised": True,
        "training_data": "none",
        "licence": "Apache-2.0",
        "attribution": "none",
        "commit": "unknown",
    }
    return ModelCard(**(fields | changes))

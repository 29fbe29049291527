"""TL-IMINET with random weights, and its card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from training.export_two_tower import iminet_card as described
from training.networks.two_tower import TwoTower, tl_iminet

if TYPE_CHECKING:
    from engine.card import ModelCard


def iminet(seed: int = 0) -> TwoTower:
    """TL-IMINET with random weights and statistics, in evaluation mode."""
    torch.manual_seed(seed)
    network = tl_iminet()
    network(torch.randn(4, 482, 39), 20 * torch.randn(4, 173, 128))
    return network.eval()


def iminet_card(**changes: Any) -> ModelCard:
    """The card of TL-IMINET, with some fields changed."""
    card = described(
        "tl-iminet",
        training_data="none, the weights are random",
        licence="Apache-2.0",
        attribution="none",
        commit="unknown",
    )
    return replace(card, **changes)

"""A loop that is interrupted and goes on equals one that is not, bit for bit, generators included."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import ConfigError
from training.generators import capture, restore
from training.run import Run

if TYPE_CHECKING:
    from pathlib import Path


def train(run: Run, n_epochs: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Draw from every kind of generator in every step."""
    generators = {"noise": torch.Generator().manual_seed(1), "order": np.random.default_rng(2)}
    torch.manual_seed(3)
    random.seed(4)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    losses: list[float] = []
    if state := run.load():
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        losses = list(state["losses"])
        restore(state["generators"], generators)
    while len(losses) < n_epochs:
        x = torch.randn(6, 4, generator=generators["noise"])[torch.from_numpy(generators["order"].permutation(6))]
        loss = (network(x) * random.random() * random.gauss(0, 1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        parts = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        run.save(parts | {"losses": losses, "generators": capture(generators)})
    return losses, network.state_dict()


@pytest.mark.parametrize("stop", [1, 4])
def test_an_interrupted_loop_equals_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    losses, weights = train(Run(tmp_path / "whole", {}), 6)
    train(Run(tmp_path / "parts", {}), stop)
    torch.rand(7)  # what another process may have drawn
    again, same = train(Run(tmp_path / "parts", {}), 6)
    assert again == losses
    assert all(torch.equal(same[name], weights[name]) for name in weights)


def test_generators_of_other_names_are_refused() -> None:
    state = capture({"noise": torch.Generator()})
    with pytest.raises(ConfigError, match="'order'"):
        restore(state, {"order": np.random.default_rng(0)})

"""An exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def exponential_average(network: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of ``network`` that follows it at each ``update_parameters(network)``.

    Parameters and the running means and variances of batch normalisation are averaged alike, so that the averaged
    weights meet statistics of the same age; whole-number buffers (the count of batches seen) are copied. The decay
    rises as (1 + n) / (10 + n) with the number of updates n up to ``decay``: the random start is soon forgotten.
    """

    def follow(averaged: Tensor, current: Tensor, n_updates: Tensor | int) -> Tensor:
        if not averaged.is_floating_point():
            return current
        n = int(n_updates)
        return torch.lerp(current, averaged, min(decay, (1 + n) / (10 + n)))

    return AveragedModel(network, avg_fn=follow, use_buffers=True)

"""The weight average against a loop over plain numbers, buffers included."""

from __future__ import annotations

import torch
from torch import nn

from training.averaging import exponential_average


def test_parameters_and_batch_norm_statistics_are_averaged_alike() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = exponential_average(network, decay=0.5)
    names = ("0.weight", "1.bias", "1.running_mean", "1.running_var")
    expected: dict[str, torch.Tensor] = {}
    for n in range(8):
        network(torch.randn(4, 3))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update_parameters(network)
        decay = min(0.5, (1 + n) / (10 + n))
        for name in names:
            current = network.state_dict()[name].clone()
            # The first update takes the weights as they are.
            expected[name] = current if n == 0 else decay * expected[name] + (1 - decay) * current
            torch.testing.assert_close(average.module.state_dict()[name], expected[name])
        assert average.module.state_dict()["1.num_batches_tracked"] == n + 1


def test_the_averaged_network_does_not_follow_in_place() -> None:
    network = nn.Linear(2, 2)
    average = exponential_average(network, decay=0.9)
    before = average.module.weight.clone()
    with torch.no_grad():
        network.weight.add_(1.0)
    assert torch.equal(average.module.weight, before)

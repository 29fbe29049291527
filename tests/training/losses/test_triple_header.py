"""The triple-header loss against a loop and the worked figures of 25 clusters."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.triple_header import triple_header

# Sixteen clusters of the background, six, one and two of the events.
CLASS_OF = torch.tensor([0] * 16 + [1] * 6 + [2] + [3] * 2)


def test_the_loss_is_a_loop() -> None:
    activations = 3 * torch.randn(7, 25, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clusters = torch.tensor([0, 3, 15, 17, 22, 23, 24])
    total = weights = 0.0
    for row, own in zip(activations.tolist(), clusters.tolist(), strict=True):
        same = [k for k in range(25) if CLASS_OF[k] == CLASS_OF[own]]
        inside = 1.0
        for k in range(25):
            if k != own:
                inside += math.exp(row[k] - row[own] + (0.5 if k in same else 4.0))
        total += math.log(inside) / len(same)
        weights += 1 / len(same)
    found = triple_header(activations, clusters, CLASS_OF, same_margin=0.5, other_margin=4.0)
    assert found.item() == pytest.approx(total / weights)


@pytest.mark.parametrize(
    ("alpha", "own", "same", "margin", "expected"),
    [
        (10, 22, 0.0, 5.0, 0.1499),
        (10, 22, 0.0, 0.0, 0.0011),
        (10, 0, 0.5, 5.0, 0.1499),
        (1, 22, 0.0, 5.0, 7.1788),
        (1, 0, 0.5, 5.0, 6.2176),
    ],
)
def test_worked_figures(alpha: float, own: int, same: float, margin: float, expected: float) -> None:
    cosine = torch.where(CLASS_OF[own] == CLASS_OF, same, 0.0).double()
    cosine[own] = 1
    found = triple_header(alpha * cosine[None], torch.tensor([own]), CLASS_OF, other_margin=margin)
    assert found.item() == pytest.approx(expected, abs=5e-5)


def test_an_empty_batch_is_zero_with_a_gradient() -> None:
    nothing = torch.empty(0, 25, requires_grad=True)
    loss = triple_header(nothing, torch.empty(0, dtype=torch.int64), CLASS_OF)
    loss.backward()
    assert loss.item() == 0

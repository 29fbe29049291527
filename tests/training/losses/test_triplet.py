"""The triplet loss against a loop over triplets."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.triplet import triplet_loss


def rows(seed, n=7, size=5):
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("margin", [0.0, 1.0, 3.0])
def test_against_a_loop(squared, margin):
    sides = rows(0), rows(1), rows(2)
    total = 0.0
    for a, p, n in zip(*(side.tolist() for side in sides), strict=True):
        near = sum((x - y) ** 2 for x, y in zip(a, p, strict=True))
        far = sum((x - y) ** 2 for x, y in zip(a, n, strict=True))
        if not squared:
            near, far = math.sqrt(near), math.sqrt(far)
        total += max(0.0, near - far + margin)
    assert triplet_loss(*sides, margin, squared=squared).item() == pytest.approx(total / 7, rel=1e-7)


@pytest.mark.parametrize("squared", [True, False])
def test_gradients_by_finite_differences_flow_into_all_three(squared):
    sides = [rows(seed, 4, 3).requires_grad_() for seed in range(3)]
    assert torch.autograd.gradcheck(lambda *given: triplet_loss(*given, 1.0, squared=squared), sides)
    triplet_loss(*sides, 10.0, squared=squared).backward()
    assert all(float(side.grad.abs().sum()) > 0 for side in sides)


@pytest.mark.parametrize("squared", [True, False])
def test_no_triplets_and_equal_embeddings_have_finite_gradients(squared):
    empty = torch.zeros(0, 4, requires_grad=True)
    loss = triplet_loss(empty, empty, empty, squared=squared)
    loss.backward()
    assert loss.item() == 0
    same = torch.ones(3, 4, requires_grad=True)
    loss = triplet_loss(same, same.detach(), same.detach(), squared=squared)
    loss.backward()
    assert loss.item() == 1
    assert torch.isfinite(same.grad).all()

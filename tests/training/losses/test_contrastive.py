"""Contrastive losses of a batch: against loops over anchors, with mixed labels, and with nothing to compare."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.losses.contrastive import batch_hard_triplet, supervised_contrastive

LOSSES = (supervised_contrastive, batch_hard_triplet)
TARGETS = torch.tensor(
    [[1, 0, 0], [1, 0, 0], [0.3, 0.7, 0], [0.6, 1.4, 0], [0, 0, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1]],
    dtype=torch.float64,
)
N = len(TARGETS)


def embeddings(n: int = N) -> Tensor:
    return torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_supervised_contrastive_is_a_loop_over_anchors_and_positives() -> None:
    rows, losses = embeddings().detach(), []
    for i in range(N):
        others = [j for j in range(N) if j != i]
        total = sum(math.exp(cosine(rows[i], rows[j]) / 0.1) for j in others)
        alike = {j: cosine(TARGETS[i], TARGETS[j]) for j in others}
        if sum(alike.values()) > 0:
            each = [weight * (cosine(rows[i], rows[j]) / 0.1 - math.log(total)) for j, weight in alike.items()]
            losses.append(-sum(each) / sum(alike.values()))
    assert supervised_contrastive(rows, TARGETS).item() == pytest.approx(sum(losses) / len(losses))
    assert supervised_contrastive(rows, TARGETS, temperature=1.0) < supervised_contrastive(rows, TARGETS)


def test_batch_hard_is_a_loop_over_anchors() -> None:
    rows, losses = torch.nn.functional.normalize(embeddings().detach(), dim=1), []
    for i in range(N):
        likeness = [cosine(TARGETS[i], TARGETS[j]) for j in range(N)]
        near = [float((rows[i] - rows[j]).norm()) for j in range(N) if j != i and likeness[j] > 0.9999]
        far = [float((rows[i] - rows[j]).norm()) for j in range(N) if likeness[j] < 0.0001]
        if near and far:
            losses.append(max(0.0, max(near) - min(far) + 0.2))
    assert len(losses) == 7
    assert batch_hard_triplet(rows, TARGETS).item() == pytest.approx(sum(losses) / 7, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_nothing_to_compare_is_zero_with_a_gradient_of_zero(loss, n: int) -> None:
    rows = embeddings(n)
    value = loss(rows, torch.eye(3, dtype=torch.float64)[:n])
    value.backward()
    assert value.item() == 0
    assert torch.equal(rows.grad, torch.zeros_like(rows))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_differences_and_finite_where_embeddings_are_equal(loss) -> None:
    assert torch.autograd.gradcheck(lambda rows: loss(rows, TARGETS), embeddings())
    same = torch.ones(N, 4, dtype=torch.float64, requires_grad=True)
    loss(same, TARGETS).backward()
    assert same.grad.isfinite().all()

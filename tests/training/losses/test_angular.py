"""Angular losses against loops over pairs, on worked examples, and where pairs are missing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.losses.angular import (
    angular_distance_distribution,
    focal,
    orthogonal_projection,
    soft_angular_distance_distribution,
)

LABELS = [0, 0, 1, 1, 1, 2]


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def pairs(vectors: torch.Tensor) -> list[tuple[int, int, float]]:
    found = []
    for i, j in itertools.combinations(range(len(vectors)), 2):
        a, b = vectors[i].numpy(), vectors[j].numpy()
        found.append((i, j, 1 - float(a @ b) / math.sqrt(a @ a) / math.sqrt(b @ b)))
    return found


def test_hard_labels_are_a_loop(embeddings: torch.Tensor) -> None:
    near = [d for i, j, d in pairs(embeddings) if LABELS[i] == LABELS[j]]
    far = [d for i, j, d in pairs(embeddings) if LABELS[i] != LABELS[j]]
    p, n = np.square(near), np.square(1 - np.array(far))
    squared = 1 * p.mean() + 2 * p.std(ddof=1) + 3 * n.mean() + 4 * n.std(ddof=1)
    plain = np.mean(near) ** 2 + 2 * np.std(near, ddof=1) + 3 * (1 - np.mean(far)) ** 2 + 4 * np.std(far, ddof=1)
    labels = torch.tensor(LABELS)
    assert angular_distance_distribution(embeddings, labels, (1, 2, 3, 4)).item() == pytest.approx(squared)
    assert angular_distance_distribution(embeddings, labels, (1, 2, 3, 4), "plain").item() == pytest.approx(plain)


def test_soft_labels_are_a_loop(embeddings: torch.Tensor) -> None:
    targets = torch.rand(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets[1], targets[3] = 2 * targets[0], targets[0]
    wanted = [d for _, _, d in pairs(targets)]
    given = [d for _, _, d in pairs(embeddings)]
    total = sum((a - b) ** 2 for a, b in zip(wanted, given, strict=True))
    same = np.square([d for d, w in zip(given, wanted, strict=True) if w < 1e-3])
    found = soft_angular_distance_distribution(embeddings, targets, (1, 2))
    assert found.item() == pytest.approx(2 * total / 30 + 2 * same.std(ddof=1))
    found = soft_angular_distance_distribution(embeddings, targets, (1, 0), count_diagonal=True)
    assert found.item() == pytest.approx(2 * total / 36)


def test_one_hot_soft_labels_pool_both_kinds_of_pairs(embeddings: torch.Tensor) -> None:
    one_hot = functional.one_hot(torch.tensor(LABELS)).double()
    members = [d**2 if LABELS[i] == LABELS[j] else (1 - d) ** 2 for i, j, d in pairs(embeddings)]
    assert soft_angular_distance_distribution(embeddings, one_hot, (1, 0)).item() == pytest.approx(np.mean(members))


def test_worked_examples() -> None:
    e = torch.eye(2)[[0, 0, 1]].requires_grad_()
    labels = torch.tensor([0, 0, 1])
    for k in range(4):
        weights = tuple(float(i == k) for i in range(4))
        loss = angular_distance_distribution(e, labels, weights)
        assert 0 <= loss.item() <= 1.01e-6
    angular_distance_distribution(e, labels).backward()
    assert e.grad is not None
    assert e.grad.isfinite().all()
    sixty = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    assert angular_distance_distribution(sixty, torch.tensor([0, 0])).item() == pytest.approx(0.25)


@pytest.mark.parametrize("labels", [[], [0], [0, 1], [0, 0], [0, 0, 1]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_missing_pairs_give_zero_and_finite_gradients(labels: list[int], dtype: torch.dtype) -> None:
    e = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(0), dtype=dtype).requires_grad_()
    truth = torch.tensor(labels, dtype=torch.int64)
    soft = functional.one_hot(truth, 2).to(dtype)
    total = (
        angular_distance_distribution(e, truth)
        + angular_distance_distribution(e, truth, moments="plain")
        + soft_angular_distance_distribution(e, soft, count_diagonal=True)
        + orthogonal_projection(e, truth)
    )
    total.backward()
    assert total.isfinite()
    assert e.grad is not None
    assert e.grad.isfinite().all()
    if len(labels) < 2:
        assert total.item() == 0


def test_orthogonal_projection_is_a_loop(embeddings: torch.Tensor) -> None:
    near = [d for i, j, d in pairs(embeddings) if LABELS[i] == LABELS[j]]
    far = [1 - d for i, j, d in pairs(embeddings) if LABELS[i] != LABELS[j]]
    labels = torch.tensor(LABELS)
    expected = np.mean(near) + 0.5 * np.mean(far)
    assert orthogonal_projection(embeddings, labels).item() == pytest.approx(expected)
    expected = np.mean(near) + 2 * np.mean(np.abs(far))
    assert orthogonal_projection(embeddings, labels, 2.0, absolute=True).item() == pytest.approx(expected)


def test_focal_is_a_loop_and_gamma_0_is_cross_entropy() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    p = [float(logits[i].softmax(0)[labels[i]]) for i in range(5)]
    assert focal(logits, labels).item() == pytest.approx(np.mean([-((1 - q) ** 2) * math.log(q) for q in p]))
    assert focal(logits, labels, 0.0).item() == pytest.approx(functional.cross_entropy(logits, labels).item())
    sure = torch.tensor([[200.0, 0.0]], requires_grad=True)
    focal(sure, torch.tensor([0]), 0.5).backward()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()

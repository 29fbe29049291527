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
    angular_moments,
    distances,
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
    # Both orders of a pair count, so the deviation's n - 1 is one less than twice the pairs.
    near, far = 2 * near, 2 * far
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
    same = np.square(2 * [d for d, w in zip(given, wanted, strict=True) if w < 1e-3])
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


def all_of_them(e: torch.Tensor, truth: torch.Tensor, soft: torch.Tensor) -> torch.Tensor:
    return (
        angular_distance_distribution(e, truth)
        + angular_distance_distribution(e, truth, moments="plain")
        + soft_angular_distance_distribution(e, soft)
        + soft_angular_distance_distribution(e, soft, count_diagonal=True)
        + orthogonal_projection(e, truth)
        + orthogonal_projection(e, truth, 2.0, absolute=True)
    )


# Random rows, rows that are all the same, opposite ones, rows without a direction, and the shortest ones that have one.
ROWS = {
    "random": lambda n: torch.randn(n, 3, generator=torch.Generator().manual_seed(0)),
    "equal": lambda n: torch.tensor([[0.3, -2.0, 0.1]]).repeat(n, 1),
    "opposite": lambda n: torch.tensor([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]).repeat(3, 1)[:n],
    "zero": lambda n: torch.zeros(n, 3),
    "short": lambda n: 1e-4 * torch.ones(n, 3) * torch.tensor([1.0, -1.0] * 3)[:n, None],
}


@pytest.mark.parametrize("labels", [[], [0], [0, 1], [0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 1, 0]])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
def test_every_batch_has_a_finite_loss_and_gradient(
    labels: list[int], dtype: torch.dtype, rows: str, autocast: torch.dtype | None
) -> None:
    e = ROWS[rows](len(labels)).to(dtype).requires_grad_()
    truth = torch.tensor(labels, dtype=torch.int64)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        total = all_of_them(e, truth, functional.one_hot(truth, 2).to(dtype))
    assert total.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    total.backward()
    assert total.isfinite()
    assert e.grad is not None
    assert e.grad.isfinite().all()
    if len(labels) < 2:
        assert total.item() == 0
        assert not e.grad.any()


@pytest.mark.gpu
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_device_gives_the_loss_and_gradient_of_the_processor(
    rows: str, autocast: torch.dtype | None, dtype: torch.dtype, gpu: str
) -> None:
    truth = torch.tensor([0, 1, 1, 0])
    found = []
    for device in ("cpu", gpu):
        e = ROWS[rows](4).to(dtype).to(device).requires_grad_()
        given = truth.to(device)
        with torch.autocast(e.device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            total = all_of_them(e, given, functional.one_hot(given, 2).to(dtype)) + focal(e, given)
        total.backward()
        assert e.grad is not None
        assert e.grad.isfinite().all()
        found.append(total.item())
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-5)


def test_autocast_changes_nothing() -> None:
    e, truth = torch.randn(20, 8), torch.arange(20) % 4
    soft = functional.one_hot(truth).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = all_of_them(e, truth, soft), focal(e, truth)
    outside = all_of_them(e, truth, soft), focal(e, truth)
    assert inside == outside


def test_one_pair_has_no_deviation_and_two_have_one() -> None:
    e = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    near, near_std, far, far_std = angular_moments(e[:2], torch.tensor([0, 0]))
    assert near > 0
    assert [near_std.item(), far.item(), far_std.item()] == [0.0, 0.0, 0.0]
    *_, far_std = angular_moments(e[:3], torch.tensor([0, 1, 1]))
    assert far_std > 1e-3


def test_a_row_without_direction_gets_no_gradient_and_is_orthogonal_to_all() -> None:
    e = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], requires_grad=True)
    truth = torch.tensor([0, 0, 1])
    assert distances(e)[0].tolist() == [1.0, 1.0, 1.0]
    angular_distance_distribution(e, truth).backward()
    assert e.grad is not None
    assert e.grad[0].tolist() == [0.0, 0.0]
    assert e.grad[1].any()


def test_length_does_not_matter_and_mixed_labels_are_normalised(embeddings: torch.Tensor) -> None:
    labels, lengths = torch.tensor(LABELS), torch.arange(1, 7, dtype=torch.float64)[:, None]
    soft = torch.rand(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, other = all_of_them(embeddings, labels, soft), all_of_them(lengths * embeddings, labels, soft / lengths)
    torch.testing.assert_close(one, other)


def test_the_loss_is_of_the_whole_batch(embeddings: torch.Tensor) -> None:
    """Halves of a batch, as several devices would see them, have other pairs: the loss is not their mean."""
    labels = torch.tensor(LABELS)
    halves = [angular_distance_distribution(embeddings[i::2], labels[i::2]) for i in (0, 1)]
    assert angular_distance_distribution(embeddings, labels) != pytest.approx(sum(halves).item() / 2, rel=0.05)


def test_gradients_are_those_of_finite_differences(embeddings: torch.Tensor) -> None:
    labels = torch.tensor(LABELS)
    soft = torch.rand(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.autograd.gradcheck(lambda e: all_of_them(e, labels, soft), embeddings.requires_grad_())


def test_negative_pairs_are_best_at_right_angles() -> None:
    labels = torch.tensor([0, 1])
    by_angle = [
        angular_distance_distribution(torch.tensor([[1.0, 0.0], [math.cos(a), math.sin(a)]]), labels).item()
        for a in (0.0, math.pi / 4, math.pi / 2, 3 * math.pi / 4, math.pi)
    ]
    assert by_angle == pytest.approx([1.0, 0.5, 0.0, 0.5, 1.0], abs=1e-6)


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_focal_of_short_floats_is_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([[60.0, 0.0, -60.0], [-60.0, 0.0, 60.0]], dtype=dtype, requires_grad=True)
    loss = focal(logits, torch.tensor([0, 0]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()

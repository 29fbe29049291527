"""Triple-header cross entropy against the equations written out, and against the numbers of the paper's reading."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.triple_header import positive_weights, triple_header, weighted_bce

# The paper's first set: dog 6, baby 1, gun 2 and background 16 clusters.
CLUSTER_CLASS = torch.tensor([0] * 6 + [1] + [2] * 2 + [3] * 16)
BABY, BACKGROUND = 6, 9


def naive(outputs, own, cluster_class, beta, beta_other):
    """The weighted mean of log(1 + same-class sum + other-class sum), sample by sample (equations 5 to 9)."""
    total = weight_sum = 0.0
    for row, k in zip(outputs.tolist(), own.tolist(), strict=True):
        inside = 1.0
        for other, value in enumerate(row):
            if other != k:
                same = cluster_class[other] == cluster_class[k]
                inside += math.exp(value - row[k] + (beta if same else beta_other))
        weight = 1 / int((cluster_class == cluster_class[k]).sum())
        total += weight * math.log(inside)
        weight_sum += weight
    return total / weight_sum


@pytest.mark.parametrize(("beta", "beta_other"), [(0.0, 5.0), (1.5, 3.0), (-1.0, 0.0)])
def test_equals_the_equations(beta, beta_other):
    generator = torch.Generator().manual_seed(1)
    outputs = 10 * torch.randn(40, len(CLUSTER_CLASS), generator=generator, dtype=torch.double)
    own = torch.randint(len(CLUSTER_CLASS), (40,), generator=generator)
    found = triple_header(outputs, own, CLUSTER_CLASS, same_margin=beta, other_margin=beta_other)
    assert found.item() == pytest.approx(naive(outputs, own, CLUSTER_CLASS, beta, beta_other), rel=1e-12)


@pytest.mark.parametrize(
    ("alpha", "baby", "background"),
    [(1, 7.1788, 6.2176), (5, 3.2186, 2.4244), (10, 0.1499, 0.1499), (20, 7.3e-6, 6.8e-4)],
)
def test_values_of_the_reading(alpha, baby, background):
    cosines = torch.zeros(2, 25, dtype=torch.double)
    cosines[0, BABY] = 1
    cosines[1, BACKGROUND:] = 0.5
    cosines[1, BACKGROUND] = 1
    for row, k, expected in ((0, BABY, baby), (1, BACKGROUND, background)):
        loss = triple_header(alpha * cosines[row : row + 1], torch.tensor([k]), CLUSTER_CLASS)
        assert loss.item() == pytest.approx(expected, rel=0.02, abs=5e-5)
    unpunished = triple_header(10 * cosines[:1], torch.tensor([BABY]), CLUSTER_CLASS, other_margin=0.0)
    assert unpunished.item() == pytest.approx(0.0011, abs=5e-5)


@pytest.mark.parametrize(("alpha", "least"), [(1, 6.2), (5, 18.2), (10, 33.2)])
def test_margins_inside_the_scale_can_never_be_met(alpha, least):
    cosines = torch.full((1, 25), -1.0, dtype=torch.double)
    cosines[0, BABY] = 1
    loss = triple_header(alpha * cosines, torch.tensor([BABY]), CLUSTER_CLASS, reading="C", scale=float(alpha))
    assert loss.item() == pytest.approx(least, abs=0.05)


def test_factors_that_are_powers_of_e_are_additive_margins():
    outputs = torch.randn(20, 25, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    own = torch.arange(20)
    factors = {"same_margin": math.exp(0.3), "other_margin": math.exp(2.0)}
    multiplied = triple_header(outputs, own, CLUSTER_CLASS, reading="B", **factors)
    added = triple_header(outputs, own, CLUSTER_CLASS, same_margin=0.3, other_margin=2.0)
    assert multiplied.item() == pytest.approx(added.item(), rel=1e-12)


def test_a_factor_of_zero_leaves_the_clusters_of_a_class_alone():
    outputs = torch.randn(1, 25, generator=torch.Generator().manual_seed(3), requires_grad=True)
    triple_header(outputs, torch.tensor([BACKGROUND]), CLUSTER_CLASS, reading="B").backward()
    assert outputs.grad[0, BACKGROUND + 1 :].abs().max() == 0
    assert outputs.grad[0, :BACKGROUND].min() > 0


def test_lowering_the_own_output_treats_all_others_alike():
    outputs = torch.randn(5, 25, generator=torch.Generator().manual_seed(4), dtype=torch.double)
    own = torch.tensor([0, 6, 7, 9, 24])
    lowered = triple_header(outputs, own, CLUSTER_CLASS, reading="D", other_margin=2.0)
    added = triple_header(outputs, own, CLUSTER_CLASS, same_margin=2.0, other_margin=2.0)
    assert lowered.item() == pytest.approx(added.item(), rel=1e-12)


@pytest.mark.parametrize("reading", ["A", "B", "C", "D"])
def test_gradients_are_those_of_finite_differences(reading):
    outputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.double, requires_grad=True)
    classes, own = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 2, 4, 5])
    margins = {"same_margin": 0.5, "other_margin": 2.0, "reading": reading}
    assert torch.autograd.gradcheck(lambda values: triple_header(values, own, classes, **margins), (outputs,))


def test_separation_of_classes_is_learnt_before_that_of_clusters():
    outputs = torch.zeros(1, 25, requires_grad=True)
    triple_header(outputs, torch.tensor([BACKGROUND]), CLUSTER_CLASS).backward()
    share = outputs.grad[0, :BACKGROUND].sum() / outputs.grad[0].clamp_min(0).sum()
    assert share.item() == pytest.approx(0.989, abs=0.001)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.double])
def test_no_sample_and_extreme_samples_have_finite_gradients(dtype):
    empty = torch.zeros(0, 25, dtype=dtype, requires_grad=True)
    loss = triple_header(empty, torch.zeros(0, dtype=torch.long), CLUSTER_CLASS)
    loss.backward()
    assert loss.item() == 0
    extreme = torch.full((2, 25), 200.0, dtype=dtype, requires_grad=True)
    wrong = extreme * torch.tensor([1.0, -1.0], dtype=dtype)[:, None]
    triple_header(wrong, torch.tensor([0, 6]), CLUSTER_CLASS).backward()
    assert extreme.grad.isfinite().all()


def test_classes_of_clusters_of_equal_size_have_equal_weight():
    own = torch.arange(25).repeat_interleave(4)
    outputs = torch.zeros(100, 25, requires_grad=True)
    triple_header(outputs, own, CLUSTER_CLASS, other_margin=0.0).backward()
    pull = outputs.grad.abs().sum(dim=1)
    by_class = [pull[CLUSTER_CLASS[own] == c].sum().item() for c in range(4)]
    assert by_class == pytest.approx([by_class[0]] * 4, rel=1e-5)


def test_positives_weigh_as_much_as_negatives():
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    weights = positive_weights(targets)
    assert weights.tolist() == [3.0, 1.0, 1.0]


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_weighted_cross_entropy_entry_by_entry(gamma):
    logits = torch.tensor([[0.3, -2.0], [4.0, 0.0]], dtype=torch.double)
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.double)
    weights = torch.tensor([3.0, 0.5], dtype=torch.double)
    total = 0.0
    for i in range(2):
        for j in range(2):
            p = 1 / (1 + math.exp(-logits[i, j].item()))
            if targets[i, j] == 1:
                total -= weights[j].item() * (1 - p) ** gamma * math.log(p)
            else:
                total -= p**gamma * math.log(1 - p)
    assert weighted_bce(logits, targets, weights, gamma=gamma).item() == pytest.approx(total / 4, rel=1e-12)

"""Ranking losses against naive loops, and the gradient that a sigmoid in float32 loses."""

import math

import pytest
import torch

from training.losses import ranking


def cross_entropy(probability, answer):
    return -math.log(probability if answer else 1 - probability)


@pytest.mark.parametrize("loss", [ranking.pairwise, ranking.triplet])
def test_binary_cross_entropy_of_the_loop(loss):
    logits, answers = torch.tensor([0.3, -2.0, 1.5]), torch.tensor([True, False, False])
    expected = sum(
        cross_entropy(1 / (1 + math.exp(-logit)), answer)
        for logit, answer in zip(logits.tolist(), answers.tolist(), strict=True)
    )
    assert float(loss(logits, answers)) == pytest.approx(expected / 3, rel=1e-6)


def test_a_triplet_that_is_all_wrong_keeps_its_gradient():
    logit = torch.tensor([50.0 * (0 - 1)], requires_grad=True)
    loss = ranking.triplet(logit, torch.tensor([True]))
    loss.backward()
    assert (loss.item(), logit.grad.item()) == (50.0, -1.0)


def test_in_batch_is_the_loop_and_repeated_targets_do_not_count():
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([5, 2, 5, 7])
    total = 0.0
    for i in range(4):
        columns = [j for j in range(4) if j == i or targets[j] != targets[i]]
        row = logits[i].tolist()
        total -= math.log(math.exp(row[i]) / sum(math.exp(row[j]) for j in columns))
    loss = ranking.in_batch(logits, targets[:, None] == targets)
    loss.backward()
    assert loss.item() == pytest.approx(total / 4, rel=1e-5)
    assert logits.grad.isfinite().all()
    assert logits.grad[0, 2] == 0


@pytest.mark.parametrize("loss", [ranking.pairwise, ranking.triplet])
@pytest.mark.parametrize("shapes", [((0,), (0,)), ((2,), (3,)), ((2, 2), (2, 2))])
def test_other_shapes_are_refused(loss, shapes):
    with pytest.raises(ValueError, match="expected logits and answers"):
        loss(torch.zeros(shapes[0]), torch.zeros(shapes[1], dtype=torch.bool))


def test_in_batch_refuses_an_empty_batch():
    with pytest.raises(ValueError, match="expected logits"):
        ranking.in_batch(torch.zeros(0, 0), torch.zeros(0, 0, dtype=torch.bool))


def test_probabilities_would_lose_the_gradient_that_logits_keep():
    """Trap 3.4 of the published code: a sigmoid and then a cross entropy of probabilities."""
    for logit, answer in ((17.0, 0.0), (-50.0, 1.0)):
        given = torch.tensor([logit], requires_grad=True)
        probability = given.sigmoid()
        torch.nn.functional.binary_cross_entropy(probability, torch.tensor([answer])).backward()
        assert abs(given.grad.item()) < 1e-6
        ours = torch.tensor([logit], requires_grad=True)
        ranking.triplet(ours, torch.tensor([bool(answer)])).backward()
        assert abs(ours.grad.item()) == pytest.approx(1, abs=1e-6)

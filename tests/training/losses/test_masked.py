"""Losses over known entries against loops."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.masked import consistency, masked_bce


def test_the_mean_is_over_entries_not_over_clips_or_labels():
    scores = torch.rand(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = (torch.rand(5, 4, generator=torch.Generator().manual_seed(1)) < 0.5).to(torch.uint8)
    counted = torch.zeros(5, 4, dtype=torch.bool)
    counted[0] = True
    counted[3, 1] = counted[4, 2] = True
    columns = (values.flatten().tolist() for values in (scores, targets, counted))
    entries = [-math.log(s if t else 1 - s) for s, t, c in zip(*columns, strict=True) if c]
    assert len(entries) == 6
    assert masked_bce(scores, targets, counted).item() == pytest.approx(sum(entries) / 6)


def test_what_does_not_count_has_no_gradient_and_no_target():
    scores = torch.full((2, 3), 0.3, requires_grad=True)
    counted = torch.tensor([[True, False, False], [False, False, True]])
    masked_bce(scores, torch.ones(2, 3), counted).backward()
    assert (scores.grad[~counted] == 0).all()
    assert (scores.grad[counted] != 0).all()
    other = torch.ones(2, 3)
    other[~counted] = 7.0  # nobody reads it
    assert masked_bce(scores, other, counted).item() == masked_bce(scores, torch.ones(2, 3), counted).item()


def test_nothing_to_count_is_zero_with_a_gradient():
    scores = torch.full((2, 3), 0.3, requires_grad=True)
    loss = masked_bce(scores, torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (scores.grad == 0).all()


def test_consistency_moves_the_student_only():
    student, teacher = torch.rand(2, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    loss = consistency(student, teacher)
    loss.backward()
    pairs = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    assert loss.item() == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 6, rel=1e-6)
    assert teacher.grad is None
    assert (student.grad != 0).all()

"""Hiding labels, pruning missing ones, and the teacher's average, against small tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.partial_labels import follow, hide, hide_rare, present, prune, teacher_decay


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def missing_scores(n_missing, n_known=20):
    """Distinct scores of one label, its last entries known."""
    scores = np.random.default_rng(1).permutation(n_missing + n_known)[:, None] / 1000
    known = np.zeros((n_missing + n_known, 1), bool)
    known[n_missing:] = True
    return scores, known


@pytest.mark.parametrize(
    ("n_missing", "percentile", "n_pruned"), [(100, 95, 5), (100, 10, 90), (0, 95, 0), (10, 95, 1)]
)
def test_as_many_are_pruned_as_the_percentile_says(n_missing, percentile, n_pruned):
    scores, known = missing_scores(n_missing)
    made = prune(scores, known, percentile)
    assert made.pruned.sum() == n_pruned
    best = np.sort(scores[:n_missing, 0])[n_missing - n_pruned :]
    assert sorted(scores[made.pruned]) == best.tolist()
    assert (made.counted == ~made.pruned).all()


def test_known_entries_are_never_pruned_and_equal_scores_go_together():
    known = np.array([[True], [False], [False], [False]])
    made = prune(np.array([[9.0], [1.0], [1.0], [0.5]]), known, 60)
    assert made.pruned[:, 0].tolist() == [False, True, True, False]


def test_labels_are_pruned_one_by_one():
    scores = np.stack([np.arange(10) / 10, np.arange(10) / 1000], axis=1)
    assert prune(scores, np.zeros((10, 2), bool), 80).pruned.sum(axis=0).tolist() == [2, 2]


def test_hidden_labels_cannot_be_read(rng):
    """Trap 1: what was hidden is 0 from then on, whatever it was."""
    targets, known = np.ones((50, 4), np.uint8), np.ones((50, 4), bool)
    still = hide(known, 0.4, rng)
    assert 0.5 < still.mean() < 0.7
    assert (present(targets, still) == still).all()
    assert (targets == 1).all()


def test_hiding_keeps_what_was_missing_missing(rng):
    known = rng.random((50, 4)) < 0.5
    assert not (hide(known, 0.2, rng) & ~known).any()
    assert (hide(known, 0.0, rng) == known).all()


@pytest.mark.parametrize("share", [0.2, 0.4, 0.8])
def test_rare_labels_are_hidden_more_often_at_the_same_share(rng, share):
    targets = (rng.random((4000, 3)) < np.array([0.5, 0.2, 0.05])).astype(np.uint8)
    still = hide_rare(np.ones(targets.shape, bool), targets, share, rng)
    hidden = 1 - still.mean(axis=0)
    assert hidden.mean() == pytest.approx(share, abs=0.02)
    assert hidden[0] < hidden[1] - 0.05
    assert hidden[1] < hidden[2] + 0.01  # both at most 0.98


def test_the_first_decays_of_the_teacher():
    assert [teacher_decay(step, 0.999) for step in (1, 2, 3)] == pytest.approx([1 / 2, 2 / 3, 3 / 4])
    assert teacher_decay(10_000, 0.999) == 0.999


@pytest.mark.parametrize("buffers", [False, True])
def test_the_teacher_follows_parameters_and_buffers_where_asked(buffers):
    student, teacher = (torch.nn.BatchNorm1d(2) for _ in range(2))
    torch.nn.init.constant_(student.weight, 5.0)
    student.running_mean += 4.0
    follow(teacher, student, 1, 0.999, buffers=buffers)
    assert teacher.weight.tolist() == [3.0, 3.0]
    follow(teacher, student, 2, 0.999, buffers=buffers)
    assert teacher.weight.tolist() == pytest.approx([3 + 2 / 3] * 2)
    assert teacher.running_mean.tolist() == pytest.approx([4 * 2 / 3] * 2 if buffers else [0.0] * 2)
    assert student.weight.tolist() == [5.0, 5.0]
    assert teacher.weight.requires_grad

"""No recording is on both sides of a fold, and every fold can be taught."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.teach.folds import group_clips, make_folds


@given(st.lists(st.lists(st.integers(0, 6), max_size=3), min_size=1, max_size=12))
def test_groups_are_what_shared_keys_connect(keys):
    groups = group_clips(keys)
    # The slow way: spread the smallest index until nothing changes.
    expected = list(range(len(keys)))
    for _ in keys:
        for a, own in enumerate(keys):
            for b, other in enumerate(keys):
                if set(own) & set(other):
                    expected[a] = expected[b] = min(expected[a], expected[b])
    assert np.array_equal(groups[:, None] == groups, np.array(expected)[:, None] == np.array(expected))


@st.composite
def labelled(draw, exclusive):
    n_labels = draw(st.integers(2, 4))
    n_clips = draw(st.integers(n_labels, 24))
    if exclusive:
        rest = draw(st.lists(st.integers(0, n_labels - 1), min_size=n_clips - n_labels, max_size=n_clips - n_labels))
        targets = np.eye(n_labels, dtype=bool)[[*range(n_labels), *rest]]
    else:
        bits = st.lists(st.booleans(), min_size=n_labels, max_size=n_labels)
        targets = np.array(draw(st.lists(bits, min_size=n_clips, max_size=n_clips)))
        targets = np.vstack([targets, np.eye(n_labels, dtype=bool)])
    keys = draw(st.lists(st.integers(0, len(targets)), min_size=len(targets), max_size=len(targets)))
    return targets, np.unique(keys, return_inverse=True)[1]


def check(targets, groups, seed):
    folds = make_folds(targets, groups, seed)
    for group in np.unique(groups):
        assert len(set(folds.fold[groups == group])) == 1
    assert set(folds.fold[folds.fold >= 0]) == set(range(folds.n_folds))
    for number in range(folds.n_folds):
        taught = targets[folds.fold != number]
        assert taught.any(axis=0).all()
    for label in range(targets.shape[1]):
        if folds.measured[label]:
            assert targets[folds.fold >= 0, label].any()
        if len(set(groups[targets[:, label]])) == 1:
            assert not folds.measured[label]
    return folds


@given(labelled(exclusive=True), st.integers(0, 3))
def test_no_recording_is_on_both_sides(case, seed):
    check(*case, seed)


@given(labelled(exclusive=False), st.integers(0, 3))
def test_no_recording_is_on_both_sides_with_several_labels(case, seed):
    targets, groups = case
    folds = check(targets, groups, seed)
    for number in range(folds.n_folds):
        taught = targets[folds.fold != number]
        assert not (taught.all(axis=0) & ~targets.all(axis=0)).any()


def test_five_clips_of_each_label_give_five_folds_with_one_of_each():
    targets = np.repeat(np.eye(3, dtype=bool), 5, axis=0)
    folds = make_folds(targets, np.arange(15))
    assert folds.n_folds == 5
    assert all((targets[folds.fold == number].sum(axis=0) == 1).all() for number in range(5))
    assert folds.measured.all()


def test_a_label_of_one_recording_is_always_taught_and_never_measured():
    targets = np.eye(3, dtype=bool)[[0, 0, 0, 1, 1, 2, 2]]
    folds = make_folds(targets, np.array([0, 1, 2, 3, 4, 5, 5]))
    assert folds.measured.tolist() == [True, True, False]
    assert folds.fold[5:].tolist() == [-1, -1]
    assert set(folds.fold[:5]) == {0, 1, 2}


def test_one_clip_of_each_label_cannot_be_measured():
    folds = make_folds(np.eye(4, dtype=bool), np.arange(4))
    assert folds.n_folds == 0
    assert not folds.measured.any()


def test_another_seed_deals_otherwise_and_the_same_alike():
    targets = np.repeat(np.eye(2, dtype=bool), 10, axis=0)
    deals = [make_folds(targets, np.arange(20), seed).fold.tolist() for seed in (0, 0, 1)]
    assert deals[0] == deals[1] != deals[2]

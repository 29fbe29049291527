"""Fine and coarse distractors, and epochs of the sizes that the paper's code draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sampling.comparisons import drawn_targets, fine_and_coarse, n_triplets, pair_epoch, triplet_epoch


def trial(n_classes=10, n_references=11, n_queries=133):
    """Queries and references as in a trial of the paper; the first reference of a class is the canonical one."""
    query_class = np.arange(n_queries) % n_classes
    reference_class = np.repeat(np.arange(n_classes), n_references)
    return query_class, reference_class, query_class * n_references


def one_each(reference_class, target):
    """Each query means its target and nothing else."""
    return np.arange(len(reference_class)) == target[:, None]


def test_distractors_are_those_of_the_loop_and_never_the_target():
    query_class, reference_class, target = trial(3, 4, 7)
    expected = [[], []]
    for q, c in enumerate(query_class):
        for r, other in enumerate(reference_class):
            if r != target[q]:
                expected[int(other != c)].append([q, r])
    fine, coarse = fine_and_coarse(query_class, reference_class, one_each(reference_class, target))
    assert fine.tolist() == expected[0]
    assert coarse.tolist() == expected[1]


def test_pairs_are_as_many_as_published_and_batches_are_balanced():
    query_class, reference_class, target = trial()
    fine, coarse = fine_and_coarse(query_class, reference_class, one_each(reference_class, target))
    pairs, is_target = pair_epoch(fine, coarse, target, np.random.default_rng(0))
    assert len(pairs) == 133 + 66 + 66
    assert [is_target[:128].sum(), is_target[128:256].sum()] == [64, 64]
    assert sorted(pairs[is_target][:, 0]) == list(range(133))
    assert (is_target == (pairs[:, 1] == target[pairs[:, 0]])).all()
    same = query_class[pairs[:, 0]] == reference_class[pairs[:, 1]]
    assert (same & ~is_target).sum() == (~same).sum() == 66


@given(st.integers(2, 5), st.integers(2, 5), st.integers(1, 20), st.integers(0, 3))
def test_triplets_hold_the_target_once_on_either_side(n_classes, n_references, n_queries, seed):
    query_class, reference_class, target = trial(n_classes, n_references, n_queries)
    fine, coarse = fine_and_coarse(query_class, reference_class, one_each(reference_class, target))
    rows, is_first = triplet_epoch(fine, coarse, target, np.random.default_rng(seed))
    assert len(rows) == 4 * len(fine)
    query, first, second = rows.T
    assert ((first == target[query]) == is_first).all()
    assert ((second == target[query]) == ~is_first).all()
    other = np.where(is_first, second, first)
    is_fine = reference_class[other] == query_class[query]
    assert is_fine.sum() == 2 * len(fine)
    assert is_first[is_fine].sum() == len(fine)


def test_a_kind_of_distractor_that_is_not_there_is_refused():
    query_class, reference_class, target = trial(1, 3, 5)
    fine, coarse = fine_and_coarse(query_class, reference_class, one_each(reference_class, target))
    with pytest.raises(ValueError, match="at least one distractor"):
        pair_epoch(fine, coarse, target, np.random.default_rng(0))


def test_a_published_epoch_has_the_steps_of_the_paper():
    query_class, reference_class, target = trial(10, 10, 133)
    fine, coarse = fine_and_coarse(query_class, reference_class, one_each(reference_class, target))
    # Without the 133 triplets of twice the canonical file, of which the published code has 1,330 fine ones.
    assert len(fine) == 133 * 9
    rows, _ = triplet_epoch(fine, coarse, target, np.random.default_rng(0))
    assert len(rows) == n_triplets(fine, target) == 4788
    assert not (rows[:, 1] == rows[:, 2]).any()
    assert (-(-len(rows) // 128), -(-265 // 128)) == (38, 3)


def test_where_a_class_is_meant_as_a_whole_there_are_only_coarse_distractors():
    query_class, reference_class, _ = trial(3, 4, 7)
    fits = query_class[:, None] == reference_class
    fine, coarse = fine_and_coarse(query_class, reference_class, fits)
    assert len(fine) == 0
    target = drawn_targets(fits, np.random.default_rng(0))
    pairs, is_target = pair_epoch(fine, coarse, target, np.random.default_rng(0))
    assert is_target.sum() == 7
    assert (is_target == (query_class[pairs[:, 0]] == reference_class[pairs[:, 1]])).all()
    rows, is_first = triplet_epoch(fine, coarse, target, np.random.default_rng(0))
    assert len(rows) == 4 * 7
    assert (is_first == (reference_class[rows[:, 1]] == query_class[rows[:, 0]])).all()


def test_targets_are_drawn_among_those_that_fit_and_all_in_time():
    fits = np.array([[True, False, True], [False, True, False]])
    drawn = [tuple(drawn_targets(fits, np.random.default_rng(seed))) for seed in range(20)]
    assert set(drawn) == {(0, 1), (2, 1)}


def test_distractors_are_indices_not_lists_of_all_triplets():
    """Trap 13: of 1,881,000 ordered triplets the published code lists all; 18,810 pairs say the same."""
    query_class, reference_class, target = trial(10, 10, 190)
    fine, coarse = fine_and_coarse(query_class, reference_class, one_each(reference_class, target))
    assert len(fine) + len(coarse) == 190 * 99
    assert fine.nbytes + coarse.nbytes < 400_000

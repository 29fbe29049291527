"""Metrics against scikit-learn, scipy and loops, on small random cases with ties, and in their degenerate cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn import metrics as oracle

from training.metrics import (
    class_geometry,
    det_curve,
    equal_error_rate,
    equal_error_rates,
    expected_calibration_error,
    f1_per_label,
    macro_auprc,
    macro_f1,
    mean_average_precision,
    micro_auprc,
    pearson,
    precision_at,
    spread,
    target_ranks,
    two_sided_f1,
    wilcoxon,
)

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=range(6))
def case(request: pytest.FixtureRequest) -> Case:
    """Scores in coarse steps, so that they tie; targets that are wrong where the mask hides them."""
    rng = np.random.default_rng(request.param)
    targets = rng.integers(0, 2, (40, 5))
    scores = np.round(0.6 * rng.random(targets.shape) + 0.4 * targets, 1)
    mask = rng.random(targets.shape) < 0.6
    return scores, np.where(mask, targets, 7), mask


def test_f1_is_that_of_scikit_learn_on_the_observed_entries(case: Case) -> None:
    scores, targets, mask = case
    one, both = [], []
    for label in range(5):
        known = mask[:, label]
        truth, guess = targets[known, label], scores[known, label] >= 0.5
        one.append(oracle.f1_score(truth, guess))
        both.append(oracle.f1_score(truth, guess, average="macro", labels=[0, 1]))
    assert f1_per_label(scores, targets, mask) == pytest.approx(one)
    assert macro_f1(scores, targets, mask) == pytest.approx(np.mean(one))
    assert two_sided_f1(scores, targets, mask) == pytest.approx(np.mean(both))


def test_areas_are_those_of_scikit_learn_on_the_observed_entries(case: Case) -> None:
    scores, targets, mask = case
    areas, averages = [], []
    for label in range(5):
        known = mask[:, label]
        precision, recall, _ = oracle.precision_recall_curve(targets[known, label], scores[known, label])
        areas.append(oracle.auc(recall, precision))
        averages.append(oracle.average_precision_score(targets[known, label], scores[known, label]))
    assert macro_auprc(scores, targets, mask) == pytest.approx(np.mean(areas))
    assert mean_average_precision(scores, targets, mask) == pytest.approx(np.mean(averages))
    precision, recall, _ = oracle.precision_recall_curve(targets[mask], scores[mask])
    assert micro_auprc(scores, targets, mask) == pytest.approx(oracle.auc(recall, precision))


def test_one_class_empty_in_prediction_and_truth_counts_0() -> None:
    scores, targets = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([[1, 0], [1, 0]])
    assert f1_per_label(scores, targets).tolist() == [1.0, 0.0]
    assert macro_f1(scores, targets) == 0.5
    assert two_sided_f1(scores, targets) == 0.5  # (1 + 0) / 2 of each label


def test_what_is_not_observed_is_missing() -> None:
    scores, targets = np.array([[0.9, 0.1], [0.2, 0.2]]), np.array([[1, 0], [0, 1]])
    mask = np.array([[True, False], [True, False]])
    assert math.isnan(f1_per_label(scores, targets, mask)[1])
    assert macro_f1(scores, targets, mask) == two_sided_f1(scores, targets, mask) == 1.0
    assert macro_auprc(scores, targets, mask) == micro_auprc(scores, targets, mask) == 1.0
    nothing = np.zeros((2, 2), bool)
    for figure in (macro_f1, two_sided_f1, macro_auprc, micro_auprc, mean_average_precision):
        assert math.isnan(figure(scores, targets, nothing))


def test_a_label_without_positives_has_no_area() -> None:
    scores, targets = np.array([[0.9, 0.1], [0.2, 0.2]]), np.array([[1, 0], [0, 0]])
    assert macro_auprc(scores, targets) == mean_average_precision(scores, targets) == 1.0


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.full((2, 2), 2), np.zeros(4)])
def test_targets_that_mean_nothing_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        macro_f1(np.zeros((2, 2)), bad)


def test_the_curve_and_its_equal_error_rate_are_those_of_scikit_learn(case: Case) -> None:
    scores, targets, mask = case
    for label in range(5):
        values, truth = scores[mask[:, label], label], targets[mask[:, label], label]
        false_alarm, miss = det_curve(values, truth)
        far, hit, _ = oracle.roc_curve(truth, values, drop_intermediate=False)
        assert false_alarm == pytest.approx(far)
        assert miss == pytest.approx(1 - hit)
        # Straight lines between the points, at which both rates rise or fall: the crossing by bisection.
        position = np.arange(len(far))
        crossing = optimize.brentq(
            lambda p, x=position, f=far, m=1 - hit: np.interp(p, x, f) - np.interp(p, x, m), 0, position[-1]
        )
        assert equal_error_rate(values, truth) == pytest.approx(np.interp(crossing, position, far))


def test_equal_error_rates_by_hand() -> None:
    assert equal_error_rate([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0]) == 0
    assert equal_error_rate([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]) == 1
    assert equal_error_rate([0.5, 0.5], [1, 0]) == 0.5
    assert math.isnan(equal_error_rate([0.5, 0.6], [1, 1]))
    overall, rates = equal_error_rates([[0.9, 0.5], [0.1, 0.5]], [[1, 0], [0, 1]])
    assert (overall, rates.tolist()) == (0.25, [0.0, 0.5])


def test_the_rank_of_a_tied_target() -> None:
    found = target_ranks([[0.9, 0.2, 0.9, 0.1]], [2])
    assert [found.mean_rank(ties) for ties in ("optimistic", "average", "pessimistic")] == [1, 1.5, 2]
    assert found.mean_reciprocal_rank("pessimistic") == 0.5
    assert found.n_tied_queries == 1


@pytest.mark.parametrize("seed", range(5))
def test_ranks_and_precision_are_means_over_all_orders_of_tied_items(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, relevant = rng.integers(0, 3, (4, 5)) / 2, rng.random((4, 5)) < 0.5
    targets = rng.integers(0, 5, 4)
    ranks: list[list[int]] = [[] for _ in range(4)]
    hits: list[list[float]] = [[] for _ in range(4)]
    for query in range(4):
        for order in itertools.permutations(range(5)):
            if any(scores[query, a] < scores[query, b] for a, b in itertools.pairwise(order)):
                continue
            ranks[query].append(1 + order.index(targets[query]))
            hits[query].append(np.mean([relevant[query, item] for item in order[:3]]))
    found = target_ranks(scores, targets)
    assert found.ranks("optimistic").tolist() == [min(each) for each in ranks]
    assert found.ranks("pessimistic").tolist() == [max(each) for each in ranks]
    assert found.ranks().tolist() == [np.mean(each) for each in ranks]
    assert stats.rankdata(-scores[0])[targets[0]] == found.ranks()[0]
    assert precision_at(3, scores, relevant) == pytest.approx(np.mean([np.mean(each) for each in hits]))


def test_ranks_of_nothing_are_refused() -> None:
    for scores, targets in (([[1.0]], [1]), ([[math.nan]], [0]), (np.zeros((0, 2)), np.zeros(0, int))):
        with pytest.raises(ValueError, match="expected"):
            target_ranks(scores, targets)
    with pytest.raises(ValueError, match="k=3"):
        precision_at(3, [[1.0, 0.0]], [[True, False]])


def test_correlation_is_scipys_and_missing_for_a_constant() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(30)
    other = one + rng.random(30)
    assert pearson(one, other) == pytest.approx(stats.pearsonr(one, other).statistic)
    assert pearson(1e-200 * one, other) == pytest.approx(pearson(one, other))
    assert math.isnan(pearson(np.full(30, 0.1), other))
    assert math.isnan(pearson([1.0], [2.0]))


def test_the_paired_test_is_scipys_and_leaves_out_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random(28), rng.random(28) + 0.3
    p, n = wilcoxon(np.append(one, math.nan), np.append(other, 1.0))
    assert n == 28
    assert p == pytest.approx(stats.wilcoxon(one, other).pvalue)
    assert wilcoxon(one, one) == (1.0, 28)
    # The smallest two-sided value of 28 pairs, all on one side.
    assert wilcoxon(one + 1, np.zeros(28))[0] == pytest.approx(2 / 2**28)


@pytest.mark.parametrize("squared", [False, True])
def test_geometry_is_a_loop_over_pairs(squared: bool) -> None:
    rng = np.random.default_rng(0)
    embeddings, truth = rng.standard_normal((12, 4)), np.array([0] * 5 + [1] * 6 + [2])
    found = class_geometry(embeddings, truth, 4, squared=squared)
    for a, b in itertools.product(range(4), repeat=2):
        values = []
        for i, j in itertools.combinations(range(12), 2):
            if sorted((truth[i], truth[j])) == sorted((a, b)):
                cosine = embeddings[i] @ embeddings[j] / np.linalg.norm(embeddings[i]) / np.linalg.norm(embeddings[j])
                values.append((1 - cosine) ** (2 if squared else 1))
        if values:
            assert found.mean[a, b] == pytest.approx(np.mean(values))
            assert found.variation[a, b] == pytest.approx(np.std(values) / np.mean(values))
        else:
            assert math.isnan(found.mean[a, b])
            assert math.isnan(found.variation[a, b])


def test_equal_embeddings_have_no_variation_and_zero_has_no_direction() -> None:
    found = class_geometry([[1.0, 0.0], [2.0, 0.0]], [0, 0], 1)
    assert found.mean[0, 0] == 0
    assert math.isnan(found.variation[0, 0])
    with pytest.raises(ValueError, match="no direction"):
        class_geometry([[0.0, 0.0]], [0], 1)


def test_calibration_is_a_loop_over_bins() -> None:
    rng = np.random.default_rng(0)
    confidence, correct = np.append(rng.random(200), [0.0, 0.2, 1.0]), rng.random(203) < 0.5
    error = 0.0
    for b in range(5):
        inside = (confidence > b / 5) & (confidence <= (b + 1) / 5) | ((confidence == 0) & (b == 0))
        error += inside.sum() / 203 * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(confidence, correct, n_bins=5) == pytest.approx(error)
    for bad in ([], [1.5]):
        with pytest.raises(ValueError, match="expected"):
            expected_calibration_error(bad, [True] * len(bad))


def test_the_interval_is_students() -> None:
    values = [0.5, 0.55, 0.52]
    found = spread(values)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.n, found.mean, found.std) == (3, np.mean(values), np.std(values, ddof=1))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert spread([0.5]).std is None
    for bad in ([], [math.nan]):
        with pytest.raises(ValueError, match="expected"):
            spread(bad)

"""Spherical k-means of equal sizes, against rows that choose one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from training import clusters
from training.clusters import clusters_per_class, spherical_kmeans


def directions(n_rows, size, seed, spread=1.0):
    rows = np.random.default_rng(seed).standard_normal((n_rows, size)) * spread
    rows[:, 0] += 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def one_after_the_other(rows, centroids, capacity):
    """Each row takes the nearest centroid that has room, the row with the largest regret first."""
    similarity = 1 - clusters.pairwise(rows, centroids, "cosine")
    ranked = np.sort(similarity, axis=1)
    room, members = [capacity] * len(centroids), np.empty(len(rows), np.int64)
    for row in np.argsort(-(ranked[:, -1] - ranked[:, -2]), kind="stable"):
        open_ones = [k for k in range(len(centroids)) if room[k]]
        members[row] = max(open_ones, key=lambda k: (similarity[row, k], -k))
        room[members[row]] -= 1
    return members


@given(st.integers(2, 8), st.integers(8, 120), st.integers(2, 5), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_choice_equals_that_of_rows_one_after_the_other(n_clusters, n_rows, size, seed):
    rows = directions(n_rows, size, seed)
    centroids = directions(n_clusters, size, seed + 1)
    capacity = math.ceil(n_rows / n_clusters)
    members, similarity = clusters._assign(rows, centroids, capacity, 1)
    assert (members == one_after_the_other(rows, centroids, capacity)).all()
    assert similarity == pytest.approx(np.einsum("nd,nd->n", rows, centroids[members]), abs=1e-5)


@given(st.integers(1, 12), st.integers(12, 90), st.integers(1, 6), st.booleans(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_cluster_has_rows_and_none_more_than_its_share(n_clusters, n_rows, size, balanced, seed):
    rows = directions(n_rows, size, seed)
    found = spherical_kmeans(rows, n_clusters, seed, balanced=balanced)
    assert found.sizes.min() >= 1
    assert found.sizes.sum() == n_rows
    if balanced:
        assert found.sizes.max() <= math.ceil(n_rows / n_clusters)
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(np.ones(n_clusters), abs=1e-5)


def test_separate_groups_are_found_whatever_their_lengths():
    truth = np.repeat(np.arange(4), 50)
    rows = np.eye(4, 16, dtype=np.float32)[truth] + directions(200, 16, 0) * 0.2
    rows *= np.random.default_rng(1).uniform(0.01, 100, (200, 1)).astype(np.float32)
    found = spherical_kmeans(rows, 4, seed=3)
    assert found.converged
    assert len(set(zip(truth, found.members, strict=True))) == 4


def test_centroids_are_the_directions_of_their_rows():
    rows = directions(300, 5, 2)
    found = spherical_kmeans(rows, 3, seed=0, max_iterations=50, tolerance=0.0)
    for cluster, centroid in enumerate(found.centroids):
        mean = rows[found.members == cluster].mean(axis=0)
        assert centroid == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_iteration_brings_rows_nearer_to_their_centroids():
    rows = directions(2000, 8, 4, spread=3.0)
    nearness = [
        np.einsum("nd,nd->n", rows, found.centroids[found.members]).mean()
        for found in (spherical_kmeans(rows, 10, 0, max_iterations=n, tolerance=0.0) for n in (1, 3, 20))
    ]
    assert nearness == sorted(nearness)
    assert nearness[-1] > nearness[0]


def test_seed_decides_and_threads_do_not(monkeypatch):
    monkeypatch.setattr(clusters, "BLOCK", 64)
    rows = directions(500, 6, 5, spread=2.0)
    first, again, threaded = (spherical_kmeans(rows, 7, 1, threads=threads) for threads in (1, 1, 3))
    assert (first.centroids == again.centroids).all()
    assert (first.centroids == threaded.centroids).all()
    assert (first.members == threaded.members).all()
    assert (first.centroids != spherical_kmeans(rows, 7, 2).centroids).any()


def test_large_sets_are_seeded_from_a_sample(monkeypatch):
    monkeypatch.setattr(clusters, "SEEDING_ROWS", 4)
    rows = directions(400, 6, 6, spread=2.0)
    found = spherical_kmeans(rows, 8, 0)
    assert found.sizes.tolist() == [50] * 8


def test_equal_rows_and_rows_that_cancel_out():
    same = np.ones((10, 3), np.float32)
    assert spherical_kmeans(same, 3, 0).sizes.min() >= 1
    opposite = np.array([[1.0, 0], [-1, 0]], np.float32)
    found = spherical_kmeans(opposite, 1, 0)
    assert np.linalg.norm(found.centroids[0]) == pytest.approx(1)


def test_a_class_is_split_by_its_size_over_that_of_the_smallest():
    assert clusters_per_class(np.array([36000, 13400, 2300, 4100])).tolist() == [16, 6, 1, 2]
    assert clusters_per_class(np.array([7, 0, 7])).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("rows", "n_clusters", "words"),
    [
        (np.ones((3, 2), np.float32), 4, "1 to 3 clusters"),
        (np.ones((3, 2), np.float32), 0, "1 to 3 clusters"),
        (np.array([[1, 0], [0, 0]], np.float32), 1, "row 1 of length 0.0"),
        (np.array([[1, 0], [np.nan, 0]], np.float32), 1, "row 1 of length nan"),
    ],
)
def test_what_cannot_be_divided_is_refused(rows, n_clusters, words):
    with pytest.raises(ConfigError, match=words):
        spherical_kmeans(rows, n_clusters, 0)


def test_no_class_is_refused():
    with pytest.raises(ConfigError, match="at least one class"):
        clusters_per_class(np.array([0, 0]))

"""engine.distance against a float64 brute force: exactness, edges, exclusion, threads, instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _kernels
from engine.distance import Neighbours, nearest_self, pairwise, semi_hard, topk
from engine.errors import ConfigError
from tests import distance_oracles as oracles

if TYPE_CHECKING:
    from pathlib import Path

METRICS = ("cosine", "sqeuclidean", "euclidean", "inner_product")
# Around the edges of vectors (4, 8, 16), register tiles (4, 6, 8 x 8, 16, 48) and blocks (192, 384 columns).
ROWS = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 47, 48, 49, 95, 97)
# Around vectors and the depth block of 256.
SIZES = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 128, 255, 256, 257, 300, 511, 513)


def make_rows(rng: np.random.Generator, n: int, d: int, kind: str) -> np.ndarray:
    noise = rng.standard_normal((n, d))
    if kind == "offset":
        noise = 1000 + 1e-3 * noise
    elif kind == "tiny":
        noise *= 1e-25
    elif kind == "huge":
        noise *= 1e18
    elif kind == "integers":  # many exact ties
        noise = np.round(noise)
    elif kind == "near-duplicates":
        noise = noise[rng.integers(0, max(1, n // 8), n)] * (1 + 1e-6 * rng.standard_normal((n, 1)))
    elif kind == "outlier" and n:
        noise[0] *= 1e6
    rows = noise.astype(np.float32)
    rows[rng.random(n) < 0.1] = 0
    return rows


KINDS = ("plain", "offset", "tiny", "huge", "integers", "near-duplicates", "outlier")


def check_neighbours(found, queries, database, k, metric, allowed):
    rows = oracles.distances(queries, database, metric)
    slack = np.broadcast_to(oracles.tolerance(queries, database, metric), rows.shape)
    assert found.indices.shape == found.distances.shape == (len(queries), k)
    sign = -1 if metric == "inner_product" else 1
    for i in range(len(queries)):
        assert oracles.is_ranking(found.indices[i], rows[i], k, allowed[i], slack[i])
        keys = [
            (sign * distance, j) for distance, j in zip(found.distances[i], found.indices[i], strict=True) if j >= 0
        ]
        assert keys == sorted(keys)  # by distance, and ties by index
        for j, distance in zip(found.indices[i], found.distances[i], strict=True):
            if j < 0:
                assert distance == sign * np.inf
            else:
                assert abs(sign * distance - rows[i, j]) <= slack[i, j]


@settings(max_examples=120, deadline=None)
@given(
    st.tuples(st.sampled_from([0, *ROWS]), st.sampled_from([0, *ROWS])),
    st.sampled_from(SIZES),
    st.sampled_from(METRICS),
    st.sampled_from(KINDS),
    st.sampled_from([0, 1, 2, 10, 200]),
    st.integers(0, 2**32 - 1),
)
def test_topk_is_a_float64_brute_force(sizes, d, metric, kind, k, seed):
    n_queries, n = sizes
    rng = np.random.default_rng(seed)
    queries, database = make_rows(rng, n_queries, d, kind), make_rows(rng, n, d, kind)
    if n and n_queries:
        queries[rng.integers(n_queries)] = database[rng.integers(n)]
    groups = rng.integers(0, 4, n_queries), rng.integers(0, 4, n)
    allowed = np.ones((n_queries, n), bool)
    check_neighbours(topk(queries, database, k, metric), queries, database, k, metric, allowed)
    allowed = groups[0][:, None] != groups[1][None]
    found = topk(queries, database, k, metric, exclude=groups, threads=2)
    check_neighbours(found, queries, database, k, metric, allowed)
    mask = rng.random(n) < 0.3
    found = topk(queries, database, k, metric, exclude=groups, allowed=mask)
    check_neighbours(found, queries, database, k, metric, allowed & mask)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([0, *ROWS, 193, 400]),
    st.sampled_from([0, 1, 16, 17, 300]),
    st.sampled_from(METRICS),
    st.sampled_from(KINDS),
    st.sampled_from([0, 1, 3, 500]),
    st.integers(0, 2**32 - 1),
)
def test_nearest_self_is_topk_without_self(n, d, metric, kind, k, seed):
    rng = np.random.default_rng(seed)
    database = make_rows(rng, n, d, kind)
    groups = rng.integers(0, 1 + n // 2, n)
    for options, exclude in [({}, "self"), ({"groups": groups}, (groups, groups))]:
        found = nearest_self(database, k, metric, **options)
        want = topk(database, database, k, metric, exclude=exclude)
        np.testing.assert_array_equal(found.indices, want.indices)
        np.testing.assert_array_equal(found.distances, want.distances)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([0, *ROWS]),
    st.sampled_from([0, *ROWS]),
    st.sampled_from(SIZES),
    st.sampled_from(METRICS),
    st.sampled_from(KINDS),
    st.integers(0, 2**32 - 1),
)
def test_pairwise_error(n_a, n_b, d, metric, kind, seed):
    rng = np.random.default_rng(seed)
    a, b = make_rows(rng, n_a, d, kind), make_rows(rng, n_b, d, kind)
    got = pairwise(a, b, metric)
    want = oracles.distances(a, b, metric)
    if metric == "inner_product":
        want = -want
        allowed = (d + 4) * 2.0**-24 * np.outer(
            *(np.linalg.norm(rows.astype(float), axis=1) for rows in (a, b))
        ) + 1e-37
    else:
        allowed = 1e-4 * want + (1e-15 if metric == "cosine" else 2e-38)
    finite = np.abs(want) < np.finfo(np.float32).max
    assert np.all(np.abs(got[finite] - want[finite]) <= allowed[finite])
    assert np.all(np.isinf(got[~finite]) | (np.abs(got[~finite]) > 3.4e38))


# On processors without fast products of 8-bit integers encode=True changes nothing; these tests hold all the same.
def always_encoded(queries, database, k, metric, exclude=(None, None), threads=1):
    return Neighbours(*_kernels.top_k(queries, database, k, metric, *exclude, False, None, threads, encode=True))


def assert_same(found: Neighbours, want: Neighbours):
    np.testing.assert_array_equal(found.indices, want.indices)
    np.testing.assert_array_equal(found.distances, want.distances)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.sampled_from([5, 9, 49, 100]), st.sampled_from([1, 2, 47, 49, 97, 400])),
    st.sampled_from([1, 3, 4, 5, 16, 63, 65, 127, 300]),
    st.sampled_from(METRICS),
    st.sampled_from([*KINDS, "denormals", "spikes", "one row", "mixed scales"]),
    st.sampled_from([1, 2, 10, 200]),
    st.integers(0, 2**32 - 1),
)
def test_codes_rank_exactly(sizes, d, metric, kind, k, seed):
    n_queries, n = sizes
    rng = np.random.default_rng(seed)
    if kind == "denormals":
        queries, database = ((rng.standard_normal((rows, d)) * 1e-40).astype(np.float32) for rows in sizes)
    elif kind == "spikes":  # one value of a row decides its step
        queries, database = make_rows(rng, n_queries, d, "plain"), make_rows(rng, n, d, "plain")
        database[np.arange(n), rng.integers(0, d, n)] *= 1000
    elif kind == "one row":
        database = np.repeat(make_rows(rng, 1, d, "plain"), n, axis=0)
        queries = np.repeat(database[:1], n_queries, axis=0)
    elif kind == "mixed scales":
        metric = metric.removeprefix("sq").replace("eu", "sqeu")  # two squares this large may have one root
        queries, database = (
            (make_rows(rng, rows, d, "plain") * 10.0 ** rng.integers(-12, 12, (rows, 1))).astype(np.float32)
            for rows in sizes
        )
    else:
        queries, database = make_rows(rng, n_queries, d, kind), make_rows(rng, n, d, kind)
    found = always_encoded(queries, database, k, metric)
    check_neighbours(found, queries, database, k, metric, np.ones((n_queries, n), bool))
    groups = rng.integers(0, 4, n_queries), rng.integers(0, 4, n)
    want = topk(queries, database, k, metric, exclude=groups)
    assert_same(always_encoded(queries, database, k, metric, groups, threads=2), want)
    own = groups[1]
    for threads in (1, 3):
        found = Neighbours(*_kernels.nearest_self(database, k, metric, own, threads, encode=True))
        assert_same(found, topk(database, database, k, metric, exclude=(own, own)))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["plain", "offset", "near-duplicates", "clusters", "spikes"])
def test_large_sets_rank_as_their_parts(metric, kind):
    """Sets so large that codes are used, unless a sample speaks against them, against searches of smaller parts."""
    rng = np.random.default_rng(12)
    n, d = 8400, 1000
    if kind == "clusters":
        database = rng.standard_normal((40, d))[rng.integers(0, 40, n)] + 0.3 * rng.standard_normal((n, d))
    else:
        database = make_rows(rng, n, d, "plain" if kind == "spikes" else kind)
        if kind == "spikes":
            database[np.arange(n), rng.integers(0, d, n)] *= 1000
    database = database.astype(np.float16).astype(np.float32)
    queries = database[:: n // 60]
    found = topk(queries, database, 3, metric, threads=2)
    parts = [topk(queries, database[first : first + 4200], 3, metric) for first in (0, 4200)]
    order = -1 if metric == "inner_product" else 1
    for i in range(len(queries)):
        both = [
            (order * part.distances[i, j], part.indices[i, j] + offset, part.distances[i, j])
            for part, offset in zip(parts, (0, 4200), strict=True)
            for j in range(3)
        ]
        nearest = sorted(both)[:3]
        assert found.indices[i].tolist() == [index for _, index, _ in nearest]
        assert found.distances[i].tolist() == [distance for _, _, distance in nearest]
    if (kind, metric) in {("plain", "sqeuclidean"), ("clusters", "cosine")}:
        half = nearest_self(database.astype(np.float16), 2, metric, threads=2)
        rows = np.arange(0, n, n // 60)
        want = topk(database[rows], database, 2, metric, exclude=(rows, np.arange(n)))
        assert_same(Neighbours(half.indices[rows], half.distances[rows]), want)


def test_codes_name_rows_that_are_not_finite():
    rows = np.random.default_rng(0).standard_normal((600, 70)).astype(np.float32)
    rows[577, 3] = np.inf
    for call in (
        lambda: always_encoded(rows[:9], rows, 2, "sqeuclidean", threads=2),
        lambda: _kernels.nearest_self(rows, 2, "sqeuclidean", None, 2, encode=True),
    ):
        with pytest.raises(ValueError, match=r"database, got NaN or infinity in row 577"):
            call()


def test_large_offset_ranks_exactly():
    rng = np.random.default_rng(7)
    database = (1000 + 1e-3 * rng.standard_normal((700, 96))).astype(np.float32)
    for metric in METRICS:
        found = topk(database[:40], database, 5, metric)
        check_neighbours(found, database[:40], database, 5, metric, np.ones((40, 700), bool))
        for one in range(2):  # few queries take another path
            alone = topk(database[one : one + 1], database, 5, metric)
            np.testing.assert_array_equal(alone.indices[0], found.indices[one])


def test_products_beyond_float32_rank_exactly():
    rng = np.random.default_rng(8)
    queries = (1e22 * rng.standard_normal((9, 64))).astype(np.float32)
    half = (1e17 * rng.standard_normal((150, 64))).astype(np.float32)
    database = np.concatenate([half, -half])  # centred: nothing but the product overflows
    found = topk(queries, database, 5, "inner_product")
    check_neighbours(found, queries, database, 5, "inner_product", np.ones((9, 300), bool))


def test_equal_rows_come_by_index():
    database = np.repeat(np.random.default_rng(1).standard_normal((3, 20)).astype(np.float32), 50, axis=0)
    shuffled = np.random.default_rng(2).permutation(150)
    rows = database[shuffled]
    for metric in ("cosine", "sqeuclidean", "euclidean"):
        for queries in (rows[:2], rows):
            found = topk(queries, rows, 50, metric)
            for i in range(len(queries)):
                np.testing.assert_array_equal(found.indices[i], np.flatnonzero(shuffled // 50 == shuffled[i] // 50))
            assert not found.distances.any()


def test_cosine_of_zero_rows_is_one():
    rows = np.zeros((3, 8), np.float32)
    rows[2, 1] = 5
    np.testing.assert_array_equal(pairwise(rows, rows, "cosine"), [[1, 1, 1], [1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(topk(rows, rows, 3, "cosine").indices, [[0, 1, 2], [0, 1, 2], [2, 0, 1]])


def test_everything_excluded():
    rows = np.ones((6, 4), np.float32)
    for queries in (rows[:1], rows):
        found = topk(queries, rows, 2, "euclidean", exclude=(np.zeros(len(queries), int), np.zeros(6, int)))
        assert (found.indices == -1).all()
        assert np.isposinf(found.distances).all()
        assert (topk(queries, rows, 2, "cosine", allowed=np.zeros(6, bool)).indices == -1).all()
    assert np.isneginf(nearest_self(rows, 2, "inner_product", groups=np.zeros(6, int)).distances).all()


@pytest.mark.parametrize("metric", METRICS)
def test_float16_equals_its_float32_copy(metric):
    rng = np.random.default_rng(3)
    half = rng.standard_normal((230, 301)).astype(np.float16)
    half[:, :7] = [6e-8, 1e-5, 65504, -65504, -0.0, 0, 6.1e-5]  # subnormal, largest, signed zero
    full = half.astype(np.float32)
    np.testing.assert_array_equal(pairwise(half, half, metric), pairwise(full, full, metric))
    for n in (3, 230):
        for a, b in ((half, half), (full, half), (half, full)):
            found, want = topk(a[:n], b, 4, metric), topk(full[:n], full, 4, metric)
            np.testing.assert_array_equal(found.indices, want.indices)
            np.testing.assert_array_equal(found.distances, want.distances)
    np.testing.assert_array_equal(nearest_self(half, 2, metric).indices, nearest_self(full, 2, metric).indices)


def test_views_and_memory_maps(tmp_path: Path):
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((120, 40)).astype(np.float32)
    want = topk(rows, rows, 3, "sqeuclidean")
    stored = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float32, (120, 40))
    stored[:] = rows
    wide = np.zeros((240, 50), np.float32)
    wide[::2, 5:45] = rows
    backwards = rows[::-1].copy()[::-1]
    for view in (np.load(tmp_path / "rows.npy", mmap_mode="r"), wide[::2, 5:45], np.asfortranarray(rows), backwards):
        np.testing.assert_array_equal(topk(view, view, 3, "sqeuclidean").indices, want.indices)
        np.testing.assert_array_equal(pairwise(view, view, "cosine"), pairwise(rows, rows, "cosine"))
    unaligned = np.frombuffer(b"x" + rows.tobytes(), np.uint8)[1:].view(np.float32).reshape(120, 40)
    np.testing.assert_array_equal(topk(unaligned, rows, 3, "sqeuclidean").indices, want.indices)


@pytest.mark.parametrize("metric", METRICS)
def test_threads_do_not_change_bits(metric):
    rng = np.random.default_rng(5)
    rows = make_rows(rng, 900, 70, "near-duplicates")
    labels = rng.integers(0, 9, 900)
    for threads in (2, 3, 16):
        np.testing.assert_array_equal(pairwise(rows, rows, metric, threads=threads), pairwise(rows, rows, metric))
        for few in (2, 900):
            one, many = (topk(rows[:few], rows, 7, metric, threads=t) for t in (1, threads))
            np.testing.assert_array_equal(one.indices, many.indices)
            np.testing.assert_array_equal(one.distances, many.distances)
        one, many = (nearest_self(rows, 7, metric, threads=t) for t in (1, threads))
        np.testing.assert_array_equal(one.indices, many.indices)
        if metric != "inner_product":
            one, many = (semi_hard(rows[:200], labels=labels[:200], metric=metric, threads=t) for t in (1, threads))
            np.testing.assert_array_equal(one.negatives, many.negatives)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.sampled_from([0, 1, 2, 5, 17, 40]), st.sampled_from([0, 1, 9, 33])),
    st.sampled_from([1, 3, 64, 300]),
    st.sampled_from(METRICS[:3]),
    st.sampled_from(["plain", "offset", "near-duplicates", "integers", "tiny"]),
    st.sampled_from(["classes", "sets", "none"]),
    st.integers(0, 2**32 - 1),
)
def test_semi_hard_is_a_brute_force(sizes, d, metric, kind, labelling, seed):
    n, n_candidates = sizes
    rng = np.random.default_rng(seed)
    anchors, positives = make_rows(rng, n, d, kind), make_rows(rng, n, d, kind)
    candidates = make_rows(rng, n_candidates, d, kind)
    if labelling == "classes":
        labels, others = rng.integers(0, 4, n), rng.integers(0, 4, n_candidates)
        shared = labels[:, None] == others
        among = labels[:, None] == labels
    else:
        labels, others = rng.random((n, 70)) < 0.03, rng.random((n_candidates, 70)) < 0.03
        shared = (labels.astype(int) @ others.T.astype(int)) > 0
        among = (labels.astype(int) @ labels.T.astype(int)) > 0
    if labelling == "none":
        found = semi_hard(anchors, positives, candidates, metric=metric)
        shared[:] = False
    else:
        found = semi_hard(anchors, positives, candidates, labels=labels, candidate_labels=others, metric=metric)
    near = np.array([oracles.distances(anchors[i : i + 1], positives[i : i + 1], metric)[0, 0] for i in range(n)])
    pairs = [(i, i, near[i]) for i in range(n)]
    check_triplets(found, pairs, oracles.distances(anchors, candidates, metric), ~shared)

    if labelling != "none":  # a batch mined against itself
        found = semi_hard(anchors, labels=labels, metric=metric)
        rows = oracles.distances(anchors, anchors, metric)
        pairs = [(a, p, rows[a, p]) for a in range(n) for p in range(n) if a != p and among[a, p]]
        check_triplets(found, pairs, rows, ~(among | np.eye(n, dtype=bool)))


def check_triplets(found, pairs, rows, negatives):
    assert list(zip(found.anchors, found.positives, strict=True)) == [(a, p) for a, p, _ in pairs]
    assert found.n_without == len(pairs) - found.semi_hard.sum()
    for (a, _, near), negative, is_semi_hard in zip(pairs, found.negatives, found.semi_hard, strict=True):
        # Where float64 cannot tell two distances apart, either is right: both ends of the doubt are tried.
        doubt = 1e-13 * near + 1e-15 * (rows.max(initial=0) <= 2)
        wanted = [oracles.semi_hard(rows[a], near + sign * doubt, negatives[a]) for sign in (0, -1, 1)]
        assert any(
            is_semi_hard == found_one
            and (negative == j or (negative >= 0 <= j and abs(rows[a, negative] - rows[a, j]) <= 2 * doubt))
            for j, found_one in wanted
        )


def test_semi_hard_by_hand():
    rows = np.array([[0], [2], [1], [3], [4]], np.float32)
    found = semi_hard(rows, labels=[0, 0, 1, 1, 1], metric="euclidean")
    columns = zip(found.anchors, found.positives, found.negatives, found.semi_hard, strict=True)
    by_pair = {(a, p): (j, is_semi_hard) for a, p, j, is_semi_hard in columns}
    assert by_pair[0, 1] == (3, True)  # the candidates at 3 and 4 are farther than the positive at 2
    assert by_pair[1, 0] == (4, False)  # none is farther than 2: the farthest
    assert by_pair[2, 4] == (0, False)  # negatives at distance 1 and 1, the positive at 3: the farthest, lower row
    assert by_pair[3, 4] == (0, True)  # equal to the positive's distance is not farther
    assert found.n_without == 3
    alone = semi_hard(rows[:2], labels=[3, 3])
    assert alone.negatives.tolist() == [-1, -1]
    assert alone.n_without == 2


def test_out_is_filled():
    rows = np.eye(5, dtype=np.float32)
    out = np.full((5, 5), np.nan, np.float32)
    assert pairwise(rows, rows, "sqeuclidean", out=out) is out
    np.testing.assert_array_equal(out, 2 - 2 * np.eye(5))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_that_are_not_finite_are_named(bad, dtype):
    rows = np.random.default_rng(0).standard_normal((500, 19)).astype(dtype)
    rows[333, 18] = rows[444, 2] = bad
    good = np.ones((5, 19), np.float32)
    for metric in METRICS:
        for call, name in [
            (lambda m: pairwise(rows, good, m), "a"),
            (lambda m: pairwise(good, rows, m, threads=2), "b"),
            (lambda m: topk(good, rows, 2, m, threads=2), "database"),
            (lambda m: topk(good[:1], rows, 2, m), "database"),
            (lambda m: topk(rows, good, 0, m), "queries"),
            (lambda m: nearest_self(rows, 1, m), "database"),
        ]:
            with pytest.raises(ConfigError, match=f"in row 333 of {name};|in {name}, got NaN or infinity in row 333"):
                call(metric)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: topk(x.astype(float), x, 1, "cosine"), TypeError, "queries to be a float32 or float16"),
        (lambda x: topk(x, [[1.0]], 1, "cosine"), TypeError, "got list"),
        (lambda x: topk(x[0], x, 1, "cosine"), ConfigError, r"shape \(n, d\)"),
        (lambda x: topk(x, x[:, 1:], 1, "cosine"), ConfigError, "rows of one length, got 3 and 4"),
        (lambda x: topk(x, x, -1, "cosine"), ConfigError, "k of at least 0"),
        (lambda x: topk(x, x, 1, "manhattan"), ConfigError, "metric to be one of"),
        (lambda x: topk(x, x, 1, "cosine", threads=0), ConfigError, "threads"),
        (lambda x: topk(x, x, 1, "cosine", exclude="other"), ConfigError, "exclude"),
        (lambda x: topk(x, x, 1, "cosine", allowed=np.ones(1, bool)), ConfigError, "allowed of shape"),
        (lambda x: topk(x, x, 1, "cosine", allowed=np.ones(len(x), int)), TypeError, "allowed to be truth values"),
        (lambda x: topk(x[:2], x, 1, "cosine", exclude="self"), ConfigError, "as many queries"),
        (lambda x: topk(x, x, 1, "cosine", exclude=([0], [0])), ConfigError, "query_groups of shape"),
        (lambda x: nearest_self(x, 1, "cosine", groups=np.ones(5)), TypeError, "groups to be integers"),
        (lambda x: pairwise(x, x, "cosine", out=np.empty((5, 5))), TypeError, "out to be a float32"),
        (lambda x: pairwise(x, x, "cosine", out=np.empty((5, 4), np.float32)), ConfigError, r"out of shape \(5, 5\)"),
        (semi_hard, ConfigError, "positives or labels"),
        (lambda x: semi_hard(x, x[:2]), ConfigError, "one positive for each"),
        (lambda x: semi_hard(x, labels=[0] * 5, metric="inner_product"), ConfigError, "a distance"),
        (lambda x: semi_hard(x, x, x, labels=[0] * 5), ConfigError, "candidate_labels exactly where"),
        (lambda x: semi_hard(x, labels=[0.5] * 5), TypeError, "labels to be integers"),
        (
            lambda x: semi_hard(x, x, x, labels=[0] * 5, candidate_labels=np.ones((5, 2), bool)),
            ConfigError,
            "as labels",
        ),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((5, 4), np.float32))


def test_lock_is_released():
    rows = np.random.default_rng(0).standard_normal((4000, 300)).astype(np.float32)
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    begin = time.perf_counter()
    nearest_self(rows, 1, "sqeuclidean")
    end = time.perf_counter()
    done.set()
    ticker.join()
    assert sum(begin < t < end for t in ticks) >= 3


def test_many_threads_call_at_once():
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((300, 64)).astype(np.float32)
    want = topk(rows, rows, 5, "cosine")
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: topk(rows, rows, 5, "cosine", threads=2), range(16)):
            np.testing.assert_array_equal(found.indices, want.indices)
            np.testing.assert_array_equal(found.distances, want.distances)


FORKED = """
import os
import numpy as np
from engine.distance import topk
rows = np.random.default_rng(0).standard_normal((500, 40)).astype(np.float32)
want = topk(rows, rows, 3, "cosine", threads=2)
child = os.fork()
if child == 0:
    found = topk(rows, rows, 3, "cosine", threads=2)
    os._exit(0 if (found.indices == want.indices).all() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forked_child_computes():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)


# Prints what every instruction set must agree on; run with each of them forced.
BATTERY = """
import numpy as np
from engine import _kernels
from engine.distance import nearest_self, pairwise, semi_hard, topk
rng = np.random.default_rng(11)
print(_kernels.isa())
for n, d in [(5, 3), (67, 17), (201, 128), (130, 515)]:
    for offset, scale in [(0, 1), (1000, 1e-3)]:
        rows = (offset + scale * rng.standard_normal((n, d))).astype(np.float32)
        rows[n // 2] = rows[1]
        rows[3] = 0
        half = rows[::-1].astype(np.float16)
        # With the offset, float64 cannot tell all cosines and products apart; differences it computes without error.
        for metric in ("sqeuclidean", "euclidean", *(("cosine", "inner_product") if not offset else ())):
            for queries in (rows[:2], rows):
                print(topk(queries, rows, 6, metric).indices.tolist())
            print(nearest_self(rows, 3, metric).indices.tolist())
            print(_kernels.nearest_self(rows, 3, metric, None, 1, encode=True)[0].tolist())
            full = half.astype(np.float32)
            assert (topk(half, half, 4, metric).indices == topk(full, full, 4, metric).indices).all()
            exact = topk(rows, rows, n, metric)
            values = np.take_along_axis(pairwise(rows, rows, metric), exact.indices, 1)
            lengths = np.linalg.norm(rows.astype(float), axis=1).max() ** 2
            slack = 1e-4 * lengths if metric == "inner_product" else 1e-4 * exact.distances + 1e-15
            assert (np.abs(values - exact.distances) <= slack).all()
        print(semi_hard(rows, labels=np.arange(n) % 5).negatives.tolist())
"""


def run_battery(isa: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", BATTERY],
        env=os.environ | {"ENGINE_ISA": isa},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode and "expected the environment variable ENGINE_ISA" in done.stderr:
        pytest.skip(f"this processor has no {isa}")
    assert not done.returncode, done.stderr
    name, _, answers = done.stdout.partition("\n")
    return name, answers


@pytest.fixture(scope="module")
def native_answers() -> str:
    return run_battery(_kernels.isa())[1]


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512", "avx512vnni"])
def test_instruction_sets_agree(isa, native_answers):
    name, answers = run_battery(isa)
    assert name == isa
    assert answers == native_answers

"""Searches against a slow ranking of all items in double precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.index import Filters, Index
from engine.index import search as search_module
from engine.index.query import ROCCHIO, probe, rocchio
from tests.index.stand_ins import SIZE, Reader, library, write

N_RECORDINGS, N_WINDOWS = 20, 3


@pytest.fixture(scope="module", params=["cosine", "euclidean", "inner_product"])
def made(request, tmp_path_factory):
    """An index, its vectors and its metric; every fourth recording is tagged "door", every fifth "wood"."""
    folder = tmp_path_factory.mktemp("search")
    vectors = library(folder / "in", N_RECORDINGS, N_WINDOWS)

    def tags(path):
        number = int(path[-7:-4])
        return [name for name, every in (("door", 4), ("wood", 5)) if number % every == 0]

    index = Index.create(folder / "lib.index", Reader(), request.param)
    index.add([folder / "in"], tags)
    index.save()
    return index, vectors.astype(np.float64), request.param


def scores_of(query, vectors, metric):
    """Scores in double: the definition of ``Hit.score``."""
    if metric == "cosine":
        return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    if metric == "inner_product":
        return vectors @ query
    return 1 / (1 + np.linalg.norm(vectors - query, axis=1))


def found(index, *arguments, **options):
    return [hit.item for hit in index.search(*arguments, **options)]


@given(seed=st.integers(0, 10_000), k=st.integers(0, 70), offset=st.integers(0, 30))
@settings(max_examples=25, deadline=None)
def test_ranking_is_that_of_all_items(made, seed, k, offset):
    index, vectors, metric = made
    query = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    scores = scores_of(query.astype(np.float64), vectors, metric)
    order = np.argsort(-scores, kind="stable")[offset : offset + k]
    hits = index.search(query, k, offset=offset)
    assert [hit.item for hit in hits] == order.tolist()
    assert [hit.rank for hit in hits] == list(range(offset + 1, offset + 1 + len(hits)))
    assert [hit.score for hit in hits] == pytest.approx(scores[order], abs=1e-5)


def test_hits_say_where_they_are(made):
    index, _, _ = made
    place = next(h for h in index.search(7, k=60) if h.item == 7)
    assert (place.path[-7:], place.start_s, place.end_s, place.recording_id, place.tags) == (
        *("002.wav", 1.0, 2.0, 2),
        (),
    )


FILTERS = [
    (Filters(tags=["door"]), lambda recording: recording % 4 == 0),
    (Filters(tags=["door", "wood"]), lambda recording: recording % 4 == 0 or recording % 5 == 0),
    (Filters(tags=["door"], without_tags=["wood"]), lambda recording: recording % 4 == 0 and recording % 5),
    (Filters(paths=["*/00?.wav"]), lambda recording: recording < 10),
    (Filters(without_paths=["*/01*"]), lambda recording: not 10 <= recording < 20),
    (Filters(min_duration_s=3.5), lambda _: False),
    (Filters(max_duration_s=3.0), lambda _: True),
    (Filters(tags=["nobody"]), lambda _: False),
]


@pytest.mark.parametrize(("filters", "allowed"), FILTERS)
def test_filters_leave_the_order_of_the_rest(made, filters, allowed):
    index, vectors, metric = made
    query = np.linspace(-1, 1, SIZE).astype(np.float32)
    order = np.argsort(-scores_of(query.astype(float), vectors, metric), kind="stable")
    expected = [item for item in order.tolist() if allowed(item // N_WINDOWS)]
    assert found(index, query, k=9, filters=filters) == expected[:9]


def test_own_recording_is_left_out_by_item_path_and_bytes(made, tmp_path):
    index, _, _ = made
    path = index.items["path"][9].as_py()
    copy = tmp_path / "copy.wav"
    copy.write_bytes(Path(path).read_bytes())
    others = Filters(exclude_same_recording=True)
    for query in (9, path, str(copy)):
        hits = index.search(query, k=60, filters=others)
        assert len(hits) == 57
        assert 3 not in {hit.recording_id for hit in hits}
    by_example = index.search(0, k=60, positives=[9], filters=others)
    assert {0, 3} & {hit.recording_id for hit in by_example} == set()


@pytest.mark.parametrize("cap", [1, 2])
def test_cap_keeps_the_best_of_each_recording(made, cap):
    index, vectors, metric = made
    query = np.ones(SIZE, np.float32)
    order = np.argsort(-scores_of(query.astype(float), vectors, metric), kind="stable").tolist()
    expected, seen = [], []
    for item in order:
        if seen.count(item // N_WINDOWS) < cap:
            expected.append(item)
            seen.append(item // N_WINDOWS)
    assert found(index, query, k=15, per_recording=cap) == expected[:15]
    assert found(index, query, k=5, offset=10, per_recording=cap) == expected[10:15]
    assert len(index.search(query, k=100, per_recording=cap)) == N_RECORDINGS * cap


def test_a_recording_that_fills_the_first_places_hides_no_other(tmp_path):
    write(tmp_path / "in" / "a.wav", [[1, 0.001 * i, 0, 0] for i in range(40)])
    write(tmp_path / "in" / "b.wav", [[0, 1, 0, 0]])
    with Index.create(tmp_path / "lib.index", Reader()) as index:
        index.add([tmp_path / "in"])
        assert [hit.path[-5:] for hit in index.search(0, k=2, per_recording=1)] == ["a.wav", "b.wav"]
        assert [hit.path[-5:] for hit in index.search(0, k=2, collapse=0.9)] == ["a.wav", "b.wav"]


def test_target_ranks_by_nearness_to_a_score(made):
    index, vectors, metric = made
    query = np.ones(SIZE, np.float32)
    scores = scores_of(query.astype(float), vectors, metric)
    hits = index.search(query, k=5, target=0.3)
    assert [hit.item for hit in hits] == np.argsort(np.abs(scores - 0.3), kind="stable")[:5].tolist()
    only = index.search(query, k=5, target=0.3, filters=Filters(tags=["wood"]))
    assert all("wood" in hit.tags for hit in only)


def test_near_duplicates_are_counted_in_the_first(tmp_path):
    write(tmp_path / "in" / "a.wav", [[1, 0, 0, 0], [0, 1, 0, 0]])
    write(tmp_path / "in" / "b.wav", [[1, 0.01, 0, 0]])
    write(tmp_path / "in" / "c.wav", [[1, 0, 0, 0], [0, 1, 0, 0]])
    write(tmp_path / "in" / "d.wav", [[0.9, 0.5, 0, 0]])
    index = Index.create(tmp_path / "lib.index", Reader())
    index.add([tmp_path / "in"])
    index.save()
    hits = index.search(0, k=3, collapse=0.99)
    assert [(hit.path[-5:], hit.n_alike) for hit in hits] == [("a.wav", 2), ("d.wav", 0), ("a.wav", 1)]
    assert [hit.n_alike for hit in index.search(0, k=6)] == [0] * 6
    same_bytes = index.search(0, k=6, collapse=1.0)
    assert sum(hit.n_alike for hit in same_bytes) == 2


def test_examples_move_the_query(made):
    index, vectors, metric = made
    if metric != "cosine":
        pytest.skip("compared with the formula on vectors of length one")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    own, towards, away = ROCCHIO
    moved = own * unit[0] + towards * unit[[4, 8]].mean(axis=0) - away * unit[[11]].mean(axis=0)
    expected = np.argsort(-(unit @ moved), kind="stable")[:6].tolist()
    assert found(index, 0, k=6, positives=[4, 8], negatives=[11]) == expected
    assert found(index, None, k=1, positives=[4])[0] == 4


def test_rocchio_without_examples_is_the_query():
    query = np.array([3.0, -1], np.float32)
    assert rocchio(query, [], []).tolist() == query.tolist()


def test_probe_separates_what_the_query_cannot():
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((500, 8)).astype(np.float32)
    wanted, unwanted = vectors[:10] + 0.0, vectors[10:20] + 0.0
    wanted[:, 0] += 3
    unwanted[:, 0] -= 3
    weights = probe(wanted, list(unwanted), vectors)
    assert (wanted @ weights).min() > (unwanted @ weights).max()
    assert abs(weights[0]) == max(abs(weights))


def test_probe_puts_negatives_last(made):
    index, _, _ = made
    order = found(index, 0, k=60, positives=[3, 6], negatives=[30, 33], refine="probe")
    assert max(order.index(item) for item in (0, 3, 6)) < min(order.index(item) for item in (30, 33))


def test_several_queries_are_as_one_by_one(made):
    index, _, _ = made
    assert index.search_many([0, 5], k=4) == [index.search(0, k=4), index.search(5, k=4)]


def test_threads_change_nothing(made):
    index, _, _ = made
    assert index.search(1, k=30, threads=3) == index.search(1, k=30)


@pytest.mark.parametrize(
    ("query", "options", "words"),
    [
        (np.zeros(3, np.float32), {}, "4 numbers"),
        (np.full(SIZE, np.nan, np.float32), {}, "finite"),
        (99, {}, "item from 0 to 59"),
        (None, {}, "query or positive"),
        (0, {"k": -1}, "k of at least 0"),
        (0, {"offset": -1}, "offset"),
        (0, {"per_recording": 0}, "per_recording"),
        (0, {"positives": [1], "refine": "magic"}, "rocchio or probe"),
        (0, {"approximate": True, "target": 0.5}, "approximate or target"),
    ],
)
def test_what_cannot_be_searched_is_told(made, query, options, words):
    with pytest.raises(ConfigError, match=words):
        made[0].search(query, **options)


def test_an_empty_index_gives_nothing(tmp_path):
    index = Index.create(tmp_path / "lib.index", Reader())
    assert index.search(np.ones(SIZE, np.float32)) == []


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(tags=["door"]),
        Filters(exclude_same_recording=True),
        Filters(tags=["door", "wood"], exclude_same_recording=True),
    ],
)
@pytest.mark.parametrize("options", [{}, {"per_recording": 1, "offset": 2}, {"collapse": 0.9}, {"target": 0.2}])
def test_several_queries_have_the_hits_of_each(made, filters, options):
    index, _, _ = made
    queries = [0, 13, 26, np.ones(SIZE, np.float32), 31, 32, 5]
    each = [index.search(query, 7, filters=filters, **options) for query in queries]
    assert index.search_many(queries, 7, filters=filters, **options) == each
    by_example = [index.search(query, 7, filters=filters, positives=[40], **options) for query in queries]
    assert index.search_many(queries, 7, filters=filters, positives=[40], **options) == by_example
    assert index.search_many([], 7) == []


def test_several_queries_are_one_pass(made, monkeypatch):
    index, _, _ = made
    passes = []
    kernel = search_module.topk
    monkeypatch.setattr(
        search_module, "topk", lambda q, *rest, **more: passes.append(len(q)) or kernel(q, *rest, **more)
    )
    index.search_many([0, 5, 9], 4, filters=Filters(tags=["door"], exclude_same_recording=True))
    assert passes == [3]

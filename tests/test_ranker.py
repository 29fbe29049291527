"""Ranking: equal to the whole network pair by pair, whatever is stored, batched or averaged on the way."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
import soundfile

import engine.two_tower
from engine import Embedder, LogMel, Ranker
from engine.audio import load
from engine.errors import AudioError, ConfigError, ModelError
from engine.ranks import average_ranks
from engine.take import prepared_take
from tests.tiny_models import FRONTEND, RATE, save, waveform_card, waveform_network
from tests.tiny_towers import QUERY_FRONTEND, QUERY_RATE, QUERY_SIZE, REFERENCE_SIZE, save_towers, two_tower_card

GENERATOR = np.random.default_rng(3)


def noise(seconds, rate, level=0.1, seed=0):
    """Noise of a colour of its own for each seed."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (level * np.convolve(white, np.random.default_rng(seed + 99).normal(size=9), "same")).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_towers(tmp_path_factory.mktemp("models") / "towers.onnx")


@pytest.fixture(scope="module")
def ranker(model):
    return Ranker(model, device="cpu", threads=1)


@pytest.fixture(scope="module")
def references(ranker):
    return ranker.encode(
        [(noise(seconds, RATE, seed=seed), RATE) for seed, seconds in enumerate((1, 0.5, 2.2, 1, 0.7))]
    )


def whole_network(model, take, windows):
    """The scores of one query against windows of references: the file as it is, pair by pair, in a bare runtime."""
    session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    padded = np.zeros(2 * QUERY_RATE, np.float32)
    heard = prepared_take(take, QUERY_RATE)
    padded[: heard.size] = heard
    query = LogMel(QUERY_FRONTEND)(padded)[np.newaxis]
    return [
        session.run(["similarity"], {"query_log_mel": query, "reference_log_mel": LogMel(FRONTEND)(window)[np.newaxis]})
        for window in windows
    ]


def test_scores_are_those_of_the_whole_network_pair_by_pair(model, ranker):
    takes = [noise(seconds, QUERY_RATE, seed=seed) for seed, seconds in ((20, 0.8), (21, 2), (22, 0.1))]
    windows = [noise(1, RATE, seed=seed) for seed in range(6)]
    references = ranker.encode([(window, RATE) for window in windows])
    for take in takes:
        expected = np.ravel(whole_network(model, take, windows))
        assert np.ptp(expected) > 0.01
        np.testing.assert_allclose(ranker.scores((take, QUERY_RATE), references), expected, rtol=1e-5)


def test_the_order_is_that_of_the_scores(ranker, references):
    query = (noise(1, QUERY_RATE, seed=30), QUERY_RATE)
    scores = ranker.scores(query, references)
    places = ranker.rank(query, references)
    assert [place.score for place in places] == sorted(scores.tolist(), reverse=True)
    assert [place.rank for place in places] == [1, 2, 3, 4, 5, 6, 7]
    assert {place.n_tied for place in places} == {0}
    assert ranker.rank(query, references, top_k=2) == places[:2]


def test_a_long_reference_is_several_windows_with_true_times(references):
    times = [(item.start_s, item.end_s) for item in references.items]
    assert times == [(0, 1), (0, 0.5), (0, 1), (1, 2), (2, 2.2), (0, 1), (0, 0.7)]
    assert references.vectors.shape == (7, REFERENCE_SIZE)


def test_batches_of_the_head_change_nothing(ranker, references, monkeypatch):
    query = (noise(1, QUERY_RATE, seed=30), QUERY_RATE)
    whole = ranker.scores(query, references)
    monkeypatch.setattr(engine.two_tower, "HEAD_BATCH", 2)
    monkeypatch.setattr("engine.ranker.ROWS", 3)
    np.testing.assert_allclose(ranker.scores(query, references), whole, rtol=1e-6)


def test_a_query_costs_one_pass_of_its_tower(ranker, references, monkeypatch):
    runs = []
    session = ranker.towers.query.session
    run = session.run
    monkeypatch.setattr(session, "run", lambda *arguments: (runs.append(1), run(*arguments))[1])
    ranker.scores((noise(1, QUERY_RATE), QUERY_RATE), references)
    assert len(runs) == 1


def test_equal_references_share_their_rank(ranker):
    same = (noise(1, RATE, seed=1), RATE)
    references = ranker.encode([same, (noise(1, RATE, seed=2), RATE), same])
    places = ranker.rank((noise(1, QUERY_RATE, seed=40), QUERY_RATE), references)
    tied = [place for place in places if place.n_tied == 1]
    assert [place.rank for place in tied] in ([1.5, 1.5], [2.5, 2.5])
    ranks, n_tied = average_ranks(np.array([place.score for place in places]))
    assert [(place.rank, place.n_tied) for place in places] == list(zip(ranks, n_tied, strict=True))


@pytest.mark.parametrize("gain", [1e-3, 0.25, 3.0])
def test_the_level_of_a_query_does_not_matter(ranker, references, gain):
    query = noise(1, QUERY_RATE, seed=50)
    plain = ranker.scores((query, QUERY_RATE), references)
    np.testing.assert_allclose(ranker.scores((query * np.float32(gain), QUERY_RATE), references), plain, atol=1e-6)


def test_silence_around_a_query_does_not_matter(ranker, references):
    query = noise(0.5, QUERY_RATE, seed=51)
    silence = np.zeros(QUERY_RATE // 2, np.float32)
    padded = (np.concatenate([silence, query, silence]), QUERY_RATE)
    plain = ranker.scores((query, QUERY_RATE), references)
    np.testing.assert_allclose(ranker.scores(padded, references), plain, atol=1e-6)
    untrimmed = ranker.scores(padded, references, trim_db=None)
    assert np.abs(untrimmed - plain).max() > 1e-4


def test_takes_are_averaged_or_fused(ranker, references):
    takes = [(noise(1, QUERY_RATE, seed=seed), QUERY_RATE) for seed in (60, 61, 62)]
    each = np.stack([ranker.scores(take, references) for take in takes])
    np.testing.assert_allclose(ranker.scores(takes, references, takes="fuse"), each.mean(0), atol=1e-6)
    towers = ranker.towers
    mean = np.mean([towers.query((prepared_take(take, rate), rate)).embedding for take, rate in takes], axis=0)
    averaged = ranker.scores(takes, references, takes="average")
    np.testing.assert_allclose(averaged, towers.similarities(mean.astype(np.float32), references.vectors), atol=1e-6)
    assert np.abs(averaged - each.mean(0)).max() > 1e-5


def test_files_are_ranked_by_path(ranker, tmp_path):
    paths = []
    for seed in range(3):
        paths.append(str(tmp_path / f"{seed}.wav"))
        soundfile.write(paths[-1], noise(1, 11025, seed=seed), 11025)
    places = ranker.rank(paths[0], ranker.encode(paths))
    assert {place.path for place in places} == set(paths)
    assert places[0].to_dict()["tags"] == []


def test_a_recording_is_given_so_many_times(ranker, tmp_path):
    for seed, seconds in enumerate((3, 1, 2)):
        soundfile.write(tmp_path / f"{seed}.wav", noise(seconds, RATE, seed=seed), RATE)
    references = ranker.encode(sorted(tmp_path.iterdir()))
    query = (noise(1, QUERY_RATE, seed=5), QUERY_RATE)
    everything = ranker.rank(query, references)
    assert len(everything) == 6
    once = ranker.rank(query, references, per_recording=1)
    best = {path: min(p.rank for p in everything if p.path == path) for path in {p.path for p in everything}}
    assert {place.path: place.rank for place in once} == best
    assert len(ranker.rank(query, references, per_recording=2)) == 5
    assert ranker.rank(query, references, per_recording=1, top_k=2) == once[:2]
    with pytest.raises(ConfigError, match="per_recording"):
        ranker.rank(query, references, per_recording=0)


def test_an_embedder_ranks_by_the_cosine(tmp_path):
    path = save(tmp_path / "tiny.onnx")
    ranker = Ranker(path, device="cpu", threads=1)
    assert not ranker.has_towers
    sounds = [(noise(1, RATE, seed=seed), RATE) for seed in range(4)]
    references = ranker.encode(sounds)
    query = noise(1, RATE, seed=9)
    scores = ranker.scores((query, RATE), references)
    embedding = Embedder(path)((prepared_take(query, RATE), RATE)).embedding
    vectors = references.vectors
    expected = vectors @ embedding / np.linalg.norm(vectors, axis=1) / np.linalg.norm(embedding)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_an_embedder_over_a_two_tower_model_is_its_reference_tower(model, ranker):
    sound = (noise(1, RATE), RATE)
    embedder = Embedder(model, device="cpu", threads=1)
    np.testing.assert_array_equal(embedder(sound).embedding, ranker.encode([sound]).vectors[0])
    assert embedder.card == ranker.card
    assert embedder.embedding_size == REFERENCE_SIZE
    assert ranker.card.query.embedding_size == QUERY_SIZE


def test_threads_and_pickles_give_the_same_bits(ranker, references):
    queries = [(noise(1, QUERY_RATE, seed=seed), QUERY_RATE) for seed in range(8)]
    expected = [ranker.scores(query, references) for query in queries]
    again = pickle.loads(pickle.dumps(ranker))
    with ThreadPoolExecutor(4) as pool:
        for got in (
            pool.map(lambda query: ranker.scores(query, references), queries),
            map(again.scores, queries, [references] * 8),
        ):
            np.testing.assert_array_equal(np.stack(list(got)), np.stack(expected))


def test_a_pickle_whose_file_changed_is_refused(tmp_path):
    path = save_towers(tmp_path / "towers.onnx")
    pickled = pickle.dumps(Ranker(path, device="cpu"))
    save_towers(path, attribution="someone else")
    with pytest.raises(ModelError, match="changed since"):
        pickle.loads(pickled)


def test_a_library_of_another_model_is_refused(ranker, tmp_path):
    other = Ranker(save(tmp_path / "tiny.onnx"), device="cpu")
    with pytest.raises(ModelError, match=r"encoded by 'tiny-towers'.*encode it with this model"):
        ranker.rank((noise(1, QUERY_RATE), QUERY_RATE), other.encode([(noise(1, RATE), RATE)]))


def test_models_that_cannot_rank_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"two towers, or one with an embedding.*engine\.Tagger"):
        Ranker(save(tmp_path / "scores.onnx", waveform_network(), waveform_card()))


def test_wrong_calls_are_refused(ranker, references):
    query = (noise(1, QUERY_RATE), QUERY_RATE)
    with pytest.raises(ConfigError, match="takes to be 'average' or 'fuse'"):
        ranker.scores(query, references, takes="max")
    with pytest.raises(ConfigError, match="one take of the query or more"):
        ranker.scores([], references)
    with pytest.raises(ConfigError, match="top_k"):
        ranker.rank(query, references, top_k=0)
    with pytest.raises(ConfigError, match="trim_db"):
        ranker.rank(query, references, trim_db=-1)
    with pytest.raises(ConfigError, match="one reference or more"):
        ranker.encode([])
    with pytest.raises(AudioError, match="silent throughout"):
        ranker.rank((np.zeros(100, np.float32), QUERY_RATE), references)


def test_a_closed_ranker_says_so(model):
    with Ranker(model, device="cpu") as ranker:
        references = ranker.encode([(noise(1, RATE), RATE)])
        ranker.warmup()
        assert repr(ranker).startswith("Ranker('tiny-towers', device='cpu'")
    with pytest.raises(ModelError, match="closed"):
        ranker.scores((noise(1, QUERY_RATE), QUERY_RATE), references)


def test_a_query_is_loaded_at_the_rate_of_its_own_tower(ranker, references, tmp_path):
    soundfile.write(tmp_path / "hum.wav", noise(1, 22050, seed=70), 22050, subtype="FLOAT")
    samples, rate = load(tmp_path / "hum.wav", QUERY_RATE)
    np.testing.assert_array_equal(
        ranker.scores(tmp_path / "hum.wav", references), ranker.scores((samples, rate), references)
    )
    assert two_tower_card().sample_rate != rate

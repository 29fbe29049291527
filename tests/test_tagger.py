from __future__ import annotations

import io
import pickle
import threading

import numpy as np
import pytest
import soundfile
from onnx import helper

from engine import Tagger
from engine.card import ModelInput, ModelOutput, ModelOutputs
from engine.errors import AudioError, ModelError
from engine.registry import DEFAULT_MODEL
from tests.tiny_models import LABELS, RATE, build, log_mel_card, log_mel_network, save, waveform_card, waveform_network

SAMPLES = (0.1 * np.sin(np.arange(3 * RATE) * 0.3)).astype(np.float32)


@pytest.fixture
def tagger(tmp_path):
    return Tagger(save(tmp_path / "tiny.onnx"), device="cpu", threads=1)


def wav(samples=SAMPLES):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_says_what_it_is(tagger):
    assert tagger.labels == LABELS
    assert tagger.device == "cpu"
    assert tagger.threads == 1
    assert tagger.card.name == "tiny"
    assert repr(tagger) == "Tagger('tiny', device='cpu', threads=1)"


def test_every_kind_of_source_gives_the_same_bits(tagger, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav())
    want = tagger((SAMPLES, RATE))
    sources = [path, str(path), wav(), io.BytesIO(wav()), {"array": SAMPLES, "sampling_rate": RATE}]
    for source in sources:
        np.testing.assert_array_equal(tagger(source).scores, want.scores)
    assert tagger(path).path == str(path)
    assert want.path is None


def test_result_is_tags_best_first_with_times(tagger):
    clip = tagger((SAMPLES, RATE))
    best = clip.top(3)
    assert [tag.score for tag in best] == sorted(clip.scores.tolist(), reverse=True)
    assert {tag.label for tag in best} == set(LABELS)
    assert clip.duration_s == 3
    assert clip.embedding.shape == (4,)
    assert clip.error is None


def test_thresholds_are_the_cards(tagger):
    clip = tagger((SAMPLES, RATE))
    want = {
        label
        for label, score in zip(LABELS, clip.scores, strict=True)
        if score >= {"low": 0.25, "high": 0.75}.get(label, 0.5)
    }
    assert {tag.label for tag in clip.above()} == want


def test_channel_is_chosen(tagger):
    stereo = np.stack([SAMPLES, np.zeros_like(SAMPLES)], axis=1)
    np.testing.assert_array_equal(tagger((stereo, RATE), channel=0).scores, tagger((SAMPLES, RATE)).scores)
    np.testing.assert_array_equal(tagger((stereo, RATE)).scores, tagger((SAMPLES / 2, RATE)).scores)


@pytest.mark.parametrize(
    "source",
    [
        (np.zeros(0, np.float32), RATE),
        (np.array([0, np.nan], np.float32), RATE),
        b"not audio",
        "absent.wav",
        SAMPLES,
    ],
)
def test_bad_audio_is_an_audio_error(tagger, source):
    with pytest.raises(AudioError):
        tagger(source)


def test_pickled_tagger_gives_the_same_bits(tagger):
    again = pickle.loads(pickle.dumps(tagger))
    assert repr(again) == repr(tagger)
    np.testing.assert_array_equal(again((SAMPLES, RATE)).scores, tagger((SAMPLES, RATE)).scores)


def test_model_without_scores_is_refused(tmp_path):
    only = ModelOutputs(embedding=ModelOutput("embedding", ("batch", "feature")))
    card = log_mel_card(task="embed", labels=(), score=None, outputs=only, thresholds={}, threshold_method="")
    path = save(tmp_path / "embed.onnx", log_mel_network(), card)
    with pytest.raises(ModelError, match=r"scores labels.*engine\.Embedder"):
        Tagger(path)


def test_default_is_the_shipped_model():
    tagger = Tagger(device="cpu")
    assert tagger.card.name == DEFAULT_MODEL
    clip = tagger((SAMPLES, RATE))
    assert clip.scores.shape == (len(tagger.labels),)


def test_embeds_in_the_same_pass(tagger, monkeypatch):
    runs = []
    run = tagger._model._network.run
    monkeypatch.setattr(tagger._model._network, "run", lambda *given: runs.append(1) or run(*given))
    clip = tagger.embed((SAMPLES, RATE), window_s=0.5, labels_allow=["low"])
    assert len(runs) == len(clip.windows) == 6
    want = tagger((SAMPLES, RATE), window_s=0.5)
    np.testing.assert_array_equal(clip.embedding, want.embedding)
    assert clip.labels == ("low",)
    stereo = np.stack([SAMPLES, np.zeros_like(SAMPLES)], axis=1)
    np.testing.assert_array_equal(
        tagger.embed((stereo, RATE), channel=0).embedding, tagger.embed((SAMPLES, RATE)).embedding
    )


def test_a_model_without_embedding_does_not_embed(tmp_path):
    tagger = Tagger(save(tmp_path / "scores.onnx", waveform_network(), waveform_card()), device="cpu")
    with pytest.raises(ModelError, match="expected a model with an embedding, 'tiny' has none; choose another model"):
        tagger.embed((SAMPLES, RATE))


def test_rows_are_for_models_that_take_them(tagger):
    with pytest.raises(ModelError, match="expected a model that takes embeddings, 'tiny' takes sound"):
        tagger.from_embeddings(np.zeros((3, 4), np.float32))


def test_rows_give_a_clip(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["rows", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.eye(3, dtype=np.float32)}
    network = build(nodes, {"rows": ["batch", "time", 3]}, {"scores": ["batch", 3]}, constants)
    given = ModelInput("rows", "embedding", ("batch", "time", "feature"), row_s=0.96)
    path = save(tmp_path / "head.onnx", network, waveform_card(input=given, window=2, hop=2, reduce="mean"))
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    clip = Tagger(path).from_embeddings(rows, top_k=1)
    assert clip.scores.tolist() == rows.mean(axis=0).tolist()
    assert clip.tags == clip.top(1)
    assert [window.end_s for window in clip.windows] == pytest.approx([1.92, 3.84])
    assert Tagger(path).from_embeddings(rows, row_s=1.0, window_s=1, hop_s=1).windows[3].scores.tolist() == [9, 10, 11]


def test_eight_threads_share_a_tagger_and_get_the_bits_of_one(tmp_path):
    tagger = Tagger(device="cpu", threads=2)
    rate = tagger.card.sample_rate
    paths = [tmp_path / f"{i}.flac" for i in range(8)]
    for i, path in enumerate(paths):
        noise = np.random.default_rng(i).standard_normal((2 * rate + 1000 * i, 1 + i % 2)) / 10
        soundfile.write(path, noise, rate if i % 3 else 48000)
    want = [tagger(path) for path in paths]
    got = [[] for _ in paths]
    start = threading.Barrier(len(paths))

    def work(i):
        start.wait()
        got[i] = [tagger(path) for path in paths[i:] + paths[:i]]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(paths))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, results in enumerate(got):
        for result, expected in zip(results, want[i:] + want[:i], strict=True):
            np.testing.assert_array_equal(result.scores, expected.scores)
            np.testing.assert_array_equal(result.embedding, expected.embedding)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_shipped_models_bits_do_not_depend_on_threads_batches_or_blocks(threads):
    one, several = Tagger(device="cpu", threads=1), Tagger(device="cpu", threads=threads)
    noise = np.random.default_rng(0).standard_normal(12 * one.card.sample_rate).astype(np.float32) / 10
    want = one((noise, one.card.sample_rate))
    for options in ({}, {"batch_size": 1}, {"batch_size": 32}):
        got = several((noise, one.card.sample_rate), **options)
        np.testing.assert_array_equal(got.scores, want.scores)
        np.testing.assert_array_equal(got.embedding, want.embedding)


def test_a_context_closes_the_model(tmp_path):
    with Tagger(save(tmp_path / "tiny.onnx"), device="cpu") as tagger:
        tagger.warmup()
        assert tagger((SAMPLES, RATE), progress=lambda _: None, cancel=threading.Event()).error is None
    with pytest.raises(ModelError, match="closed"):
        tagger((SAMPLES, RATE))

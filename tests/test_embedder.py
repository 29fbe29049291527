from __future__ import annotations

import pickle

import numpy as np
import pytest

from engine import Embedder, Tagger
from engine.card import ModelOutput, ModelOutputs
from engine.errors import ModelError
from engine.registry import DEFAULT_MODEL
from tests.tiny_models import EMBEDDING_SIZE, RATE, log_mel_card, log_mel_network, save, waveform_card, waveform_network

SAMPLES = np.random.default_rng(0).standard_normal(5 * RATE // 2).astype(np.float32) / 10


@pytest.fixture
def model(tmp_path):
    return save(tmp_path / "tiny.onnx")


def test_says_what_it_is(model):
    embedder = Embedder(model, device="cpu", threads=1)
    assert embedder.embedding_size == EMBEDDING_SIZE
    assert embedder.device == "cpu"
    assert embedder.threads == 1
    assert repr(embedder) == "Embedder('tiny', device='cpu', threads=1)"
    assert repr(pickle.loads(pickle.dumps(embedder))) == repr(embedder)


def test_clip_embedding_is_the_direction_of_the_windows_mean(model):
    clip = Embedder(model, device="cpu")((SAMPLES, RATE))
    windows = np.stack([window.embedding for window in clip.windows]).astype(np.float64)
    mean = windows.mean(axis=0)
    assert len(windows) == 4
    np.testing.assert_allclose(clip.embedding, mean / np.sqrt((mean**2).sum()), atol=1e-6)
    assert clip.embedding.dtype == np.float32


def test_one_pass_gives_what_the_tagger_gives(model):
    embedded, tagged = Embedder(model)((SAMPLES, RATE)), Tagger(model)((SAMPLES, RATE))
    np.testing.assert_array_equal(embedded.embedding, tagged.embedding)
    np.testing.assert_array_equal(embedded.scores, tagged.scores)


def test_pure_embedder_has_empty_scores(tmp_path):
    only = ModelOutputs(embedding=ModelOutput("embedding", ("batch", "feature")))
    card = log_mel_card(task="embed", labels=(), score=None, outputs=only, thresholds={}, threshold_method="")
    clip = Embedder(save(tmp_path / "embed.onnx", log_mel_network(), card))((SAMPLES, RATE))
    assert clip.scores.shape == (0,)
    assert clip.top(3) == []
    assert clip.embedding.shape == (EMBEDDING_SIZE,)


def test_model_without_embedding_is_refused(tmp_path):
    path = save(tmp_path / "scores.onnx", waveform_network(), waveform_card())
    with pytest.raises(ModelError, match=r"embedding.*engine\.Tagger"):
        Embedder(path)


def test_default_is_the_shipped_model():
    embedder = Embedder(device="cpu")
    assert embedder.card.name == DEFAULT_MODEL
    embedding = embedder((SAMPLES, RATE)).embedding
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import soundfile

from engine import Tagger
from engine.card import ModelOutput, ModelOutputs
from engine.errors import AudioError, ModelError
from engine.registry import DEFAULT_MODEL
from tests.tiny_models import LABELS, RATE, log_mel_card, log_mel_network, save

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

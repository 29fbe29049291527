"""Sequences by a model of the engine: the graph against stretches one by one, the joined model, and the command."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from engine import LogMel, Tagger
from engine.errors import ModelError
from tests.tiny_models import EMBEDDING_SIZE, RATE, log_mel_card, save, waveform_card
from training.__main__ import main
from training.networks.attention import AttentionTagger
from training.sequences import Embedding, export_on, export_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx")


def sounds(n=3, seconds=2.0):
    return np.random.default_rng(0).standard_normal((n, round(seconds * RATE))).astype(np.float32) * 0.1


def test_each_stretch_is_embedded_by_itself(model):
    embedding = Embedding(model, 0.25)
    made = embedding.of(sounds())
    frontend = LogMel(embedding.card.frontend)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    for sound, rows in zip(sounds(), made, strict=True):
        log_mel = frontend(sound)
        n_steps = len(log_mel) // embedding.n_frames
        assert rows.shape == (n_steps, EMBEDDING_SIZE)
        for step in range(n_steps):
            stretch = log_mel[step * embedding.n_frames : (step + 1) * embedding.n_frames]
            (expected,) = session.run(["embedding"], {embedding.card.input.name: stretch[None]})
            assert rows[step] == pytest.approx(expected[0], abs=1e-6)


def test_one_model_takes_sound_and_has_the_scores_of_the_network(model, tmp_path):
    torch.manual_seed(0)
    embedding, network = Embedding(model, 0.25), AttentionTagger(EMBEDDING_SIZE, 2, n_layers=1).eval()
    card = log_mel_card(
        name="joined",
        labels=("hum", "hiss"),
        score="sigmoid",
        thresholds={},
        threshold_method="",
        window=2 * RATE,
        hop=2 * RATE,
    )
    written = export_on(embedding, network, card, tmp_path / "joined.onnx")
    assert written.labels == ("hum", "hiss")
    with torch.no_grad():
        expected = network(torch.from_numpy(embedding.of(sounds()))).numpy()
    with Tagger(tmp_path / "joined.onnx", device="cpu") as tagger:
        for sound, scores in zip(sounds(), expected, strict=True):
            assert tagger((sound, RATE)).scores == pytest.approx(scores, abs=1e-5)
        assert tagger("examples/rain.flac").embedding.shape == (EMBEDDING_SIZE,)
    assert [path.name for path in tmp_path.iterdir()] == ["joined.onnx"]


def test_a_network_on_rows_runs_on_embeddings(tmp_path):
    from engine.card import ModelInput, ModelOutput, ModelOutputs

    network = AttentionTagger(6, 2, n_layers=1).eval()
    card = waveform_card(
        name="rows",
        labels=("hum", "hiss"),
        score="sigmoid",
        thresholds={},
        threshold_method="",
        input=ModelInput("sequences", "embedding", ("batch", "time", "feature"), row_s=0.96),
        outputs=ModelOutputs(scores=ModelOutput("scores", ("batch", "label"))),
        window=10,
        hop=10,
    )
    export_rows(network, card, tmp_path / "rows.onnx", 6)
    rows = np.random.default_rng(0).standard_normal((10, 6)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(rows)[None])[0].numpy()
    with Tagger(tmp_path / "rows.onnx", device="cpu") as tagger:
        assert tagger.from_embeddings(rows).scores == pytest.approx(expected, abs=1e-5)


def test_other_kinds_of_models_are_refused(tmp_path):
    from tests.tiny_models import waveform_network

    path = save(tmp_path / "waveform.onnx", waveform_network(), waveform_card())
    with pytest.raises(ModelError, match=r"log-mel as \(batch, time, mel\), got"):
        Embedding(path, 1.0)


def test_the_command_writes_sequences_with_their_paths(model, tmp_path, capsys):
    for i, sound in enumerate(sounds(2)):
        soundfile.write(tmp_path / f"{i}.wav", sound, RATE)
    command = [
        "embed",
        str(model),
        str(tmp_path),
        "-o",
        str(tmp_path / "out.npz"),
        "--step-s",
        "0.25",
        "--seconds",
        "2",
    ]
    assert main(command) == 0
    assert "2 sequences of" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as arrays:
        assert [path.rsplit("/", 1)[-1] for path in arrays["paths"]] == ["0.wav", "1.wav"]
        assert arrays["sequences"][0] == pytest.approx(Embedding(model, 0.25).of(sounds(1))[0], abs=1e-3)
        assert arrays["model_sha256"] == Embedding(model, 0.25).card.model_sha256
    assert main(command) == 2
    assert "expected a new file" in capsys.readouterr().err
    assert main([*command[:2], str(tmp_path / "nothing"), "-o", str(tmp_path / "other.npz")]) == 1

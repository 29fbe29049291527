"""The recipe of spoken words on a tiny tree: speakers stay in one fold, and the model is made for live audio."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import Tagger
from tests.training import trees
from training.datasets.speech_commands import CLASSES
from training.recipes.keywords import N_FOLDS, Config, load, train, without_silence
from training.run import Run
from training.taggers.examples import front_end

if TYPE_CHECKING:
    from pathlib import Path

TINY = Config(
    seeds=(0,),
    n_mels=16,
    lowest_band=8,
    f_max=8_000.0,
    channels=(4, 8),
    embedding_size=8,
    epochs=1,
    batch_size=16,
    warmup_steps=2,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.speech_commands_dev(tmp_path_factory.mktemp("words"), N_FOLDS)


def test_a_run_gives_a_model_for_live_audio(data: Path, tmp_path: Path) -> None:
    train(data, Run(tmp_path / "run", asdict(TINY)), TINY)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    confusion = np.array(metrics["confusion"])
    assert confusion.sum() == len(CLASSES) * N_FOLDS
    assert metrics["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    spoken = np.delete(confusion, CLASSES.index("silence"), axis=0)
    right = sum(confusion[i, i] for i, name in enumerate(CLASSES) if name != "silence")
    assert metrics["without_silence"]["mean"] == pytest.approx(right / spoken.sum())
    tagger = Tagger(tmp_path / "run" / "keywords.onnx", device="cpu", threads=1)
    assert tagger.labels == CLASSES
    assert (tagger.card.window, tagger.card.hop, tagger.card.score) == (16_000, 8_000, "softmax")
    assert "5 speakers" in tagger.card.training_data
    clip = tagger(data / "audio" / "yes" / "00000002_nohash_0.flac")
    assert clip.windows[0].scores.sum() == pytest.approx(1, abs=1e-5)


def test_silence_is_left_out_of_the_accuracy_and_nothing_else() -> None:
    scores = np.eye(len(CLASSES))[[0, 1, 2, 3, 3, 0, 11]]
    truth = [0, 1, 2, 3, 4, 5, 11]  # of six words four are right, and the silence is
    assert without_silence({"scores": scores.tolist(), "truth": truth}) == pytest.approx(4 / 6)


def test_no_speaker_is_in_two_folds_and_silence_is_laid_under_words(data: Path, tmp_path: Path) -> None:
    corpus = load(data, front_end(TINY), tmp_path)
    for speaker in {record.source for record in corpus.records} - {"noise"}:
        folds = {
            int(fold) for fold, record in zip(corpus.folds, corpus.records, strict=True) if record.source == speaker
        }
        assert len(folds) == 1
    seen, _ = corpus.rows(0)
    beside = corpus.beside(seen)
    assert beside is not None
    silent = [i for i in seen if corpus.records[i].label == "silence"]
    assert np.array_equal(beside.features.power, corpus.clips.features.power[silent])

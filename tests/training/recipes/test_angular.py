"""The angular recipe on tiny trees and on real clips: its run, its steps, and the traps of the published code."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional

from engine import LogMel, Tagger
from engine.convert import convert_model, read_recordings
from engine.errors import ConfigError
from tests.training import trees
from tests.training.checkpoints import ast_folder, beats_checkpoint
from training.losses.angular import angular_distance_distribution, focal, soft_angular_distance_distribution
from training.recipes.angular import Config, batch_loss, mixed, train, with_statistics
from training.recipes.angular.corpora import Fold, check_labels, load_corpus
from training.recipes.angular.encoders import front_end
from training.recipes.angular.schedules import PUBLISHED, learning_rate, optimiser
from training.run import Run

TINY = Config(
    channels=(4, 8), embedding_size=8, n_mels=16, epochs=3, batch_size=8, embedding_loss="add", checkpoint_every=1
)


class Interruption(BaseException):
    """Stands for the end of a time slot."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.esc10_dev(tmp_path_factory.mktemp("data"), folds=(1, 2, 3))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "add"
    train(data, Run(folder, asdict(TINY)), TINY)
    return folder


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_figures_are_the_engine_s_on_clips_that_were_left_out(data, finished):
    metrics, corpus = metrics_of(finished), load_corpus(data, TINY)
    stored = np.load(finished / "test.npz")
    assert sorted(stored["clips"]) == list(range(30))
    assert (stored["truth"] == corpus.truth[stored["clips"]]).all()
    for fold in corpus.folds:
        with Tagger(finished / f"fold{fold.name}.onnx", device="cpu", threads=1) as tagger:
            clips = [tagger.embed((corpus.waveforms[i], 16_000)) for i in fold.test]
        right = [int(np.argmax(clip.scores)) for clip in clips] == corpus.truth[fold.test]
        figures = metrics["folds"][fold.name]
        assert figures["accuracy"] == pytest.approx(np.mean(right))
        rows = np.stack([clip.embedding for clip in clips]).astype(np.float64)
        d = 1 - rows @ rows.T
        far = [(1 - d[i, j]) ** 2 for i in range(10) for j in range(10) if i != j]
        # One clip of each class in a fold: no positive pair.
        assert figures["after"] == {
            "mu_p": 0.0,
            "sigma_p": 0.0,
            "mu_n": pytest.approx(np.mean(far), rel=1e-4),
            "sigma_n": pytest.approx(np.std(far, ddof=1), rel=1e-4, abs=1e-7),  # embeddings are float32
        }
        assert figures["before"] != figures["after"]
    assert metrics["accuracy"] == pytest.approx(np.mean([f["accuracy"] for f in metrics["folds"].values()]))


def test_an_interrupted_run_ends_bit_equal(data, finished, tmp_path):
    for stop in (2, 3, 1):
        lines = []

        def echo(line, lines=lines, stop=stop):
            lines.append(line)
            if len(lines) == stop:
                raise Interruption

        with pytest.raises(Interruption):
            train(data, Run(tmp_path / "run", asdict(TINY), echo), TINY)
    train(data, Run(tmp_path / "run", asdict(TINY)), TINY)
    assert metrics_of(tmp_path / "run") == metrics_of(finished)
    for fold in "123":
        assert (tmp_path / "run" / f"fold{fold}.onnx").read_bytes() == (finished / f"fold{fold}.onnx").read_bytes()


def test_every_fold_has_the_same_labels_and_the_statistics_of_its_own_training_part(data, finished):
    corpus = load_corpus(data, TINY)
    for fold in corpus.folds:
        card = Tagger(finished / f"fold{fold.name}.onnx", device="cpu", threads=1).card
        assert card.labels == corpus.labels
        assert card.training_data == f"esc10, 20 clips, all folds but {fold.name}"
        raw = LogMel(front_end(16_000, TINY))(corpus.waveforms[fold.train]).astype(np.float64)
        assert card.frontend.mean == pytest.approx(raw.mean(), abs=1e-4)
        assert card.frontend.std == pytest.approx(2 * raw.std(), abs=1e-4)
    means = {Tagger(finished / f"fold{f.name}.onnx", device="cpu").card.frontend.mean for f in corpus.folds}
    assert len(means) == 3


def test_normalised_features_have_mean_0_and_deviation_a_half(data):
    corpus = load_corpus(data, TINY)
    for encoder in ("residual", "beats"):
        config = replace(TINY, encoder=encoder)
        frontend = with_statistics(front_end(16_000, config), corpus.waveforms, config)
        values = LogMel(frontend, warn_empty=False)(corpus.waveforms)
        assert (values.mean(), values.std()) == pytest.approx((0.0, 0.5), abs=1e-4)


def test_scoring_does_not_augment(data, finished, tmp_path):
    """What a run writes down is what its models give for the bare front end, however much it masks in training."""
    corpus = load_corpus(data, TINY)
    stored = np.load(finished / "test.npz")
    place = {clip: row for row, clip in enumerate(stored["clips"])}
    for fold in corpus.folds:
        path = finished / f"fold{fold.name}.onnx"
        frames = LogMel(Tagger(path, device="cpu").card.frontend)(corpus.waveforms[fold.test])
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        scores = session.run(["scores"], {"log_mel": frames})[0]
        np.testing.assert_allclose(stored["scores"][[place[clip] for clip in fold.test]], scores, atol=1e-6)
    # Masks change what is learnt, and nothing of what an untrained network is given to score.
    masked, bare = metrics_of(finished), replace(TINY, mask_frames=0, mask_mels=0)
    train(data, Run(tmp_path / "bare", asdict(bare)), bare)
    assert metrics_of(tmp_path / "bare")["before"] == masked["before"]
    assert metrics_of(tmp_path / "bare")["after"] != masked["after"]


def test_the_loss_is_the_classifier_s_and_the_angular_one_of_the_same_batch():
    logits, rows = torch.randn(6, 3), torch.randn(6, 4)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    shares = 0.7 * functional.one_hot(labels, 3) + 0.3 * functional.one_hot(labels.flip(0), 3)
    lambdas = (1.0, 2.0, 3.0, 4.0)
    cases = {
        (): functional.cross_entropy(logits, labels),
        ("objective", "focal"): focal(logits, labels, 2.0),
        ("embedding_loss", "add"): functional.cross_entropy(logits, labels)
        + angular_distance_distribution(rows, labels, lambdas),
    }
    for changes, expected in cases.items():
        config = Config(lambdas=lambdas, **dict([changes] if changes else []))
        torch.testing.assert_close(batch_loss(logits, rows, labels, config), expected)
    config = Config(objective="bce", embedding_loss="add", mixup=0.5, lambdas=lambdas)
    expected = functional.binary_cross_entropy_with_logits(logits, shares)
    expected += soft_angular_distance_distribution(rows, shares, (1.0, 2.0))
    torch.testing.assert_close(batch_loss(logits, rows, shares, config), expected)
    one_hot = functional.one_hot(labels, 3).float()
    plain = batch_loss(logits, rows, labels, Config(objective="bce"))
    torch.testing.assert_close(plain, functional.binary_cross_entropy_with_logits(logits, one_hot))


def test_mixing_is_of_waveforms_and_labels_alike():
    waveforms, targets = np.eye(6, dtype=np.float32), np.eye(6, dtype=np.float32)
    batch = np.array([3, 0, 5, 1] * 500)
    clips, shares = mixed(waveforms, targets, batch, Config(mixup=0.5), np.random.default_rng(0))
    # The waveforms are their labels here, so what is mixed alike is equal.
    np.testing.assert_array_equal(clips, shares)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    own = shares[np.arange(len(batch)), batch]
    assert np.mean(own < 1) == pytest.approx(0.5 * 5 / 6, abs=0.03)  # a sixth is mixed with itself
    # Beta(10, 10): mean 1/2, deviation 1 / sqrt(84).
    mixed_ones = own[own < 1]
    assert (mixed_ones.mean(), mixed_ones.std()) == pytest.approx((0.5, 84**-0.5), abs=0.01)
    clips, shares = mixed(waveforms, targets, batch, Config(), np.random.default_rng(0))
    np.testing.assert_array_equal(clips, waveforms[batch])


def test_published_schedules():
    network = torch.nn.Linear(2, 2)
    ast = Config(encoder="ast", **PUBLISHED["ast", "esc50"])
    assert isinstance(optimiser(network, ast), torch.optim.Adam)
    assert not isinstance(optimiser(network, ast), torch.optim.AdamW)
    rates = [learning_rate(step, 10, ast) for step in range(250)]
    # The warm-up goes down: its first rate is above the target.
    assert (rates[0], rates[25]) == pytest.approx((1e-5, (1e-5 + 6.7e-6) / 2))
    assert [rates[10 * epoch] for epoch in (5, 6, 24)] == pytest.approx([6.7e-6 * 0.85**k for k in (1, 2, 20)])
    assert rates[50] == rates[59] != rates[60]
    beats = Config(encoder="beats", **PUBLISHED["beats", "iemocap"])
    assert optimiser(network, beats).defaults["betas"] == (0.9, 0.98)
    rates = [learning_rate(step, 10, beats) for step in range(251)]
    assert (rates[50], rates[150], rates[250]) == pytest.approx((8e-6, 4e-6, 8e-9), rel=2e-3)
    words = Config(encoder="beats", corpus="keywords", **PUBLISHED["beats", "keywords"])
    assert {learning_rate(step, 10, words) for step in range(50, 300)} == {1e-4}
    assert (words.mixup, words.objective, words.batch_size, words.epochs) == (0.5, "bce", 16, 30)


def test_a_label_that_one_fold_alone_has_is_refused():
    truth = np.array([0, 0, 1, 1, 2])
    check_labels("abc", truth, Fold("1", np.array([0, 2, 4]), np.array([1, 3])))
    with pytest.raises(ConfigError, match=r"fold 2 in the others too, got \['c'\]"):
        check_labels("abc", truth, Fold("2", np.array([0, 2]), np.array([1, 3, 4])))


def test_real_folds_share_no_speaker(shared_data):
    for corpus, folder, n_folds in (("keywords", "speech_commands_dev", 2), ("fsdd", "fsdd_dev", 5)):
        loaded = load_corpus(shared_data / folder, Config(corpus=corpus, n_folds=2))
        assert len(loaded.folds) == n_folds
        assert loaded.sample_rate == (8_000 if corpus == "fsdd" else 16_000)
        assert loaded.waveforms.shape == (len(loaded.data), loaded.sample_rate)
        speakers = np.array([record.source for record in loaded.data.records])
        spoken = np.array([record.label != "silence" for record in loaded.data.records])
        for fold in loaded.folds:
            assert not set(speakers[fold.train][spoken[fold.train]]) & set(speakers[fold.test][spoken[fold.test]])
            assert set(loaded.truth[fold.test]) == set(range(len(loaded.labels)))
            assert len(fold.train) + len(fold.test) == len(loaded.data)


def test_a_model_trained_with_add_tags_a_real_clip(shared_data, tmp_path):
    names = ("rain", "dog_bark", "rooster")
    source = shared_data / "esc10_dev"
    with (source / "meta.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["category"] in names and row["fold"] in "12"]
    trees.write_table(tmp_path / "data" / "meta.csv", rows)
    (tmp_path / "data" / "ATTRIBUTION.md").symlink_to(source / "ATTRIBUTION.md")
    (tmp_path / "data" / "audio").symlink_to(source / "audio")
    config = replace(TINY, channels=(8, 16, 32), embedding_size=32, n_mels=40, epochs=40, checkpoint_every=40)
    config = replace(config, mask_frames=0, mask_mels=0)
    train(tmp_path / "data", Run(tmp_path / "run", asdict(config)), config)
    metrics = metrics_of(tmp_path / "run")
    assert metrics["accuracy"] > 0.6
    assert metrics["after"]["mu_n"] < metrics["before"]["mu_n"]
    with Tagger(tmp_path / "run" / "fold1.onnx", device="cpu") as tagger:
        clip = tagger.embed("examples/rain.flac")
        assert clip.top(1)[0].label == "rain"
        assert np.linalg.norm(clip.embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("encoder", ["crnn", "ast", "beats"])
def test_other_encoders_run_from_checkpoints_or_without(data, tmp_path, encoder):
    config = replace(TINY, encoder=encoder, epochs=1, batch_size=16, learning_rate=1e-4)
    if encoder == "ast":
        config = replace(config, checkpoint=str(ast_folder(tmp_path / "ast")))
    elif encoder == "beats":
        config = replace(config, checkpoint=str(beats_checkpoint(tmp_path / "beats.pt")), mixup=0.5, objective="bce")
    train(data, Run(tmp_path / "run", asdict(config)), config)
    with Tagger(tmp_path / "run" / "fold1.onnx", device="cpu") as tagger:
        clip = tagger.embed("examples/rain.flac")
        assert clip.scores.shape == (10,)
        assert clip.embedding.shape == (8 if encoder == "crnn" else 16,)
        if encoder != "beats":
            assert clip.scores.sum() == pytest.approx(1, abs=1e-5)
    batch, time, _ = onnx.load(tmp_path / "run" / "fold1.onnx").graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param
    # 5 s; an AST has positions for these frames alone.
    assert time.dim_value == 498 if encoder == "ast" else time.dim_param
    recordings = read_recordings(data / "audio", tagger.card)
    # An AST of this size has no layer that 8 bits make faster; tests/training/test_convert.py has a larger one.
    for variant in ("fp16",) if encoder == "ast" else ("fp16", "int8"):
        made = convert_model(tmp_path / "run" / "fold1.onnx", variant, tmp_path / "variants", recordings)
        with Tagger(made.path, device="cpu") as tagger:
            assert tagger("examples/rain.flac").scores.shape == (10,)


@pytest.mark.gpu
def test_a_run_on_the_device_ends_near_that_on_the_processor(data, finished, tmp_path, gpu):
    config = replace(TINY, device=gpu)
    train(data, Run(tmp_path / "run", asdict(config)), config)
    first, other = (
        json.loads((folder / "log.jsonl").read_text().splitlines()[0])["loss"]
        for folder in (finished, tmp_path / "run")
    )
    assert first == pytest.approx(other, rel=0.05)  # dropout has a generator of its own on each device


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "cnn"}, "residual, crnn, ast, beats"),
        ({"embedding_loss": "triplet"}, "none, add, add_plain"),
        ({"mixup": 0.5, "embedding_loss": "opl"}, "none, add, add_pooled, supcon, batch_hard, or --mixup=0"),
        ({"mixup": 0.5, "objective": "focal"}, "ce or bce"),
        ({"mixup": 2.0}, "from 0 to 1"),
        ({"lambdas": (1.0,)}, "four lambdas"),
        ({"width": 100}, "heads of 64"),
        ({"checkpoint": "x"}, "--encoder=ast or beats"),
        ({"epochs": 0}, "epochs"),
        ({"n_folds": 1}, "two folds"),
    ],
)
def test_numbers_that_no_run_can_have_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        Config(**changes)

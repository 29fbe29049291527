"""The recipe of partial labels: the methods on planted data, every trap of the paper's code, whole runs, tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from engine import Tagger
from engine.errors import ConfigError
from tests.tiny_models import EMBEDDING_SIZE, log_mel_card, save
from tests.training import trees
from tests.training.datasets.layouts import lines
from tests.training.datasets.test_scenes import fields
from training.datasets.openmic2018 import LABELS
from training.losses.embedding import embedding_loss
from training.partial_labels import present
from training.recipes.partial_labels import Config, methods
from training.recipes.partial_labels import train as train_recipe
from training.recipes.partial_labels.corpora import load_corpus
from training.recipes.partial_labels.grid import METHODS, cells, in_per_cent, main, plot, plot_attention
from training.recipes.partial_labels.methods import Part, fit, scores, train, validation_loss
from training.recipes.partial_labels.thresholds import best_thresholds, calibrated, calibration_error
from training.run import Run

TINY = Config(layers=1, dropout=0.0, epochs=3, batch_size=16, learning_rate=0.01, halve_every=2, decay=0.9)


def silent(*_):
    """Log nothing."""


def part(seed=0, n=60, n_labels=3, known_share=1.0):
    """Sequences whose first numbers say which labels are there."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((n, n_labels)) < 0.4).astype(np.uint8)
    sequences = generator.standard_normal((n, 4, 8)).astype(np.float32)
    sequences[:, :, :n_labels] += 3 * targets[:, None]
    return Part(torch.from_numpy(sequences), targets, generator.random((n, n_labels)) < known_share)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_what_is_there(method):
    config = replace(TINY, method=method, epochs=20, percentiles=(60.0,))
    made = train(part(0, 200, known_share=0.6), part(1), config, silent)
    test = part(2, 300)
    found = scores(made.network, test.sequences).numpy()
    for label in range(3):
        there = test.targets[:, label] == 1
        assert found[there, label].mean() > found[~there, label].mean() + 0.2
    assert made.loss == pytest.approx(validation_loss(made.network, part(1)))
    assert (made.teacher is not None) == method.endswith("mt")
    assert (made.pruning is not None) == method.startswith("le")


@pytest.mark.parametrize("method", METHODS)
def test_hidden_labels_change_nothing(method):
    """Trap 1: the labels of missing entries are planted; whatever they are, every method ends the same."""
    config = replace(TINY, method=method, percentiles=(50.0, 90.0))
    honest = part(0, known_share=0.5)
    planted = replace(honest, targets=np.where(honest.known, honest.targets, 1 - honest.targets).astype(np.uint8))
    one, other = (train(given, part(1), config, silent) for given in (honest, planted))
    for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_on_embeddings_reads_the_known_labels_alone(method):
    config = replace(TINY, method=method, percentiles=(50.0,), embedding_loss="add")
    honest = part(0, known_share=0.8)
    planted = replace(honest, targets=np.where(honest.known, honest.targets, 1 - honest.targets).astype(np.uint8))
    bare, one, other = (
        list(train(given, part(1), each, silent).network.parameters())
        for given, each in ((honest, replace(config, embedding_loss="none")), (honest, config), (planted, config))
    )
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one, bare, strict=True))


def test_clips_with_an_unknown_label_have_no_loss_on_their_embeddings():
    config, given = replace(TINY, method="b1"), part(0, known_share=0.8)
    given.known[np.arange(60), np.arange(60) % 3] = False
    bare, one = (
        train(given, part(1), replace(config, embedding_loss=name), silent).network for name in ("none", "add")
    )
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), one.parameters(), strict=True))


def test_a_loss_on_embeddings_makes_their_distances_those_of_the_labels():
    training, found = part(0, 200), {}
    targets = torch.from_numpy(training.targets)
    for name in ("none", "add"):
        config = replace(TINY, epochs=10, embedding_loss=name, embedding_weight=3.0)
        network = train(training, part(1), config, silent).network
        with torch.no_grad():
            features = network.with_features(training.sequences)[1]
        found[name] = float(embedding_loss("add", features, targets))
    assert found["add"] < 0.9 * found["none"]


@pytest.mark.parametrize("method", ["b1", "le_mt"])
def test_a_stage_of_clusters_comes_first_and_reads_the_known_labels_alone(method):
    config = replace(TINY, method=method, percentiles=(60.0,), embedding="triple_header", embedding_epochs=(2, 2, 4))
    given = part(0, 120, known_share=0.9)
    secret = Part(given.sequences, given.targets ^ (~given.known).astype(np.uint8), given.known)
    one, other = (list(train(each, part(1), config, silent).network.parameters()) for each in (given, secret))
    bare = list(train(given, part(1), replace(config, embedding="none"), silent).network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one, bare, strict=True))


def test_a_stage_of_clusters_needs_clips_that_are_known_whole():
    given = part(0, known_share=0.8)
    given.known[np.arange(60), np.arange(60) % 3] = False
    with pytest.raises(ConfigError, match="expected two sets of labels"):
        train(given, part(1), replace(TINY, embedding="triple_header"), silent)


def test_the_leak_of_the_authors_code_can_be_had_and_reads_them():
    config = replace(TINY, method="le", percentiles=(95.0,), leak=True)
    honest = part(0, known_share=0.5)
    planted = replace(honest, targets=np.where(honest.known, honest.targets, 1 - honest.targets).astype(np.uint8))
    one, other = (train(given, part(1), config, silent).network for given in (honest, planted))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def spied_rates(monkeypatch):
    """Learning rates of each new optimiser, and at its end."""
    seen = []
    original = torch.optim.Adam

    def made(parameters, **options):
        seen.append(options["lr"])
        return original(parameters, **options)

    monkeypatch.setattr(torch.optim, "Adam", made)
    return seen


def test_the_student_begins_at_the_configured_learning_rate(monkeypatch):
    """Trap 2: the teacher's schedule leaves nothing behind."""
    rates = spied_rates(monkeypatch)
    train(part(), part(1), replace(TINY, method="le", epochs=5, percentiles=(50.0, 90.0)), silent)
    assert rates == [0.01, 0.01, 0.01]


def test_pruning_by_the_teacher_and_the_choice_among_percentiles():
    """Trap 3 is the pruning's own test; here: known entries always count, and the least validation loss decides."""
    training = part(0, known_share=0.5)
    seen = []

    def spied(given, targets, counted, validation, config, *, stage, log):
        made = fit(given, targets, counted, validation, config, stage=stage, log=log)
        seen.append((stage, counted, targets, made.loss))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "fit", spied)
        made = train(training, part(1), replace(TINY, method="le", percentiles=(10.0, 50.0, 90.0)), silent)
    assert [stage for stage, *_ in seen] == ["teacher", "student", "student", "student"]
    assert seen[0][1].all()
    for _, counted, targets, _ in seen:
        assert counted[training.known].all()
        assert (targets == present(training.targets, training.known)).all()
    shares = [counted[~training.known].mean() for _, counted, _, _ in seen[1:]]
    assert shares == pytest.approx([0.1, 0.5, 0.9], abs=0.06)
    losses = [loss for *_, loss in seen[1:]]
    assert made.percentile == (10.0, 50.0, 90.0)[int(np.argmin(losses))]
    assert made.loss == min(losses)


def test_the_saved_teacher_is_the_teacher():
    """Trap 4: not a copy of the student."""
    made = train(part(), part(1), replace(TINY, method="mt"), silent)
    pairs = zip(made.network.parameters(), made.teacher.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert not made.teacher.training


def test_a_loss_is_logged_by_entries_not_by_batches():
    """Trap 11: the short last batch weighs what it holds."""
    training = part(0, 20, known_share=0.7)
    logged = []
    config = replace(TINY, method="b1", epochs=1, batch_size=16, learning_rate=1e-30)
    train(training, part(1), config, lambda stage, epoch, loss, now: logged.append((loss, now)))
    torch.manual_seed(0)
    # At a rate of nothing the network stays as it begins; in training mode its batches normalise by themselves.
    assert logged[0][0] > 0
    assert logged[0][1] == pytest.approx(
        validation_loss(train(training, part(1), config, silent).network, part(1)), rel=1e-5
    )


# Thresholds and calibration


def test_thresholds_are_those_of_the_best_f1_over_known_entries():
    given = np.array([[0.9, 0.1], [0.6, 0.2], [0.4, 0.3], [0.2, 0.9]])
    targets = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], np.uint8)
    known = np.array([[True, True]] * 3 + [[False, True]])
    assert best_thresholds(given, targets, known).tolist() == pytest.approx([0.5, 0.5])


def test_calibration_undoes_a_slope_and_an_offset():
    generator = np.random.default_rng(0)
    true = generator.uniform(-3, 3, (4000, 2))
    targets = (generator.random(true.shape) < 1 / (1 + np.exp(-true))).astype(np.uint8)
    distorted = 1 / (1 + np.exp(-(3 * true + 1)))
    known = np.ones(true.shape, bool)
    made = calibrated(distorted, distorted, targets, known)
    assert calibration_error(made, targets, known) < 0.02 < calibration_error(distorted, targets, known)


# Whole runs


@pytest.fixture(scope="module")
def openmic(tmp_path_factory):
    """OpenMIC-2018 with 60 clips, a third of its entries known."""
    root = tmp_path_factory.mktemp("openmic")
    generator = np.random.default_rng(0)
    keys = [f"{i:06d}_0" for i in range(60)]
    relevance, observed = generator.random((60, 20)), generator.random((60, 20)) < 0.35
    np.savez(root / "openmic-2018.npz", X=generator.integers(0, 256, (60, 10, 128)), Y_true=relevance, Y_mask=observed)
    rows = [
        {"sample_key": keys[i], "instrument": LABELS[j], "relevance": relevance[i, j], "num_responses": 3}
        for i, j in np.argwhere(observed)
    ]
    trees.write_table(root / "openmic-2018-aggregated-labels.csv", rows)
    lines(root / "partitions" / "split01_train.csv", keys[:45])
    lines(root / "partitions" / "split01_test.csv", keys[45:])
    return root


@pytest.mark.parametrize("method", ["le", "mt"])
def test_a_run_on_published_embeddings_gives_a_model_on_rows(openmic, tmp_path, method):
    config = replace(TINY, method=method, epochs=2, batch_size=4)
    train_recipe(openmic, Run(tmp_path / "run", asdict(config)), config)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert ("teacher" in metrics) == (method == "mt")
    with Tagger(tmp_path / "run" / "model.onnx", device="cpu") as tagger:
        assert "VGGish" in tagger.card.training_data
        assert tagger.card.input.kind == "embedding"
        rows = np.zeros((10, 128), np.float32)
        assert tagger.from_embeddings(rows).scores.shape == (20,)


def test_nothing_to_learn_from_is_refused(openmic):
    with pytest.raises(ConfigError, match="known labels in every part of openmic2018, got none in train"):
        load_corpus(openmic, replace(TINY, dropped=0.999999))


def test_a_run_on_scenes_gives_one_model_that_takes_sound(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    fields(root / "fields", 32)
    esc10 = trees.esc10_dev(root / "esc10", folds=(1, 2, 3, 4))
    model = save(tmp_path / "tiny.onnx")
    config = replace(
        TINY,
        corpus="scenes",
        sequences=str(model),
        background="../fields",
        scenes=16,
        step_s=0.5,
        dropped=0.5,
        hidden="rare",
        method="le_mt",
        epochs=2,
    )
    train_recipe(esc10, Run(tmp_path / "run", asdict(config)), config)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    pruning = metrics["pruning"]
    assert 0 < pruning["hidden"] < 16 * 10
    plot_attention(tmp_path / "run", tmp_path / "attention.png")
    assert (tmp_path / "attention.png").stat().st_size > 5_000
    with np.load(tmp_path / "run" / "test.npz") as arrays:
        assert arrays["attention"].sum(axis=1) == pytest.approx(np.ones(10), abs=1e-5)
    assert 0 <= pruning["precision"] <= 1
    with Tagger(tmp_path / "run" / "model.onnx", device="cpu") as tagger:
        result = tagger("examples/rain.flac")
        assert result.scores.shape == (10,)
        assert result.embedding.shape == (EMBEDDING_SIZE,)
    with pytest.raises(ConfigError, match=r"an exported \.onnx"):
        train_recipe(esc10, Run(tmp_path / "other", {}), replace(config, sequences=""))


@pytest.mark.parametrize(
    "changes",
    [{"method": "b2"}, {"corpus": "x"}, {"dropped": 1.0}, {"embedding_loss": "opl"}, {"percentiles": (120.0,)}],
)
def test_what_no_part_knows_is_refused(changes):
    with pytest.raises(ConfigError, match="expected --"):
        Config(**changes)


# The grid


def test_cells_are_one_configuration_and_seed_each():
    full = dict(cells("scenes", "m.onnx"))
    assert len(full) == 5 * 5 * (1 + 4 + 2)
    assert len(dict(cells("audioset_vggish", ""))) == 5 * 5 * (1 + 4)
    assert len({json.dumps(asdict(config)) for config in full.values()}) == len(full)
    assert len(dict(cells("openmic2018", ""))) == 5 * 5 * (1 + 4)
    assert {config.decay for config in dict(cells("sonyc_ust", "x.npz")).values()} == {0.99}
    assert {config.epochs for config in dict(cells("scenes", "m.onnx", reduced=True)).values()} == {30}


def test_tables_and_plots_of_what_is_finished(tmp_path, capsys):
    card = log_mel_card(thresholds={"low": 0.3, "high": 0.5, "both": 0.6})
    model = save(tmp_path / "model.onnx", card=card)
    for method in ("b0", "le"):
        for seed, figure in enumerate((0.5, 0.6)):
            folder = tmp_path / f"scenes-full_rare_0.8_{method}_{seed}"
            folder.mkdir()
            pruning = {"percentile": 80.0, "precision": 0.5, "recall": 0.25, "hidden": 100, "hidden_positives": 10}
            metrics = {"student": {"macro_auprc": figure}} | ({"pruning": pruning} if method == "le" else {})
            (folder / "metrics.json").write_text(json.dumps(metrics))
            shutil.copy(model, folder)
            # Of "low", two of three are found and nothing else; of "high" the one that is known; of "both" nothing.
            given = np.array([[0.4, 0.9, 0.5], [0.31, 0.4, 0.5], [0.29, 0.9, 0.5], [0.1, 0.0, 0.9]])
            there = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]], np.uint8)
            known = np.array([[True] * 3, [True] * 3, [True, False, True], [True] * 3])
            np.savez(folder / "test.npz", scores=given, targets=there, known=known)
    assert main(["report", "--cells", str(tmp_path), "-o", str(tmp_path / "box.png")]) == 0
    out = capsys.readouterr().out
    assert "| 80 % | 55.0 ± 7.1 (2) |  | 55.0 ± 7.1 (2) |  |  |" in out
    assert "| scenes-full | rare | le | 80 % | 80 | 0.50 | 0.25 | 0.10 |" in out
    assert "### scenes-full, 80 % hidden rare: F1 of each label" in out
    assert "| low | 3 | 80.0 ± 0.0 (2) |  | 80.0 ± 0.0 (2) |  |  |\n| both | 2 | 0.0" in out
    assert "| high | 1 | 100.0 ± 0.0 (2) |" in out
    assert in_per_cent([]) == ""
    plot(tmp_path, tmp_path / "other.png")
    assert (tmp_path / "other.png").stat().st_size > 5_000

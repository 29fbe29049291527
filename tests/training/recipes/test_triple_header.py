"""The triple-header recipe on a tiny tree, its toy, and the tables of its grid."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from engine import Tagger
from engine.errors import ConfigError
from tests.training import trees
from training.losses.angular import angular_distance_distribution
from training.losses.triple_header import weighted_bce
from training.networks.event_encoders import Detector, LstmEncoder
from training.recipes.triple_header import Config, train
from training.recipes.triple_header.detector import Part, train_detector
from training.recipes.triple_header.grid import ABLATIONS, cells, collect, in_per_cent, plot, tables
from training.recipes.triple_header.toy import learn
from training.run import Run

TINY = Config(
    corpus="esc10",
    ratio=(2, 1, 1, 4),
    most=3,
    n_mels=16,
    size=8,
    outer_iterations=2,
    head_epochs=1,
    inner_epochs=1,
    last_epochs=2,
    detector_epochs=2,
    batch_size=8,
)


class Interruption(BaseException):
    """Stands for the end of a time slot."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.esc10_dev(tmp_path_factory.mktemp("data"), folds=(1, 2, 3))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "esc10_6-1-2-16_lstm_triple-header_0"
    train(data, Run(folder, asdict(TINY)), TINY)
    return folder


def test_a_run_gives_detectors_that_the_engine_runs(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert list(metrics) == ["proposed1", "proposed2"]
    for name, figures in metrics.items():
        assert figures["overall"] == pytest.approx(np.mean(list(figures["eer"].values())))
        with Tagger(finished / f"{name}.onnx", device="cpu") as tagger:
            assert tagger.labels == ("dog bark", "crying baby", "rooster")
            assert dict(tagger.card.thresholds) == figures["thresholds"]["equal_error"]
            rates = tagger.card.metrics["thresholds_at_false_alarms"]
            assert rates["rate"] == 0.05
            assert set(rates) == {"rate", *tagger.labels}
            assert len(tagger("examples/rain.flac").windows) == 1


def test_an_interrupted_run_ends_the_same(finished, data, tmp_path):
    lines = []

    def echo(line):
        lines.append(line)
        if len(lines) == 1:
            raise Interruption

    with pytest.raises(Interruption):
        train(data, Run(tmp_path / "run", asdict(TINY), echo), TINY)
    # The line was logged, the state behind it was not saved: the clustering is done again.
    train(data, Run(tmp_path / "run", asdict(TINY)), TINY)
    assert (tmp_path / "run" / "metrics.json").read_text() == (finished / "metrics.json").read_text()


def test_a_run_goes_on_behind_the_last_clustering(finished, data, tmp_path):
    lines = []

    def echo(line):
        lines.append(json.loads(line))
        if lines[-1]["stage"] == "proposed1":
            raise Interruption

    with pytest.raises(Interruption):
        train(data, Run(tmp_path / "run", asdict(TINY), echo), TINY)
    lines.clear()
    train(data, Run(tmp_path / "run", asdict(TINY), lambda line: lines.append(json.loads(line))), TINY)
    assert "embedding" not in {line["stage"] for line in lines}
    assert (tmp_path / "run" / "metrics.json").read_text() == (finished / "metrics.json").read_text()


@pytest.mark.parametrize("changes", [{"embedding": "none", "gamma": 2.0}, {"encoder": "cnn", "channels": (2, 3)}])
def test_the_baseline_and_the_convolutions_run(data, tmp_path, changes):
    config = replace(TINY, outer_iterations=1, last_epochs=1, detector_epochs=1, **changes)
    train(data, Run(tmp_path / "run", asdict(config)), config)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert list(metrics) == (["baseline"] if changes.get("embedding") else ["proposed1", "proposed2"])


def test_the_large_class_splits_into_four_clusters():
    toy = learn(seed=0, n_samples=600)
    columns = torch.nn.functional.normalize(toy.head.columns.detach(), dim=1)
    assert columns.shape == (6, 3)
    nearest = (toy.embeddings @ columns.T).argmax(dim=1)
    assert (nearest.clamp_max(2) == toy.classes).float().mean() > 0.99
    large = toy.own[toy.classes == 2]
    assert sorted(large.bincount()[2:].tolist()) == [100] * 4
    # A Gaussian and a cluster are mostly the same samples.
    groups = toy.groups[toy.classes == 2]
    counts = torch.zeros(4, 4)
    counts.index_put_((large - 2, groups - 2), torch.ones(len(large)), accumulate=True)
    assert counts.amax(dim=1).sum() / counts.sum() > 0.7


def part(seed):
    generator = torch.Generator().manual_seed(seed)
    return Part(torch.randn(30, 6, 4, generator=generator), torch.arange(30) % 3, 2)


def test_only_the_new_layer_learns_where_that_is_asked_and_the_best_weights_stay():
    torch.manual_seed(0)
    detector = Detector(LstmEncoder(4, 6), None, 2)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    training, validation = part(0), part(1)
    losses = []
    config = replace(TINY, detector_epochs=40, patience=3, learning_rate=0.5)
    best = train_detector(
        detector, [detector.detect], training, validation, config, log=lambda _e, _t, now: losses.append(now)
    )
    after = detector.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} <= {"detect.weight", "detect.bias"}
    assert best <= min(losses)
    assert len(losses) < 40
    weights = torch.tensor([2.0, 2.0])
    with torch.no_grad():
        loss = weighted_bce(detector(validation.log_mel)[0], validation.targets, weights)
    assert float(loss) == pytest.approx(best, rel=1e-5)


def test_a_loss_on_embeddings_is_learnt_where_the_encoder_learns():
    """Background is a class of its own; a frozen encoder's embeddings cannot heed it."""
    training, found = part(0), {}
    for name in ("none", "add"):
        for learns in ("detector", "layer"):
            torch.manual_seed(0)
            detector = Detector(LstmEncoder(4, 6), None, 2)
            config = replace(TINY, detector_epochs=20, patience=99, embedding_loss=name, embedding_weight=5.0)
            config = replace(config, learning_rate=0.01)
            train_detector(
                detector, [detector if learns == "detector" else detector.detect], training, training, config
            )
            with torch.no_grad():
                embedding = detector(training.log_mel)[1]
            found[name, learns] = float(angular_distance_distribution(embedding, training.classes))
    assert found["add", "detector"] < 0.9 * found["none", "detector"]
    assert found["add", "layer"] == found["none", "layer"]


def test_cells_are_one_configuration_and_seed_each():
    full = dict(cells("full", "keywords"))
    assert len(full) == 40
    assert len({json.dumps(asdict(config)) for config in full.values()}) == 40
    ablations = dict(cells("ablations", "keywords"))
    assert len(ablations) == 3 * len(ABLATIONS)
    baselines = {name.split("_")[1] for name, config in ablations.items() if config.embedding == "none"}
    assert baselines == {"focal-baseline", "unweighted-baseline", "long-baseline"}
    # As many epochs as there are in all clusterings, and none fewer for want of progress.
    long, method = ablations["keywords_long-baseline_0"], Config()
    stage = method.outer_iterations * method.head_epochs
    stage += (method.outer_iterations - 1) * method.inner_epochs + method.last_epochs
    assert long.patience == long.detector_epochs > stage
    assert {config.most for config in dict(cells("reduced", "esc10")).values()} == {15}


def test_tables_give_mean_and_spread_of_the_seeds(finished, tmp_path):
    for seed, rate in enumerate((0.1, 0.3)):
        folder = tmp_path / f"keywords_6-1-2-16_lstm_none_{seed}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"corpus": "keywords", "encoder": "lstm"}))
        det = {"stop": [[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]], "yes": [[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]]}
        figures = {"overall": rate, "eer": {"stop": rate, "yes": rate}, "det": det}
        (folder / "metrics.json").write_text(json.dumps({"baseline": figures}))
    assert collect(tmp_path)["keywords", "6-1-2-16", "lstm", "baseline"]["stop"] == [0.1, 0.3]
    table = tables(tmp_path)
    assert "| 6-1-2-16 | lstm | baseline | 2 | 20.0 ± 14.1 | 20.0 ± 14.1 | 20.0 ± 14.1 | 20.3 |" in table
    assert in_per_cent([0.5]) == "50.0"
    plot(tmp_path, tmp_path / "det.png")
    assert (tmp_path / "det.png").stat().st_size > 10_000
    with pytest.raises(ConfigError, match="run them first"):
        plot(finished, tmp_path / "none.png")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "transformer"}, "lstm, cnn"),
        ({"ratio": (6,)}, "6,1,2,16"),
        ({"batch_size": 0}, "batch_size"),
        ({"events": ("one",)}, "3 events"),
        ({"embedding_loss": "triplet"}, "none, add, add_plain, add_pooled, opl, opl_scaled"),
    ],
)
def test_numbers_that_no_run_can_have_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        Config(**changes)

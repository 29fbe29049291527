"""The two-tower recipe: a run, a run that was interrupted, and its ranker through the engine."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from engine import Ranker
from engine.errors import ConfigError
from training.recipes.two_tower import Config, epoch, features, make_network, make_trial, train
from training.recipes.two_tower.epoch import batch_losses, rank, similarities
from training.recipes.two_tower.grid import cells, tables
from training.run import Run
from training.sampling.batches import epoch_generator

CONFIG = Config(towers="small", n_classes=3, epochs=2, batch_size=16, schedule="published", loss="pairwise")


@pytest.fixture(scope="module")
def words(shared_data):
    return shared_data / "speech_commands_dev"


def trained(folder, words, config):
    run = Run(folder, asdict(config))
    train(words, run, config)
    return json.loads((folder / "metrics.json").read_text())


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path, words, monkeypatch):
    whole = trained(tmp_path / "whole", words, CONFIG)
    saved = Run.save

    def stop(self, state):
        saved(self, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", words, CONFIG)
    monkeypatch.setattr(Run, "save", saved)
    assert trained(tmp_path / "cut", words, CONFIG) == whole
    assert len(whole["curves"]) == 2
    assert whole["last"]["train_n_tied"] >= 0

    trial = make_trial(words, CONFIG)
    network = make_network(CONFIG)
    state = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["state"]
    network.load_state_dict(state["network"])
    ours = torch.from_numpy(similarities(network, features(trial)["validation"])).sigmoid().numpy()
    with Ranker(tmp_path / "whole" / "ranker.onnx", device="cpu", threads=1) as ranker:
        library = ranker.encode([record.path for record in trial.references])
        # Untrimmed, as in training; a word is one window.
        theirs = np.stack([ranker.scores(each.path, library, trim_db=None) for each in trial.queries["validation"]])
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_losses_of_a_seed_share_trial_weights_and_matched_steps(words):
    trial = make_trial(words, CONFIG)
    assert make_trial(words, replace(CONFIG, loss="triplet")).labels == trial.labels
    examples = features(trial)["train"]
    steps = {}
    for loss in ("triplet", "pairwise", "infonce"):
        for schedule in ("published", "matched"):
            config = replace(CONFIG, loss=loss, schedule=schedule, batch_size=64)
            torch.manual_seed(0)
            found = list(batch_losses(make_network(config), examples, config, epoch_generator(0, 0)))
            assert all(value.isfinite() for value in found)
            steps[loss, schedule] = len(found)
    assert len({steps[loss, "matched"] for loss in ("triplet", "pairwise", "infonce")}) == 1
    assert steps["triplet", "published"] == steps["triplet", "matched"] > 3 * steps["pairwise", "published"]


def test_a_network_that_says_one_thing_has_the_rank_in_the_middle(words):
    examples = features(make_trial(words, CONFIG))["validation"]
    network = make_network(CONFIG)
    torch.nn.init.zeros_(network.head.compare.weight)
    found = rank(network, examples, CONFIG)
    assert found["mean_rank"] == (1 + len(examples.references)) / 2
    assert found["n_tied"] == len(examples.queries)


def test_preferring_the_targets_is_worth_nothing_among_them(words, monkeypatch):
    examples = features(make_trial(words, CONFIG))["validation"]
    is_target = np.isin(np.arange(len(examples.references)), examples.target)
    blind = np.tile(is_target.astype(np.float32), (len(examples.queries), 1))
    monkeypatch.setattr(epoch, "similarities", lambda *_: blind)
    found = rank(make_network(CONFIG), examples, CONFIG)
    assert found["mean_rank"] == 2
    assert found["mrr_among_targets"] == pytest.approx(1 / 2)


def test_the_table_says_how_many_trials_it_rests_on(tmp_path):
    for seed, ours, theirs in ((0, 0.9, 0.1), (1, 0.8, None)):
        for loss, correlation in (("triplet", ours), ("pairwise", theirs)):
            folder = tmp_path / f"words_{loss}_published_{seed}"
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(asdict(replace(CONFIG, loss=loss, seed=seed))))
            last = {"train_mrr": 0.5, "validation_mrr": 0.4, "validation_mean_rank": 3.0, "validation_n_tied": 1}
            last["validation_mrr_among_targets"] = 0.3
            (folder / "metrics.json").write_text(json.dumps({"correlation": correlation, "last": last}))
    text = tables(tmp_path)
    assert "| triplet | published | 2 | 0.85 |" in text
    assert "in 1 of 1 trials with both correlations" in text


def test_grids():
    assert len(list(cells("full", "words"))) == 28 * 4
    assert {config.towers for _, config in cells("paper", "imitations")} == {"iminet"}


@pytest.mark.parametrize("changes", [{"loss": "hinge"}, {"batch_size": 15}, {"training_share": 1.0}, {"epochs": 0}])
def test_numbers_that_no_run_can_have(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        replace(CONFIG, **changes)

"""The two-tower recipe: a run, a run that was interrupted, its ranker through the engine, and the paper's traps."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from engine import Ranker
from engine.errors import ConfigError
from tests.training import voices
from training.metrics import pearson
from training.recipes import two_tower
from training.recipes.two_tower import Config, features, make_network, make_trial, train
from training.recipes.two_tower.epoch import batch_losses, mined, part_loss, rank, similarities, train_epoch
from training.run import Run
from training.sampling.batches import epoch_generator

SMALL = {"query_encoder": "small_imitation", "reference_encoder": "small_recording"}
CONFIG = Config(**SMALL, n_classes=3, epochs=2, batch_size=16, schedule="published", loss="pairwise")
LOSSES = ("triplet", "pairwise", "infonce", "supcon", "semi_hard")


@pytest.fixture(scope="module")
def words(shared_data):
    return shared_data / "speech_commands_dev"


@pytest.fixture(scope="module")
def melodies(tmp_path_factory):
    return voices.spoken_words(tmp_path_factory.mktemp("words"))


def trained(folder, data, config):
    run = Run(folder, asdict(config))
    train(data, run, config)
    return json.loads((folder / "metrics.json").read_text())


def examples(data, config=CONFIG):
    trial = make_trial(data, config)
    torch.manual_seed(config.seed)
    towers, network = make_network(config)
    return features(trial, towers, config), network


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
    again = trained(tmp_path / "cut", words, CONFIG)
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert len(whole["curves"]) == 2
    assert whole["last"]["train_n_tied"] >= 0
    assert all(np.isfinite(row["validation_loss"]) for row in whole["curves"])

    parts, network = examples(words)
    state = torch.load(tmp_path / "whole" / "checkpoint.pt", weights_only=True)["state"]
    network.load_state_dict(state["network"])
    ours = torch.from_numpy(similarities(network, parts["validation"])).sigmoid().numpy()
    part = make_trial(words, CONFIG).parts["validation"]
    with Ranker(tmp_path / "whole" / "ranker.onnx", device="cpu", threads=1) as ranker:
        library = ranker.encode([record.path for record in part.references])
        # Untrimmed, as in training; a word is one window.
        theirs = np.stack([ranker.scores(each.path, library, trim_db=None) for each in part.queries])
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    np.testing.assert_array_equal(np.argsort(-theirs, axis=1)[:, 0], np.argsort(-ours, axis=1)[:, 0])


def test_losses_of_a_seed_share_trial_weights_and_matched_steps(words):
    parts, _ = examples(words)
    assert make_trial(words, replace(CONFIG, loss="triplet")).labels == make_trial(words, CONFIG).labels
    steps = {}
    for loss in LOSSES:
        for schedule in ("published", "matched"):
            config = replace(CONFIG, loss=loss, schedule=schedule, batch_size=64)
            torch.manual_seed(0)
            found = list(batch_losses(make_network(config)[1], parts["train"], config, epoch_generator(0, 0)))
            assert all(value.isfinite() for value in found)
            steps[loss, schedule] = len(found)
    assert len({steps[loss, "matched"] for loss in LOSSES}) == 1
    # Trap 1: as published triplets have many more updates an epoch.
    assert steps["triplet", "published"] == steps["triplet", "matched"] > 3 * steps["pairwise", "published"]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_and_that_of_the_other_part_is_the_same_function(loss, melodies):
    config = replace(CONFIG, loss=loss, once=True, training_share=0.5)
    parts, network = examples(melodies, config)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    before = part_loss(similarities(network, parts["train"]), parts["train"], config, epoch_generator(0))
    for epoch in range(8):
        train_epoch(network, optimiser, parts["train"], config, epoch_generator(0, epoch))
    logits = similarities(network, parts["train"])
    assert part_loss(logits, parts["train"], config, epoch_generator(0)) < before
    # One epoch's batches without learning in evaluation mode, all in one batch, are that loss.
    if loss in ("pairwise", "triplet"):
        (whole,) = batch_losses(network.eval(), parts["train"], replace(config, batch_size=10_000), epoch_generator(7))
        other = part_loss(logits, parts["train"], config, epoch_generator(7))
        assert float(whole.detach()) == pytest.approx(other, rel=1e-4)


def test_recordings_that_repeat_in_a_batch_may_go_through_their_tower_once(melodies):
    parts, network = examples(melodies)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    network.train = lambda _mode=True: network  # the statistics are what differs
    for loss in ("triplet", "pairwise"):
        found = []
        for once in (False, True):
            network.zero_grad()
            config = replace(CONFIG, loss=loss, once=once)
            batch = next(batch_losses(network.eval(), parts["train"], config, epoch_generator(0, 0)))
            batch.backward()
            found.append((batch.item(), network.head.join.weight.grad.clone()))
        assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
        torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)


def test_mined_negatives_are_those_of_the_loop():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 9, generator=generator, requires_grad=True)
    target = torch.randint(9, (6,), generator=generator)
    fits = np.random.default_rng(0).random((6, 9)) < 0.2
    fits[np.arange(6), target] = True
    # One query whose target is the least similar of all.
    with torch.no_grad():
        logits[2, target[2]] = -9
    likeness = logits.detach().sigmoid()
    total = 0.0
    for i in range(6):
        own = likeness[i, target[i]]
        negatives = [float(likeness[i, j]) for j in range(9) if not fits[i, j]]
        below = [value for value in negatives if value < own]
        negative = max(below) if below else min(negatives)
        total += float(torch.nn.functional.softplus(-50 * (own - negative)))
    loss = mined(logits, target, fits)
    loss.backward()
    assert loss.item() == pytest.approx(total / 6, rel=1e-4)
    assert logits.grad.isfinite().all()
    assert (logits.grad != 0).sum(dim=1).tolist() == [2] * 6


@pytest.mark.gpu
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_on_the_device_is_that_on_the_processor(loss, melodies, gpu):
    parts, network = examples(melodies)
    config = replace(CONFIG, loss=loss, once=True, augmented=True)
    found = []
    for device in ("cpu", gpu):
        part = replace(
            parts["train"], queries=parts["train"].queries.to(device), references=parts["train"].references.to(device)
        )
        network.to(device)
        found.append(next(batch_losses(network, part, config, epoch_generator(0))).item())
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_the_default_network_is_that_of_the_paper():
    _, network = make_network(Config())
    assert sum(parameter.numel() for parameter in network.parameters()) == 799_417 + 528


def test_a_network_that_says_one_thing_has_the_rank_in_the_middle(words):
    parts, network = examples(words)
    part = parts["validation"]
    torch.nn.init.zeros_(network.head.compare.weight)
    found = rank(similarities(network, part), part, CONFIG)
    assert found["mean_rank"] == (1 + len(part.references)) / 2
    assert found["n_tied"] == len(part.queries)
    optimistic = rank(similarities(network, part), part, replace(CONFIG, ties="optimistic"))
    assert optimistic["mean_rank"] == 1


def test_preferring_the_targets_is_worth_nothing_among_them(words):
    parts, _ = examples(words)
    part = parts["validation"]
    blind = np.tile(part.fits.any(axis=0).astype(np.float32), (len(part.queries), 1))
    found = rank(blind, part, CONFIG)
    assert found["mean_rank"] == 2
    assert found["mrr_among_targets"] == pytest.approx(1 / 2)


def test_a_query_that_means_several_has_the_rank_of_the_best(melodies):
    parts, _ = examples(melodies, replace(CONFIG, targets="any"))
    part = replace(parts["validation"], fits=np.eye(len(parts["validation"].queries), 5, dtype=bool))
    part.fits[:, :2] = True
    logits = np.tile(np.array([0, 3, 2, 4, 1], np.float32), (len(part.queries), 1))
    part.fits[:, 2:] = False
    # Reference 1 is the best that fits and behind reference 3; reference 0, which fits too, stands in nobody's way.
    assert rank(logits, part, CONFIG)["mean_rank"] == 2


def test_each_recording_goes_through_its_tower_once_for_the_ranks(melodies):
    """Trap 14: the head alone sees all pairs."""
    parts, network = examples(melodies)
    heard = {"query": 0, "reference": 0}
    for name in heard:

        def count(_module, given, _made, name=name):
            heard[name] += len(given[0])

        getattr(network, name).register_forward_hook(count)
    logits = similarities(network, parts["train"])
    assert heard == {"query": len(parts["train"].queries), "reference": len(parts["train"].references)}
    assert logits.shape == parts["train"].fits.shape


@pytest.mark.parametrize(("losses", "ranks"), [((0.0, 0.5, 0.25), (3, 5, 4)), ((0.5, 0.25, 0.0), (2, 2, 2))])
def test_correlation_is_of_training_loss_and_training_ranks(tmp_path, melodies, monkeypatch, losses, ranks):
    """Traps 9, 11 and 12: a loss of exactly zero stays in the curve; a constant curve has no correlation."""
    told = iter(losses)
    monkeypatch.setattr(two_tower, "train_epoch", lambda *_: (next(told), 1))
    seen = iter([rank for each in ranks for rank in (each, 99 - each)])  # training, then validation

    def ranked(*_):
        return {"mean_rank": next(seen), "mrr": 0.5, "mrr_among_targets": 0.5, "n_tied": 0}

    monkeypatch.setattr(two_tower, "rank", ranked)
    found = trained(tmp_path / "run", melodies, replace(CONFIG, epochs=3))
    assert [row["loss"] for row in found["curves"]] == list(losses)
    if len(set(ranks)) == 1:
        assert found["correlation"] is None
    else:
        assert found["correlation"] == pytest.approx(pearson(losses, ranks)) == pytest.approx(1.0)


def test_imitations_of_the_published_layout(tmp_path):
    data = voices.imitation_set(tmp_path / "data")
    config = replace(CONFIG, corpus="imitations", loss="triplet", n_classes=3, epochs=3, learning_rate=3e-3)
    found = trained(tmp_path / "run", data, config)
    assert len(found["labels"]) == 3
    assert found["curves"][-1]["loss"] < found["curves"][0]["loss"]
    part = make_trial(data, config).parts
    assert len(part["train"].queries) + len(part["validation"].queries) == 3 * 4
    assert len(part["train"].references) == 3 * 4
    with Ranker(tmp_path / "run" / "ranker.onnx", device="cpu", threads=1) as ranker:
        assert "Vocal Imitation Set" in ranker.card.training_data
        assert "No vocal imitations" not in ranker.card.training_data
        places = ranker.rank(
            part["validation"].queries[0].path, ranker.encode([record.path for record in part["train"].references])
        )
    assert len(places) == 12


@pytest.mark.parametrize(
    "changes",
    [
        *({"loss": "hinge"}, {"batch_size": 15}, {"training_share": 1.0}, {"epochs": 0}, {"n_unheard": 3}),
        *({"targets": "all"}, {"n_judged": -1}),
    ],
)
def test_numbers_that_no_run_can_have(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        replace(CONFIG, **changes)

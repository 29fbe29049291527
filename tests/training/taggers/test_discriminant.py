"""The discriminant behind a trained network: what it does to embeddings, and what its scores tell apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.training.taggers.test_fit import CONFIG, clips, fitted
from training.features import MelPower, window_steps
from training.networks.residual import FrameTagger
from training.taggers.discriminant import discriminant, embedded, logistic_regressions, whitening
from training.taggers.examples import Examples, examples, front_end

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["clips"]


def test_whitening_gives_classes_unit_covariance_and_all_the_mean_zero() -> None:
    generator = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 200)
    spread = generator.standard_normal((600, 4)) @ np.diag([3.0, 1.0, 0.3, 0.1]) @ generator.standard_normal((4, 4))
    embeddings = spread + generator.standard_normal((3, 4))[classes] * 2
    weight, offset = whitening(embeddings, classes, 0.0)
    made = embeddings @ weight.T + offset
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-9)
    covariance = np.mean([np.cov(made[classes == c].T, bias=True) for c in range(3)], axis=0)
    np.testing.assert_allclose(covariance, np.eye(4), atol=1e-9)


def test_with_much_shrinkage_whitening_only_moves_and_turns() -> None:
    embeddings = np.random.default_rng(0).standard_normal((60, 5)) * [1, 2, 3, 4, 5]
    weight, _ = whitening(embeddings, np.arange(60) % 3, 1e9)
    product = weight @ weight.T
    np.testing.assert_allclose(product / product[0, 0], np.eye(5), atol=1e-6)


def test_classes_of_one_clip_each_leave_lengths_alike() -> None:
    weight, _ = whitening(np.random.default_rng(0).standard_normal((4, 6)), np.arange(4), 1.0)
    np.testing.assert_allclose(weight @ weight.T, np.eye(6), atol=1e-9)


def test_logistic_regressions_are_those_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = np.random.default_rng(1)
    embeddings = generator.standard_normal((80, 6))
    targets = (embeddings @ generator.standard_normal((6, 3)) + generator.standard_normal((80, 3)) > 0.5).astype(float)
    for penalty in (0.1, 1.0, 10.0):
        weight, offset = logistic_regressions(embeddings, targets, penalty)
        for label in range(3):
            other = linear_model.LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000)
            other.fit(embeddings, targets[:, label])
            np.testing.assert_allclose(weight[label], other.coef_[0], atol=2e-3)
            np.testing.assert_allclose(offset[label], other.intercept_[0], atol=2e-3)


def fixed(clips: Examples) -> tuple[FrameTagger, Examples, object]:
    """Return a network as drawn, sounds of no label, and the front end."""
    torch.manual_seed(0)
    network = FrameTagger(4, CONFIG.channels, CONFIG.embedding_size).eval()
    quiet = torch.rand(10, 40, 8, generator=torch.Generator().manual_seed(3))
    return network, examples(MelPower(quiet, torch.full((10,), 40)), None, 4), front_end(CONFIG)


def test_scores_are_linear_in_an_embedding_of_length_one(clips: Examples) -> None:
    network, others, frontend = fixed(clips)
    made = discriminant(network, clips, others, frontend, n_frames=40, shrinkage=1.0, penalty=1.0)  # type: ignore[arg-type]
    log_mel = window_steps(clips.features.power[:6], frontend)  # type: ignore[arg-type]
    with torch.no_grad():
        logits, embedding, _ = made.eval()(log_mel)
        learnt = network(log_mel)[1]
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(logits, made.classify[0](embedding))
    assert not torch.allclose(embedding, learnt, atol=0.1)


def test_a_step_is_scored_with_its_neighbours_as_a_window_and_by_the_network(clips: Examples) -> None:
    network, others, frontend = fixed(clips)
    made = discriminant(network, clips, others, frontend, n_frames=40, shrinkage=1.0, penalty=1.0)  # type: ignore[arg-type]
    log_mel = window_steps(clips.features.power[:2], frontend)  # type: ignore[arg-type]
    with torch.no_grad():
        steps = made.eval()(log_mel)[2]
        heard, own = network.over_time(log_mel), network(log_mel)[2]
        for clip in range(2):
            for step in range(heard.shape[2]):
                near = heard[clip, :, max(0, step - 1) : step + 2]
                alone = made.classify(made.turned((near.mean(dim=1) + near.amax(dim=1))[None]))[0]
                torch.testing.assert_close(steps[clip, step], alone + 0.5 * own[clip, step])
    assert steps.shape == (2, 10, 4)


def test_sounds_of_no_label_get_lower_scores_when_they_are_shown(clips: Examples) -> None:
    network, others, frontend = fixed(clips)
    highest = {}
    for name, shown in (("shown", others), ("not", None)):
        made = discriminant(network, clips, shown, frontend, n_frames=40, shrinkage=1.0, penalty=0.1)  # type: ignore[arg-type]
        with torch.no_grad():
            logits = made.eval()(window_steps(others.features.power, frontend))[0]  # type: ignore[arg-type]
            told = made(window_steps(clips.features.power, frontend))[0].argmax(dim=1)  # type: ignore[arg-type]
        highest[name] = float(logits.amax(dim=1).mean())
        assert int((told == clips.targets.argmax(dim=1)).sum()) >= 40  # a network as drawn is a poor one
    assert highest["shown"] < highest["not"] - 0.5


def test_embeddings_do_not_depend_on_how_many_are_made_at_once(clips: Examples) -> None:
    network, _, frontend = fixed(clips)
    network.train()
    all_of_them = embedded(network, clips, frontend, 40)  # type: ignore[arg-type]
    few = embedded(network, clips[torch.arange(3)], frontend, 40)  # type: ignore[arg-type]
    assert not network.training
    np.testing.assert_allclose(all_of_them[:3], few, atol=1e-6)


def test_fitting_ends_with_it_where_the_configuration_asks(clips: Examples, tmp_path: Path) -> None:
    config = replace(CONFIG, embedding="none", epochs=1)
    plain, _ = fitted(clips, tmp_path / "plain", config)
    made, _ = fitted(clips, tmp_path / "made", replace(config, shrinkage=1.0))
    assert {name.split(".")[0] for name in made.network.state_dict()} == {
        "network",
        "whiten",
        "classify",
        "classify_steps",
    }
    for name, value in plain.network.state_dict().items():
        assert torch.equal(value, made.network.state_dict()[f"network.{name}"]), name


def test_clips_are_heard_in_the_window_of_the_tagger(clips: Examples) -> None:
    network, _, frontend = fixed(clips)
    padded = torch.cat([clips.features.power, torch.zeros(48, 5, 8)], dim=1)
    for n_frames, power in ((45, padded), (30, clips.features.power[:, :30])):
        with torch.no_grad():
            expected = network(window_steps(power, frontend))[1]  # type: ignore[arg-type]
        given = embedded(network, clips, frontend, n_frames)  # type: ignore[arg-type]
        np.testing.assert_allclose(given, expected.numpy(), atol=1e-6)

"""Fitting a tagger behind a stage of clusters."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from training.features import MelPower, window_steps
from training.networks.discriminant import DiscriminantTagger
from training.networks.residual import FrameTagger
from training.run import Run
from training.taggers.augmented import Batch
from training.taggers.config import TaggerConfig
from training.taggers.discriminant import embedded, whitening
from training.taggers.examples import Examples, examples, front_end
from training.taggers.fit import Fitted, convolutions, fit, teacher_scores, total_loss

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = TaggerConfig(
    seeds=(0,),
    sample_rate=8000,
    f_max=4000.0,
    n_mels=8,
    lowest_band=4,
    channels=(4, 8),
    embedding_size=8,
    epochs=2,
    batch_size=12,
    warmup_steps=2,
    checkpoint_every=1,
    crop_s=0.8,
    shortest_part_s=0.2,
    embedding="triple_header",
    embedding_epochs=(2, 2, 3),
)


class Interruption(BaseException):
    """Stands for the end of a time slot."""


@pytest.fixture(scope="module")
def clips() -> Examples:
    """Forty-eight clips of four labels, each with power in two bands of its own."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(48) % 4
    power = 0.1 * torch.rand(48, 40, 8, generator=generator)
    for i, label in enumerate(truth.tolist()):
        power[i, :, 2 * label : 2 * label + 2] += 1
    return examples(MelPower(power, torch.full((48,), 40)), truth, 4)


def fitted(clips: Examples, folder: Path, config: TaggerConfig, stop_after: int | None = None) -> tuple[Fitted, int]:
    """Fit, or go on; return what came out and the number of lines that were logged."""
    lines: list[str] = []

    def echo(line: str) -> None:
        lines.append(line)
        if len(lines) == stop_after:
            raise Interruption

    run = Run(folder, asdict(config), echo)
    state = run.load() or {"done": {}}
    made = fit(clips, None, front_end(config), config, seeds=(0, 1), job="final", run=run, state=state)
    return made, len(lines)


def test_an_interrupted_stage_goes_on_and_ends_the_same(clips: Examples, tmp_path: Path) -> None:
    whole, n_lines = fitted(clips, tmp_path / "whole", CONFIG)
    assert n_lines == 4  # two clusterings, two epochs
    for stop in (1, 2, 3):
        folder = tmp_path / f"stopped{stop}"
        with pytest.raises(Interruption):
            fitted(clips, folder, CONFIG, stop)
        again, _ = fitted(clips, folder, CONFIG)
        for name, value in whole.network.state_dict().items():
            assert torch.equal(value, again.network.state_dict()[name]), (stop, name)


def test_the_stage_is_where_the_network_begins(clips: Examples, tmp_path: Path) -> None:
    """Without steps to take after it, the labels lie apart that were one heap."""
    config, spread = replace(CONFIG, learning_rate=1e-3, epochs=1, embedding_epochs=(2, 10, 40)), {}
    truth = clips.targets.argmax(dim=1)
    for embedding in ("none", "triple_header"):
        each = replace(config, embedding=embedding)
        made, _ = fitted(clips, tmp_path / embedding, each)
        with torch.no_grad():
            rows = made.network.eval()(window_steps(clips.features.power, made.frontend))[1]
        cosines, same = rows @ rows.T, truth[:, None] == truth
        spread[embedding] = float(cosines[same].mean() - cosines[~same].mean())
    assert spread["triple_header"] > spread["none"] + 0.3


def test_a_network_begins_with_the_convolutions_of_another(clips: Examples, tmp_path: Path) -> None:
    torch.manual_seed(7)
    other = FrameTagger(9, CONFIG.channels, CONFIG.embedding_size)
    config = replace(CONFIG, embedding="none", epochs=1, learning_rate=1e-30, weight_decay=0.0)
    run = Run(tmp_path / "run", asdict(config))
    options = {"seeds": (0, 1), "job": "final", "run": run, "state": {}}
    made = fit(clips, None, front_end(config), config, begin=convolutions(other), **options)  # type: ignore[arg-type]
    kept, own = dict(other.named_parameters()), dict(made.network.named_parameters())
    for name, value in kept.items():
        if name.startswith(("stem", "blocks")):
            torch.testing.assert_close(own[name], value)
    assert own["classify.2.weight"].shape == (4, CONFIG.embedding_size)
    assert not torch.equal(own["embed.0.weight"], kept["embed.0.weight"])


def test_a_discriminant_is_fitted_to_clips_in_the_window_of_the_engine(clips: Examples, tmp_path: Path) -> None:
    """Clips of 40 frames in windows of 0.8 s: 6,400 samples, a frame for each 200 of them and one more."""
    config = replace(CONFIG, embedding="none", shrinkage=1.0, window_s=0.8, win_s=0.05, hop_s=0.025)
    made, _ = fitted(clips, tmp_path / "run", config)
    assert isinstance(made.network, DiscriminantTagger)
    vectors = {n: embedded(made.network.network, clips, made.frontend, n) for n in (33, 40)}
    weights = {n: whitening(rows, clips.targets.argmax(dim=1).numpy(), 1.0)[0] for n, rows in vectors.items()}
    found = made.network.whiten.weight.detach().numpy()
    np.testing.assert_allclose(found, weights[33], rtol=1e-4, atol=1e-4)
    assert not np.allclose(found, weights[40], atol=1e-2)


def test_a_mean_teacher_asks_for_its_scores_of_the_unchanged_crop() -> None:
    torch.manual_seed(0)
    log_mel = torch.randn(6, 40, 8)
    batch = Batch(torch.ones(6, 40, 8), torch.eye(4)[torch.arange(6) % 4], torch.zeros(6, 40, 4))
    for score in ("sigmoid", "softmax"):
        config = replace(CONFIG, embedding="none", consistency=7.0, score=score, precision="float32")
        student, teacher = (FrameTagger(4, CONFIG.channels, 8, 0.0).eval() for _ in range(2))
        expected = teacher_scores(copy.deepcopy(teacher).train(), log_mel, config)
        assert not expected.requires_grad
        function = torch.softmax if score == "softmax" else lambda logits, _: torch.sigmoid(logits)
        torch.testing.assert_close(expected, function(teacher(log_mel)[0], 1))
        with_it, without = (total_loss(student, log_mel, batch, config, of) for of in (expected, None))
        apart = (function(student(log_mel)[0], 1) - expected).square().mean()
        torch.testing.assert_close(with_it - without, 7 * apart)


@pytest.mark.parametrize(
    "changes", [{"consistency": 5.0}, {"embedding_loss": "supcon"}, {"embedding_loss": "batch_hard"}]
)
def test_what_stands_beside_the_labels_is_learnt(
    clips: Examples, tmp_path: Path, changes: dict[str, float | str]
) -> None:
    plain = replace(CONFIG, embedding="none")
    bare, _ = fitted(clips, tmp_path / "bare", plain)
    made, _ = fitted(clips, tmp_path / "made", replace(plain, **changes))  # type: ignore[arg-type]
    assert not torch.equal(bare.network.classify[2].weight, made.network.classify[2].weight)  # type: ignore[union-attr, index]
    assert all(value.isfinite().all() for value in made.network.state_dict().values())

"""The ESC-10 recipe on a tiny tree: it runs to the end, and an interruption changes nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import torch

from engine import Embedder, Tagger
from engine.errors import ConfigError
from tests.training import trees
from training.networks.residual import FrameTagger
from training.recipes.esc10 import LABELS, Config, load, match_steps, step_thresholds, train
from training.run import Run
from training.taggers import cross_validation
from training.taggers.examples import front_end
from training.taggers.fit import Fitted, fit, learning_rate

if TYPE_CHECKING:
    from pathlib import Path

TINY = Config(
    seeds=(0, 1),
    sample_rate=16_000,
    f_max=8_000.0,
    n_mels=16,
    lowest_band=8,
    window_s=0.64,
    channels=(4, 8),
    embedding_size=8,
    epochs=3,
    batch_size=4,
    warmup_steps=2,
    checkpoint_every=2,
    hop_s=0.01,
    crop_s=0.32,
    shortest_part_s=0.1,
    other_share=0.0,
    scene_s=0.0,
)


class Interruption(BaseException):
    """Stands for Ctrl-C, the loss of power, or the end of a time slot."""


def start(folder: Path, data: Path, config: Config, stop_after: int | None = None) -> list[str]:
    """Run the recipe; return its log lines, or raise Interruption after some of them."""
    lines: list[str] = []

    def echo(line: str) -> None:
        lines.append(line)
        if len(lines) == stop_after:
            raise Interruption

    train(data, Run(folder, asdict(config), echo), config)
    return lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trees.esc10_dev(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "uninterrupted"
    start(folder, data, TINY)
    return folder


def results(folder: Path) -> dict[str, object]:
    """Everything a run leaves that must not depend on when it was interrupted."""
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["ms_per_clip"]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    untimed = [{name: value for name, value in line.items() if name != "seconds"} for line in log]
    folds = {path.name: path.read_bytes() for path in folder.glob("seed*.onnx")}
    tagger = Tagger(folder / "esc10.onnx", device="cpu", threads=1)
    return {
        "metrics": metrics,
        "log": untimed,
        "folds": folds,
        "final": (tagger.card.model_sha256, tagger.card.thresholds),
    }


# Lines: 3 epochs and 1 result per fold; 4 folds of 2 seeds make 16, the final model 3 more.
@pytest.mark.parametrize("stops", [(1,), (4,), (7, 2), (19,)])
def test_an_interrupted_run_ends_bit_equal(data: Path, finished: Path, tmp_path: Path, stops: tuple[int, ...]) -> None:
    for stop in stops:
        with pytest.raises(Interruption):
            start(tmp_path / "run", data, TINY, stop)
    start(tmp_path / "run", data, TINY)
    assert results(tmp_path / "run") == results(finished)


@pytest.fixture(scope="module")
def after_words(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run that learns words first: two epochs of them, then one of its own for each of two folds."""
    words = trees.speech_commands_dev(tmp_path_factory.mktemp("words"), 2)
    return replace(TINY, seeds=(0,), words=str(words), words_epochs=2, epochs=1, checkpoint_every=1)


def test_words_that_are_learnt_first_survive_an_interruption(data: Path, after_words: Config, tmp_path: Path) -> None:
    lines = start(tmp_path / "whole", data, after_words)
    jobs = [json.loads(line)["job"] for line in lines]
    assert jobs[:3] == ["seed0-before", "seed0-before", "seed0-fold1"]
    assert jobs.count("seed0-before") == 2
    for stop in (1, 2, 3, len(lines)):
        with pytest.raises(Interruption):
            start(tmp_path / str(stop), data, after_words, stop)
        start(tmp_path / str(stop), data, after_words)
        assert results(tmp_path / str(stop)) == results(tmp_path / "whole"), stop


def test_all_networks_of_a_seed_begin_with_what_it_learnt_of_words(
    data: Path, after_words: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: dict[str, dict[str, torch.Tensor]] = {}
    learnt = {}

    def noted(*arguments: object, job: str, begin: dict[str, torch.Tensor] | None = None, **options: object) -> Fitted:
        if begin is not None:
            begun[job] = begin
        made = fit(*arguments, job=job, begin=begin, **options)  # type: ignore[arg-type]
        if job == "seed0-before":
            learnt.update(made.network.state_dict())
        return made

    monkeypatch.setattr(cross_validation, "fit", noted)
    start(tmp_path / "run", data, after_words)
    assert set(begun) == {"seed0-fold1", "seed0-fold2", "final"}
    for begin in begun.values():
        assert {name.split(".")[0] for name in begin} == {"stem", "blocks"}
        assert all(torch.equal(value, learnt[name]) for name, value in begin.items())


def test_nothing_is_learnt_first_without_words_or_epochs(data: Path, after_words: Config, tmp_path: Path) -> None:
    for config in (replace(after_words, words=""), replace(after_words, words_epochs=0)):
        assert load(data, front_end(config), config, tmp_path).before is None
    before = load(data, front_end(after_words), after_words, tmp_path).before
    assert before is not None
    assert before.clips.targets.shape == (24, 12)
    assert before.clips.features.power.shape[1:] == (101, TINY.n_mels)
    assert (before.config.epochs, before.config.channels, before.config.score) == (2, TINY.channels, "softmax")


def test_a_resumed_run_repeats_no_finished_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        start(tmp_path / "run", data, TINY, 7)  # after the last epoch of the second fold; its second was saved
    jobs = [json.loads(line).get("epoch") for line in start(tmp_path / "run", data, TINY)]
    assert jobs[:2] == [2, None]
    assert len(jobs) == 19 - 6


@pytest.mark.parametrize(
    ("folds", "lost", "message"), [((1,), (), r"only the folds \[1\]"), ((1, 2), (3,), "crying baby")]
)
def test_data_that_cannot_be_cross_validated_is_refused(
    tmp_path: Path, folds: tuple[int, ...], lost: tuple[int, ...], message: str
) -> None:
    data = trees.esc10_dev(tmp_path / "data", folds)
    rows = (data / "meta.csv").read_text().splitlines()
    kept = [row for row in rows if not any(row.startswith(f"2-200{target}-") for target in lost)]
    (data / "meta.csv").write_text("\n".join(kept))
    with pytest.raises(ConfigError, match=message):
        start(tmp_path / "run", data, TINY)


def test_another_seed_is_another_result(finished: Path) -> None:
    assert (finished / "seed0-fold1.onnx").read_bytes() != (finished / "seed1-fold1.onnx").read_bytes()


def test_the_final_model_carries_what_the_cross_validation_found(data: Path, finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    card = Tagger(finished / "esc10.onnx", device="cpu", threads=1).card
    assert card.metrics == metrics
    assert set(card.thresholds) == set(LABELS)
    assert card.threshold_method == "precision of 0.9 per label on out-of-fold scores, all folds and seeds pooled"
    assert card.labels == LABELS
    assert card.training_data == "ESC-10, folds 1, 2: 20 clips"
    assert "Ann0, Ann1" in card.attribution
    assert card.frontend is not None
    assert replace(card.frontend, mean=None, std=None) == front_end(TINY)
    fold = Tagger(finished / "seed0-fold1.onnx", device="cpu", threads=1).card
    assert fold.training_data == "ESC-10, folds 2: 10 clips"
    assert not fold.thresholds


def test_the_reported_accuracy_is_the_taggers_on_unseen_folds(data: Path, finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    for seed in (0, 1):
        for fold in (1, 2):
            tagger = Tagger(finished / f"seed{seed}-fold{fold}.onnx", device="cpu", threads=1)
            right = [
                tagger(data / "audio" / f"{fold}-{1000 * fold + i}-A-{i}.ogg").top(1)[0].label == LABELS[i]
                for i in range(10)
            ]
            assert metrics["accuracy_by_fold"][f"seed{seed}-fold{fold}"] == np.mean(right)
    by_seed = [np.mean([metrics["accuracy_by_fold"][f"seed{s}-fold{f}"] for f in (1, 2)]) for s in (0, 1)]
    assert metrics["accuracy"] == pytest.approx(np.mean(by_seed))
    assert metrics["accuracy_std_over_seeds"] == pytest.approx(np.std(by_seed, ddof=1))
    assert np.sum(metrics["confusion"]) == 40


def test_the_downloads_layout_trains(tmp_path: Path) -> None:
    data = trees.esc50(tmp_path / "data", seconds=0.3)
    config = replace(TINY, seeds=(3,), final=False, epochs=1)
    start(tmp_path / "run", data, config)
    assert not (tmp_path / "run" / "esc10.onnx").exists()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["accuracy_std_over_seeds"] is None


def test_the_network_learns(data: Path, tmp_path: Path) -> None:
    plain = replace(TINY, seeds=(0,), final=False, channels=(8, 16), dropout=0.0, part_share=0.0, max_stretch=1.0)
    plain = replace(plain, equaliser_db=0.0, mix_share=0.0, noise_share=0.0, band_share=0.0, mask_frames=0, mask_mels=0)
    lines = map(json.loads, start(tmp_path / "run", data, replace(plain, epochs=40, learning_rate=1e-2)))
    losses = [line["loss"] for line in lines if line["job"] == "seed0-fold1" and "loss" in line]
    assert losses[-1] < 0.5 * losses[0]


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    rates = [learning_rate(step, 100, replace(TINY, warmup_steps=10)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1 * TINY.learning_rate)
    assert rates.index(max(rates)) == 9
    assert rates[50] == pytest.approx(0.5 * TINY.learning_rate)
    assert rates[100] == pytest.approx(0.0)


def test_the_default_window_holds_an_esc10_clip() -> None:
    config = Config()
    frontend = front_end(config)
    assert (frontend.win_length, frontend.hop_length, frontend.n_fft) == (1102, 882, 2048)
    assert round(config.window_s * config.sample_rate) == 225_792  # an ESC-10 clip has 220,544 samples


def test_the_embedder_is_the_tagger_without_its_scores(data: Path, finished: Path) -> None:
    tagger = Tagger(finished / "esc10.onnx", device="cpu", threads=1)
    embedder = Embedder(finished / "esc10-embedder.onnx", device="cpu", threads=1)
    assert embedder.card.task == "embed"
    assert not embedder.card.labels
    assert not embedder.card.thresholds
    clip = data / "audio" / "1-1003-A-3.ogg"
    np.testing.assert_array_equal(embedder(clip).embedding, tagger.embed(clip).embedding)


def test_events_have_the_times_of_steps(data: Path, finished: Path) -> None:
    clip = Tagger(finished / "esc10.onnx", device="cpu", threads=1)(data / "audio" / "1-1003-A-3.ogg")
    frames = clip.windows[0].frames
    assert frames is not None
    # Two halvings of frames every 10 ms; the clip lasts 0.5 s of the window's 0.64.
    assert frames.hop_s == frames.length_s == pytest.approx(0.04)
    assert frames.scores.shape == (13, 10)


def test_other_sounds_are_heard_and_shut_out(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "librosa"
    outside.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name in ("1-2-0000", "1-2-0001"):
        soundfile.write(outside / f"{name}.wav", generator.uniform(-0.3, 0.3, 20_000), 16_000)
    config = replace(TINY, seeds=(0,), epochs=1, other_share=0.5, outside=str(outside.parent))
    start(tmp_path / "run", data, config)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["thresholds"]
    assert found["calibration_half_above"] <= 0.02
    # One window of speech in two folds' models, and the formulas: 7 of 10.24 s in windows of 0.64 s.
    assert found["test_half_above"]["speech"]["windows"] == 2 * 2
    assert found["test_half_above"]["noise"]["windows"] == 2 * 7 * 16
    card = Tagger(tmp_path / "run" / "esc10.onnx", device="cpu", threads=1).card
    assert "2.0% of the calibration half of other sounds above any" in card.threshold_method


def test_steps_are_moved_to_the_thresholds_of_windows() -> None:
    network = FrameTagger(len(LABELS), channels=(4, 8), embedding_size=8).eval()
    log_mel = torch.randn(2, 40, 16)
    windows = dict(zip(LABELS, np.linspace(0.05, 0.99, 10), strict=True))
    steps = dict(zip(LABELS, np.linspace(0.9, 0.02, 10), strict=True))
    with torch.no_grad():
        before = network(log_mel)[2].sigmoid().numpy()
        match_steps(network, windows, steps)
        after = network(log_mel)[2].sigmoid().numpy()
    heard = before >= np.array(list(steps.values()))
    assert 0 < heard.mean() < 1
    assert np.array_equal(after >= np.array(list(windows.values())), heard)


def test_thresholds_of_steps_come_from_scenes(data: Path, finished: Path) -> None:
    corpus = load(data, front_end(TINY), TINY, finished)
    found = step_thresholds(finished, corpus, 36.0)
    assert set(found) == set(LABELS)
    assert all(0 < value < 1 for value in found.values())


def test_an_unfinished_folder_can_be_moved(data: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        start(tmp_path / "run", data, TINY, 5)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    start(tmp_path / "moved", data, TINY)
    assert results(tmp_path / "moved") == results(finished)


def test_a_loss_on_embeddings_is_added_and_counts(data: Path, tmp_path: Path) -> None:
    short = replace(TINY, seeds=(0,), final=False, epochs=1)
    logs = [
        [json.loads(line) for line in start(tmp_path / name, data, replace(short, embedding_loss=name))]
        for name in ("none", "add", "add_pooled")
    ]
    losses = [log[0]["loss"] for log in logs]
    assert losses[0] < losses[2] < losses[1]
    with pytest.raises(ConfigError, match="one of none, add, add_pooled, supcon, batch_hard, got 'opl'"):
        replace(TINY, embedding_loss="opl")

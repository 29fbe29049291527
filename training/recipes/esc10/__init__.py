"""ESC-10: the tagger and the embedder that ship with the engine.

A residual CNN on log-mel spectrograms that scores windows and, for the times of events, steps of a third of a second;
trained in minutes on one core. Its convolutions learn spoken words first, of which there are ten times as many. Then
one model per fold and seed, each exported and examined on its unseen fold through the engine; then one model on every
fold, its scores calibrated, with the thresholds and figures of the first part in its card. The embedder is the same
network without its scores.

    python -m training run esc10 --data DIR --run runs/esc10 --words=DIR --outside=DIR
    python -m training run esc10 --data DIR --run runs/trial --epochs=40 --seeds=0 --final=false
    python -m training esc10 examine runs/esc10 --yamnet DIR --page models/esc10.md

DIR is the ESC-50 download or the development part of ESC-10 (``training/datasets/esc50.py``); ``--words`` names Speech
Commands, which the network learns first, and of whose words speech is made that the tagger must not be sure of;
``--outside`` names recordings of anything
else, by which thresholds are chosen and which nothing learns from. The run writes ``metrics.json``,
``seedS-foldF.onnx``, ``esc10.onnx`` and ``esc10-embedder.onnx``; interrupted, ``python -m training resume RUN`` goes on
and ends bit-equal.

Expected on folds 1 to 4: see models/esc10.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from engine.errors import ConfigError
from training.datasets.esc50 import CITATION, ESC10, authors, load_esc50
from training.datasets.speech_commands import load_speech_commands
from training.examine.detection import choose_settings, listen, try_settings
from training.examine.outside import sounds_outside
from training.examine.scenes import make_scene
from training.export import export
from training.features import mel_power
from training.recipes import keywords
from training.run import Run, commit
from training.taggers.config import TaggerConfig
from training.taggers.cross_validation import Before, Corpus, cross_validate, final_fit, first_seed, heard
from training.taggers.examples import examples, front_end
from training.taggers.figures import CrossValidated
from training.taggers.others import other_sounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from engine import FrontendConfig
    from training.datasets.record import Record
    from training.taggers.examples import Examples

LABELS = tuple(ESC10.values())


@dataclass(frozen=True)
class Config(TaggerConfig):
    """Every number of the recipe; the defaults are those of the shipped models."""

    words: str = ""  # folder of Speech Commands, to learn first and for speech of no label; neither without it
    words_epochs: int = 40  # of learning them; 0 begins from nothing
    outside: str = ""  # folder of recordings that have none of the labels, training/examine/outside.py; none without it
    step_weight: float = 1.0
    scene_s: float = 600.0  # of the scenes that the steps' thresholds are matched on; 0 leaves the steps as they are
    shrinkage: float = 1.0
    other_share: float = 0.2
    epochs: int = 100
    channels: tuple[int, ...] = (16, 32, 64, 128)  # in sixteens, as convolutions are computed with AVX-512


def train(data: Path, run: Run, config: Config) -> None:
    """Cross-validate, train the final models, write all into ``run``."""
    torch.set_num_threads(config.threads)
    frontend = front_end(config)
    corpus = load(data, frontend, config, run.folder)
    described = partial(describe, config=config, data=data)
    state = cross_validate(corpus, frontend, config, described, heard(sounds_outside(config.outside)), run)
    found = CrossValidated(LABELS, state["done"], most_outside=0.02)
    metrics = found.classification() | {"thresholds": found.at_thresholds()}
    if config.final:
        made = final_fit(corpus, frontend, config, run, state)
        card = found.into(described(corpus.records, made.frontend), metrics)
        if config.scene_s and config.step_weight:
            match_steps(made.network, card.thresholds, step_thresholds(run.folder, corpus, config.scene_s))
        for written in (card, as_embedder(card)):
            path = run.folder / f"{written.name}.onnx"
            export(made.network, written, path, variants=config.variants, calibration=data)
    run.finish(metrics)


def load(data: Path, frontend: FrontendConfig, config: Config, cache: Path) -> Corpus:
    """Read the clips with their folds, and make the sounds of no label.

    Raises
    ------
    ConfigError
        Unless there are two folds and clips of all ten classes in each.
    """
    records = load_esc50(data, "esc10").complete().records
    folds = np.array([record.fold for record in records])
    there = {(record.fold, record.label) for record in records}
    missing = sorted((fold, label) for fold in set(folds.tolist()) for label in LABELS if (fold, label) not in there)
    if len(set(folds.tolist())) < 2 or missing:
        got = f"nothing of {missing}" if missing else f"only the folds {sorted(set(folds.tolist()))}"
        raise ConfigError(f"expected two folds or more with clips of all ten classes, got {got}; download ESC-10 again")
    truth = torch.tensor([LABELS.index(record.label) for record in records])
    clips = examples(mel_power(records, frontend, cache=cache), truth, len(LABELS))
    before = learnt_before(frontend, config, cache)
    return Corpus(LABELS, tuple(records), folds, clips, others(frontend, config), before=before)


def learnt_before(frontend: FrontendConfig, config: Config, cache: Path) -> Before | None:
    """Return the words to learn first, with the settings of their own recipe; None where there are none.

    None of them is joined to another there: it is the convolutions that are wanted, not the labels.
    """
    if not config.words or not config.words_epochs:
        return None
    read = load_speech_commands(Path(config.words)).complete()
    truth = torch.tensor([read.labels.index(record.label) for record in read.records])
    clips = examples(mel_power(read.records, frontend, cache=cache), truth, len(read.labels))
    same = ("threads", "precision", "sample_rate", "f_max", "win_s", "hop_s", "n_mels", "channels", "embedding_size")
    settings = replace(
        keywords.Config(),
        **{name: getattr(config, name) for name in (*same, "checkpoint_every", "lowest_band")},
        epochs=config.words_epochs,
        batch_size=64,
        joined_share=0.0,
    )
    return Before(clips, settings)


def others(frontend: FrontendConfig, config: Config) -> Examples | None:
    """Return the sounds of no label; None where the configuration draws none."""
    if not config.other_share:
        return None
    words = []
    if config.words:
        words = [
            record.path for record in load_speech_commands(Path(config.words)).records if record.label != "silence"
        ]
    made = other_sounds(
        frontend, config.crop_s, seed=0, n_noises=40, n_tones=15, n_tunes=45, words=words, n_speeches=80
    )
    return examples(made, None, len(LABELS))


def step_thresholds(run: Path, corpus: Corpus, seconds: float) -> Mapping[str, float]:
    """Return the thresholds of steps that find most events, in a scene of each fold, by the first seed's models."""
    trials = []
    for job, (path, _, unseen) in first_seed(run, corpus).items():
        scene = make_scene(unseen, int(job.split("-fold")[1]), seconds=seconds, n_events=max(1, round(seconds / 12)))
        trials.append(try_settings(listen(path, scene), scene))
    return choose_settings(trials).thresholds or {}


def match_steps(network: nn.Module, thresholds: Mapping[str, float], of_steps: Mapping[str, float]) -> None:
    """Move the steps' logits so that the thresholds of windows do for steps what these thresholds of their own would.

    ``Clip.events`` has one threshold for a label, the card's.
    """
    windows, steps = (np.array([values[label] for label in LABELS]) for values in (thresholds, of_steps))
    inside = np.clip(windows, 1e-6, 1 - 1e-6)
    moved = np.log(inside / (1 - inside)) - np.log(steps / (1 - steps))
    with torch.no_grad():
        network.classify_steps.bias.add_(torch.from_numpy(moved).float())  # type: ignore[union-attr, operator]


def describe(records: Sequence[Record], frontend: FrontendConfig, *, config: Config, data: Path) -> ModelCard:
    """Return the card of a tagger trained on ``records``."""
    folds = ", ".join(str(fold) for fold in sorted({record.fold for record in records if record.fold is not None}))
    window = round(config.window_s * config.sample_rate)
    step = frontend.hop_length * 2 ** len(config.channels) if config.step_weight else None
    return ModelCard(
        name="esc10",
        task="tag",
        labels=LABELS,
        score="sigmoid",
        frontend=frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")),
            embedding=ModelOutput("embedding", ("batch", "feature")),
            frames=None if step is None else ModelOutput("frames", ("batch", "time", "label")),
        ),
        window=window,
        hop=window,
        pad="zeros",
        reduce="max",
        frame_hop=step,
        frame_length=step,
        embedding_size=config.embedding_size,
        embedding_normalised=True,
        training_data=f"ESC-10, folds {folds}: {len(records)} clips",
        licence="Apache-2.0; the training recordings are CC0 and CC BY 3.0, and their authors named with the model",
        attribution=f"{CITATION}. Freesound recordings by {', '.join(authors(data))}.",
        commit=commit(),
    )


def as_embedder(card: ModelCard) -> ModelCard:
    """Return the card of the same network as an embedder, without scores."""
    return replace(
        card,
        name=f"{card.name}-embedder",
        task="embed",
        labels=(),
        score=None,
        outputs=ModelOutputs(embedding=card.outputs.embedding),
        frame_hop=None,
        frame_length=None,
        thresholds={},
        threshold_method="",
    )


def command(arguments: Sequence[str]) -> int:
    """``python -m training esc10 examine``: measure a finished run's models for their page."""
    from training.recipes.esc10.examine import main

    return main(arguments)

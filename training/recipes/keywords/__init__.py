"""Keywords: a tagger of spoken words for live audio.

Ten words, "unknown" and "silence" in windows of one second, made for live audio: the residual CNN on log-mel
spectrograms, its labels exclude each other. First one model per seed and fold of speakers, each exported and examined
on the speakers that it has not heard; then one model on everybody, its scores calibrated, with the thresholds and
figures of the first part in its card.

    python -m training run keywords --data DIR --run runs/keywords
    python -m training run keywords --data DIR --run runs/trial --epochs=20 --seeds=0 --final=false
    python -m training keywords examine runs/keywords

DIR is the development part of Speech Commands (``training/datasets/speech_commands.py``), which is the published test
set of twelve classes, not the training set of 35 words. The run writes ``metrics.json``, ``seedS-foldF.onnx`` and
``keywords.onnx``; interrupted, ``python -m training resume RUN`` goes on and ends bit-equal.

Its silence is cut from a few recordings of noise, which are therefore in every fold: figures stand with and without it.
Words that nobody taught the network are known by what they are not, so it also hears words joined from two halves.

Expected, on speakers that were not heard: see models/keywords.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from training.datasets.folds import speaker_folds
from training.datasets.speech_commands import CLASSES, load_speech_commands
from training.examine.outside import sounds_outside
from training.export import export
from training.features import mel_power
from training.metrics import accuracy, confusion_matrix
from training.run import Run, commit
from training.taggers.config import TaggerConfig
from training.taggers.cross_validation import Corpus, cross_validate, final_fit, heard
from training.taggers.examples import examples, front_end
from training.taggers.figures import CrossValidated, over_seeds, pooled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine import FrontendConfig
    from training.datasets.record import Record

SILENCE, UNKNOWN = "silence", "unknown"
N_FOLDS = 5


@dataclass(frozen=True)
class Config(TaggerConfig):
    """Every number of the recipe; the defaults are the best that was tried."""

    outside: str = ""  # folder of recordings that have none of the words, training/examine/outside.py; none without it
    live_hop_s: float = 0.5  # from one window to the next in the exported model

    sample_rate: int = 16_000
    f_max: float = 7_800.0
    hop_s: float = 0.01
    window_s: float = 1.0
    score: str = "softmax"
    label_smoothing: float = 0.1
    dropout: float = 0.1
    epochs: int = 60
    warmup_steps: int = 100

    crop_s: float = 1.0
    shift_s: float = 0.1
    part_share: float = 0.0
    inaudible_db: float = 80.0  # a word cut off by the window's edge is still that word, as the data set has it
    equaliser_db: float = 4.0
    joined_share: float = 0.03
    joined_label: int = CLASSES.index(UNKNOWN)
    mix_share: float = 0.0  # a softmax has no room for two words
    mixup_share: float = 0.5
    under_share: float = 0.1  # recordings of noise under the words
    noise_share: float = 0.05
    band_share: float = 0.05
    lowest_band: int = 44  # about 4 kHz
    style_share: float = 0.0  # the colour of a word is part of it
    mask_frames: int = 8
    mask_mels: int = 6


def train(data: Path, run: Run, config: Config) -> None:
    """Cross-validate, train the final model, write both into ``run``."""
    torch.set_num_threads(config.threads)
    frontend = front_end(config)
    corpus = load(data, frontend, run.folder)
    described = partial(describe, config=config)
    state = cross_validate(corpus, frontend, config, described, heard(sounds_outside(config.outside)), run)
    found = CrossValidated(corpus.labels, state["done"], softmax=True, harmless=(SILENCE, UNKNOWN))
    metrics = found.classification() | {
        "without_silence": over_seeds({job: without_silence(result) for job, result in found.done.items()}),
        "thresholds": found.at_thresholds(),
    }
    if config.final:
        made = final_fit(corpus, frontend, config, run, state)
        card = found.into(described(corpus.records, made.frontend), metrics)
        export(made.network, card, run.folder / f"{card.name}.onnx", variants=config.variants, calibration=data)
    run.finish(metrics)


def load(data: Path, frontend: FrontendConfig, cache: Path) -> Corpus:
    """Read the clips; speakers are dealt out to folds, silence clip by clip, and is laid under words."""
    read = load_speech_commands(data).complete()
    sources = [record.source if record.label != SILENCE else record.path.name for record in read.records]
    truth = torch.tensor([read.labels.index(record.label) for record in read.records])
    clips = examples(mel_power(read.records, frontend, cache=cache), truth, len(read.labels))
    return Corpus(
        read.labels,
        read.records,
        np.array(speaker_folds(sources, N_FOLDS)),
        clips,
        background=SILENCE,
    )


def without_silence(result: Mapping[str, Any]) -> float:
    """Return a job's accuracy on clips with a word in them."""
    scores, truth = pooled({"": result})
    words = truth != CLASSES.index(SILENCE)
    return accuracy(confusion_matrix(scores[words], truth[words]))


def describe(records: Sequence[Record], frontend: FrontendConfig, *, config: Config) -> ModelCard:
    """Return the card of a tagger trained on ``records``."""
    speakers = len({record.source for record in records if record.label != SILENCE})
    return ModelCard(
        name="keywords",
        task="tag",
        labels=CLASSES,
        score="softmax",
        frontend=frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        window=round(config.window_s * config.sample_rate),
        hop=round(config.live_hop_s * config.sample_rate),
        pad="zeros",
        reduce="max",
        embedding_size=config.embedding_size,
        embedding_normalised=True,
        training_data=f"Speech Commands v0.02, test set of twelve classes: {len(records)} clips, {speakers} speakers",
        licence="Apache-2.0; the training recordings are CC BY 4.0",
        attribution="Trained on Speech Commands v0.02, Google, CC BY 4.0",
        commit=commit(),
    )


def command(arguments: Sequence[str]) -> int:
    """``python -m training keywords examine``: measure a finished run's models for their page."""
    from training.recipes.keywords.examine import main

    return main(arguments)

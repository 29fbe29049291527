"""Keywords: the tagger of spoken words that ships with the engine.

Ten words, "unknown" and "silence" in windows of one second, made for live audio: the residual CNN on log-mel
spectrograms, its labels exclude each other. First one model per seed and fold of speakers, each exported and examined on
the speakers that it has not heard; then one model on everybody, its scores calibrated, with the thresholds and figures
of the first part in its card.

    python -m training run keywords --data DIR --run runs/keywords
    python -m training run keywords --data DIR --run runs/trial --epochs=20 --seeds=0 --final=false

DIR is the development part of Speech Commands (``training/datasets/speech_commands.py``), which is the published test
set of twelve classes, not the training set of 35 words. The run writes ``metrics.json``, ``seedS-foldF.onnx`` and
``keywords.onnx``; interrupted, ``python -m training resume RUN`` goes on and ends bit-equal.

Its silence is cut from a few recordings of noise, which are therefore in every fold: figures stand with and without it.
Words that nobody taught the network are known by what they are not, so it also hears words joined from two halves.

Expected: see models/keywords.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from training.datasets.folds import speaker_folds
from training.datasets.speech_commands import CLASSES, load_speech_commands
from training.export import export
from training.features import mel_power
from training.metrics import accuracy, best_f1_thresholds, confusion_matrix, expected_calibration_error, recall
from training.run import Run, commit
from training.taggers.calibration import calibrate, cross_fitted
from training.taggers.config import TaggerConfig
from training.taggers.cross_validation import Corpus, cross_validate, over_seeds, pooled
from training.taggers.examples import examples, front_end
from training.taggers.fit import fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine import FrontendConfig
    from training.datasets.record import Record

SILENCE, UNKNOWN = "silence", "unknown"
N_FOLDS = 5


@dataclass(frozen=True)
class Config(TaggerConfig):
    """Every number of the recipe; the defaults are those of the shipped model."""

    sample_rate: int = 16_000
    f_max: float = 7_800.0
    hop_s: float = 0.0125
    window_s: float = 1.0
    live_hop_s: float = 0.5  # from one window to the next in the exported model
    score: str = "softmax"
    label_smoothing: float = 0.1
    epochs: int = 40
    batch_size: int = 64
    warmup_steps: int = 100

    crop_s: float = 1.0
    max_stretch: float = 1.2
    part_share: float = 0.0
    inaudible_db: float = 80.0  # a word cut off by the window's edge is still that word, as the data set has it
    mix_share: float = 0.0
    under_share: float = 0.4  # recordings of noise under the words
    joined_share: float = 0.1
    joined_label: int = CLASSES.index(UNKNOWN)
    band_share: float = 0.1
    lowest_band: int = 44  # about 4 kHz
    mask_frames: int = 12
    mask_mels: int = 8


def train(data: Path, run: Run, config: Config) -> None:
    """Cross-validate, train the final model, write both into ``run``."""
    torch.set_num_threads(config.threads)
    frontend = front_end(config)
    corpus = load(data, frontend, config, run.folder)
    described = lambda records, fitted: describe(records, fitted, config)  # noqa: E731
    state = cross_validate(corpus, frontend, config, described, examine, run)
    metrics = summarise(corpus, state["done"])
    if config.final:
        made = fit(
            corpus.clips,
            corpus.beside(np.arange(len(corpus.records))),
            frontend,
            config,
            seeds=(config.seeds[0], 0),
            job="final",
            run=run,
            state=state,
        )
        calibrate(*pooled(state["done"]), softmax=True).into(made.network.classify[-1])  # type: ignore[union-attr, index]
        card = replace(
            describe(corpus.records, made.frontend, config),
            thresholds=thresholds(corpus.labels, state["done"]),
            threshold_method="largest F1 per label on out-of-fold scores, all folds and seeds pooled",
            metrics=metrics,
        )
        export(made.network, card, run.folder / "keywords.onnx", variants=config.variants, calibration=data)
    run.finish(metrics)


def load(data: Path, frontend: FrontendConfig, config: Config, cache: Path) -> Corpus:
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


def examine(model: Path, seen: Sequence[Record], unseen: Sequence[Record]) -> dict[str, Any]:
    """Return what is measured of each fold's model beside its scores."""
    return {}


def summarise(corpus: Corpus, done: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cross-validation's figures, with and without silence."""
    silence = corpus.labels.index(SILENCE)
    confusion = {job: confusion_matrix(*pooled({job: result})) for job, result in done.items()}
    figures = over_seeds({job: accuracy(counts) for job, counts in confusion.items()})
    spoken = over_seeds({job: accuracy(np.delete(counts, silence, axis=0)) for job, counts in confusion.items()})
    total = np.sum(list(confusion.values()), axis=0)
    calibrated, truth = np.concatenate(list(cross_fitted(done, softmax=True).values())), pooled(done)[1]
    return {
        "accuracy": figures["mean"],
        "accuracy_std_over_seeds": figures["std_over_seeds"],
        "accuracy_by_seed": figures["by_seed"],
        "accuracy_by_fold": figures["by_fold"],
        "accuracy_without_silence": spoken["mean"],
        "expected_calibration_error": expected_calibration_error(
            calibrated.max(axis=1), calibrated.argmax(axis=1) == truth
        ),
        "recall": dict(zip(corpus.labels, recall(total).tolist(), strict=True)),
        "confusion": total.tolist(),
        "ms_per_clip": float(np.mean([result["ms_per_clip"] for result in done.values()])),
    }


def thresholds(labels: Sequence[str], done: Mapping[str, Any]) -> dict[str, float]:
    """Return each label's threshold of largest F1 on the calibrated out-of-fold scores."""
    scores = np.concatenate(list(cross_fitted(done, softmax=True).values()))
    best = best_f1_thresholds(scores, pooled(done)[1])
    return {label: round(float(threshold), 4) for label, threshold in zip(labels, best, strict=True)}


def describe(records: Sequence[Record], frontend: FrontendConfig, config: Config) -> ModelCard:
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

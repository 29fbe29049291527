"""ESC-10: the tagger and the embedder that ship with the engine.

A residual CNN on log-mel spectrograms that scores windows and, for the times of events, steps of a third of a second;
trained from scratch in minutes on one core. First one model per fold and seed, each exported and examined on its unseen
fold through the engine; then one model on every fold, its scores calibrated, with the thresholds and figures of the
first part in its card. The embedder is the same network without its scores.

    python -m training run esc10 --data DIR --run runs/esc10 --words=DIR
    python -m training run esc10 --data DIR --run runs/trial --epochs=40 --seeds=0 --final=false

DIR is the ESC-50 download or the development part of ESC-10 (``training/datasets/esc50.py``); ``--words`` names Speech
Commands, of whose words speech is made that the tagger must not be sure of. The run writes ``metrics.json``,
``seedS-foldF.onnx``, ``esc10.onnx`` and ``esc10-embedder.onnx``; interrupted, ``python -m training resume RUN`` goes on
and ends bit-equal.

Expected on folds 1 to 4: see models/esc10.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from engine.errors import ConfigError
from training.datasets.esc50 import CITATION, ESC10, authors, load_esc50
from training.datasets.speech_commands import load_speech_commands
from training.export import export
from training.features import mel_power
from training.metrics import accuracy, best_f1_thresholds, confusion_matrix, expected_calibration_error, recall
from training.run import Run, commit
from training.taggers.calibration import calibrate, cross_fitted
from training.taggers.config import TaggerConfig
from training.taggers.cross_validation import Corpus, cross_validate, over_seeds, pooled
from training.taggers.examples import examples, front_end
from training.taggers.fit import fit
from training.taggers.others import other_sounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine import FrontendConfig
    from training.datasets.record import Record
    from training.taggers.examples import Examples

LABELS = tuple(ESC10.values())


@dataclass(frozen=True)
class Config(TaggerConfig):
    """Every number of the recipe; the defaults are those of the shipped models."""

    words: str = ""  # folder of Speech Commands, for speech among the sounds of no label; none without it
    step_weight: float = 1.0


def train(data: Path, run: Run, config: Config) -> None:
    """Cross-validate, train the final models, write all into ``run``."""
    torch.set_num_threads(config.threads)
    frontend = front_end(config)
    corpus = load(data, frontend, config, run.folder)
    described = lambda records, fitted: describe(records, fitted, config, data)  # noqa: E731
    state = cross_validate(corpus, frontend, config, described, examine, run)
    metrics = summarise(state["done"])
    if config.final:
        made = fit(
            corpus.clips, corpus.others, frontend, config, seeds=(config.seeds[0], 0), job="final", run=run, state=state
        )
        calibrate(*pooled(state["done"]), softmax=False).into(made.network.classify[-1])  # type: ignore[union-attr, index]
        card = replace(
            describe(corpus.records, made.frontend, config, data),
            thresholds=thresholds(state["done"]),
            threshold_method="largest F1 per label on out-of-fold scores, all folds and seeds pooled",
            metrics=metrics,
        )
        calibration = {"variants": config.variants, "calibration": data}
        export(made.network, card, run.folder / "esc10.onnx", **calibration)  # type: ignore[arg-type]
        export(made.network, as_embedder(card), run.folder / "esc10-embedder.onnx", **calibration)  # type: ignore[arg-type]
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
    return Corpus(LABELS, tuple(records), folds, clips, others(frontend, config))


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


def examine(model: Path, seen: Sequence[Record], unseen: Sequence[Record]) -> dict[str, Any]:
    """Return what is measured of each fold's model beside its scores."""
    return {}


def thresholds(done: Mapping[str, Any]) -> dict[str, float]:
    """Return each label's threshold of largest F1 on the calibrated out-of-fold scores."""
    scores = np.concatenate(list(cross_fitted(done, softmax=False).values()))
    best = best_f1_thresholds(scores, pooled(done)[1])
    return {label: round(float(threshold), 4) for label, threshold in zip(LABELS, best, strict=True)}


def summarise(done: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cross-validation's figures: mean over folds per seed, mean and spread of those over seeds."""
    figures = over_seeds({job: accuracy(confusion_matrix(*pooled({job: result}))) for job, result in done.items()})
    confusion = confusion_matrix(*pooled(done))
    calibrated, truth = np.concatenate(list(cross_fitted(done, softmax=False).values())), pooled(done)[1]
    return {
        "accuracy": figures["mean"],
        "accuracy_std_over_seeds": figures["std_over_seeds"],
        "accuracy_by_seed": figures["by_seed"],
        "accuracy_by_fold": figures["by_fold"],
        "expected_calibration_error": expected_calibration_error(
            calibrated.max(axis=1), calibrated.argmax(axis=1) == truth
        ),
        "recall": dict(zip(LABELS, recall(confusion).tolist(), strict=True)),
        "confusion": confusion.tolist(),
        "ms_per_clip": float(np.mean([result["ms_per_clip"] for result in done.values()])),
    }


def describe(records: Sequence[Record], frontend: FrontendConfig, config: Config, data: Path) -> ModelCard:
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

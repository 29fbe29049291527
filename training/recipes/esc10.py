"""ESC-10: the tagger that ships with the engine.

A residual CNN on log-mel spectrograms, trained from scratch in minutes on one core. First one model per fold and seed,
each exported and scored on its unseen fold through ``engine.Tagger``; then one model on every fold, exported with the
thresholds and figures of the first part in its card.

    python -m training run esc10 --data DIR --run runs/esc10
    python -m training run esc10 --data DIR --run runs/trial --epochs=40 --seeds=0 --final=false

DIR is the ESC-50 download or the development part of ESC-10 (``training/datasets/esc50.py``). The run writes
``metrics.json``, ``seedS-foldF.onnx`` and ``esc10.onnx``; interrupted, ``python -m training resume RUN`` goes on and
ends bit-equal.

Expected on folds 1 to 4: see models/esc10.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine import FrontendConfig
from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from engine.errors import ConfigError
from training import augment
from training.averaging import exponential_average
from training.datasets.esc50 import CITATION, ESC10, authors, load_esc50
from training.evaluate import evaluate
from training.export import export
from training.features import MelPower, band_statistics, mel_power, window_steps
from training.losses.embedding import SOFT, embedding_loss
from training.metrics import accuracy, best_f1_thresholds, confusion_matrix, recall
from training.networks.residual import ResidualTagger
from training.run import Run, commit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import Record

LABELS = tuple(ESC10.values())


@dataclass(frozen=True)
class Config:
    """Every number of the recipe."""

    seeds: tuple[int, ...] = (0, 1)  # one cross-validation each; the final model takes the first
    final: bool = True  # after the cross-validation, train on every fold and export the model to ship
    variants: tuple[str, ...] = ()  # of the final model, written beside it: int8, fp16, waveform
    threads: int = 1  # of torch; part of the result, since sums run in another order

    sample_rate: int = 44_100  # Hz
    f_max: float = 18_000.0  # Hz; lossy codecs leave nothing sure above
    win_s: float = 0.025
    hop_s: float = 0.02
    n_mels: int = 64
    window_s: float = 5.12  # what the exported model sees at once: an ESC-10 clip fits
    channels: tuple[int, ...] = (24, 32, 64, 128)
    embedding_size: int = 128
    dropout: float = 0.2

    epochs: int = 80
    batch_size: int = 32  # at least; an epoch is cut into equal batches
    learning_rate: float = 3e-3  # peak, after a linear rise and before a cosine fall to zero
    warmup_steps: int = 40
    weight_decay: float = 0.02  # on matrices and kernels, not on offsets and batch-norm scales
    average_decay: float = 0.99  # per step, of the weights that are exported
    label_smoothing: float = 0.05
    embedding_loss: str = "none"  # beside it; add or add_pooled, in the form for mixed labels
    embedding_weight: float = 1.0
    checkpoint_every: int = 10  # epochs

    crop_s: float = 5.0  # what the network sees at once in training
    max_stretch: float = 1.25  # speed within 1 / max_stretch ... max_stretch
    part_share: float = 0.3  # of crops that are silenced but for one part, as short clips and cut events are
    shortest_part_s: float = 0.5
    inaudible_db: float = 30.0  # a crop that stays this far under its clip's loudest frame has no label
    equaliser_db: float = 6.0
    mix_share: float = 0.25  # of crops that get a second one on top
    mix_below_db: float = 10.0  # the second is at most this much weaker
    noise_share: float = 0.3  # of crops that get stationary noise
    band_share: float = 0.2  # of crops that lose the bands above a random one, as low sample rates and codecs do
    lowest_band: int = 36  # the lowest that may be the last; about 4 kHz
    mask_frames: int = 16  # SpecAugment, one mask each
    mask_mels: int = 12

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        for name in ("seeds", "channels", "threads", "epochs", "batch_size", "warmup_steps", "checkpoint_every"):
            value = getattr(self, name)
            if not (value > 0 if isinstance(value, int) else value):
                raise ConfigError(f"expected at least one of {name}, got {value!r}; change --{name}")
        if self.embedding_loss not in SOFT:
            raise ConfigError(
                f"expected --embedding_loss to be one of {', '.join(SOFT)}, which know mixed labels, "
                f"got {self.embedding_loss!r}; change it"
            )


def train(data: Path, run: Run, config: Config) -> None:
    """Cross-validate, train the final model, write both into ``run``."""
    torch.set_num_threads(config.threads)
    records = load_esc50(data, "esc10").complete().records
    check_complete(records)
    frontend = front_end(config)
    features = mel_power(records, frontend, cache=run.folder)
    truth = torch.tensor([LABELS.index(record.label) for record in records])
    folds = np.array([record.fold for record in records])

    state = run.load() or {"done": {}}
    for seed in config.seeds:
        for fold in sorted(set(folds.tolist())):
            job = f"seed{seed}-fold{fold}"
            if job in state["done"]:
                continue
            seen = np.flatnonzero(folds != fold)
            part, known = select(features, seen), truth[seen]
            network, normalised = fit(part, known, frontend, config, seeds=(seed, fold), job=job, run=run, state=state)
            card = describe([records[i] for i in seen], normalised, config, data)
            export(network, card, run.folder / f"{job}.onnx")
            unseen = [record for record in records if record.fold == fold]
            result = evaluate(run.folder / f"{job}.onnx", unseen)
            run.log(job=job, accuracy=result.to_dict()["accuracy"])
            done = {"scores": result.scores.tolist(), "truth": result.truth.tolist(), "ms_per_clip": result.ms_per_clip}
            state = {"done": state["done"] | {job: done}}
            run.save(state)

    metrics = summarise(state["done"])
    if config.final:
        network, normalised = fit(
            features, truth, frontend, config, seeds=(config.seeds[0], 0), job="final", run=run, state=state
        )
        card = describe(records, normalised, config, data, thresholds(state["done"]), metrics)
        export(network, card, run.folder / "esc10.onnx", variants=config.variants, calibration=data)
    run.finish(metrics)


def check_complete(records: Sequence[Record]) -> None:
    """Raise ConfigError unless there are two folds and clips of all ten classes in each."""
    folds = {record.fold for record in records}
    there = {(record.fold, record.label) for record in records}
    missing = sorted((fold, label) for fold in folds for label in LABELS if (fold, label) not in there)
    if len(folds) < 2 or missing:
        got = f"nothing of {missing}" if missing else f"only the folds {sorted(folds)}"
        raise ConfigError(f"expected two folds or more with clips of all ten classes, got {got}; download ESC-10 again")


def front_end(config: Config) -> FrontendConfig:
    """Return the front end: decibels under the model window's maximum, 80 dB of them."""
    win_length = round(config.win_s * config.sample_rate)
    return FrontendConfig(
        sample_rate=config.sample_rate,
        win_length=win_length,
        hop_length=round(config.hop_s * config.sample_rate),
        n_fft=1 << (win_length - 1).bit_length(),
        n_mels=config.n_mels,
        f_min=50.0,
        f_max=config.f_max,
        log="dB",
        log_floor=1e-20,  # 200 dB under full scale: a recording's level does not matter, however low
        log_reference="max",
        log_range=80.0,
    )


def select(features: MelPower, rows: NDArray[np.int64] | Tensor) -> MelPower:
    """Return some of the recordings."""
    return MelPower(features.power[rows], features.lengths[rows])


def fit(
    features: MelPower,
    truth: Tensor,
    frontend: FrontendConfig,
    config: Config,
    *,
    seeds: tuple[int, int],
    job: str,
    run: Run,
    state: Mapping[str, Any],
) -> tuple[nn.Module, FrontendConfig]:
    """Train one network, or go on with it; return it and the front end with the statistics of its training data."""
    frontend = band_statistics(features, frontend)
    targets = functional.one_hot(truth, len(LABELS)).float()
    loudest = features.power.sum(dim=2).amax(dim=1)

    torch.manual_seed(draw(*seeds, 0))
    network = ResidualTagger(len(LABELS), config.channels, config.embedding_size, config.dropout)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
    average = exponential_average(network, config.average_decay)
    optimizer = torch.optim.AdamW(decayed(network, config.weight_decay), lr=config.learning_rate)
    parts: dict[str, Any] = {"network": network, "average": average, "optimizer": optimizer}
    first_epoch = 0
    if saved := state.get(job):
        first_epoch = saved["epochs"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])

    n_batches = max(1, len(truth) // config.batch_size)
    for epoch in run.bar(range(first_epoch, config.epochs), job):
        # One seed per epoch, so that nothing of the generators' state needs saving.
        generator = torch.Generator().manual_seed(draw(*seeds, 2 * epoch + 1))
        torch.manual_seed(draw(*seeds, 2 * epoch + 2))  # dropout
        losses = []
        for i, batch in enumerate(torch.randperm(len(truth), generator=generator).tensor_split(n_batches)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * n_batches + i, config.epochs * n_batches, config)
            power, wanted = augmented(select(features, batch), targets[batch], loudest[batch], config, generator)
            log_mel = window_steps(power, frontend)
            log_mel = augment.mask(log_mel, 1, config.mask_frames, config.mask_mels, generator)
            logits, embedding = network(log_mel)
            smooth = wanted * (1 - config.label_smoothing) + config.label_smoothing / len(LABELS)
            loss = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="sum") / len(batch)
            loss = loss + config.embedding_weight * embedding_loss(config.embedding_loss, embedding, wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            average.update_parameters(network)
            losses.append(loss.item())
        run.log(job=job, epoch=epoch, loss=sum(losses) / len(losses))
        if (epoch + 1) % config.checkpoint_every == 0:
            run.save({**state, job: {"epochs": epoch + 1} | {name: part.state_dict() for name, part in parts.items()}})
    return average.module, frontend


def augmented(
    features: MelPower, targets: Tensor, loudest: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return mel power, shape (batch, n_frames, n_mels), and targets of one batch as the network is to see it."""
    n_frames, shortest = round(config.crop_s / config.hop_s), round(config.shortest_part_s / config.hop_s)
    power = augment.crop_stretched(features.power, features.lengths, n_frames, config.max_stretch, generator)
    power = augment.keep_part(power, config.part_share, shortest, generator)
    targets = augment.drop_inaudible(targets, power, loudest, config.inaudible_db)
    power = augment.equalise(power, config.equaliser_db, 5, generator)
    power, targets = augment.mix(power, targets, config.mix_share, config.mix_below_db, generator)
    power = augment.add_noise(power, config.noise_share, (10.0, 40.0), 20.0, generator)
    return augment.limit_band(power, config.band_share, config.lowest_band, generator), targets


def decayed(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimiser's parameter groups: matrices and kernels decay, vectors do not."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def learning_rate(step: int, n_steps: int, config: Config) -> float:
    """Return the learning rate of a step: a linear rise, times half a cosine wave down to zero."""
    rise = min(1.0, (step + 1) / config.warmup_steps)
    return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / n_steps))


def draw(*seeds: int) -> int:
    """Return one well-mixed seed from several small numbers."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


def pooled(done: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scores and truth of all jobs: each clip once per seed, scored by a model that had not seen its fold."""
    scores = np.concatenate([np.array(result["scores"]) for result in done.values()])
    return scores, np.concatenate([np.array(result["truth"]) for result in done.values()])


def thresholds(done: Mapping[str, Any]) -> dict[str, float]:
    """Return each label's threshold of largest F1 on the out-of-fold scores."""
    return {label: round(float(t), 4) for label, t in zip(LABELS, best_f1_thresholds(*pooled(done)), strict=True)}


def summarise(done: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cross-validation's figures: mean over folds per seed, mean and spread of those over seeds."""
    by_job = {job: accuracy(confusion_matrix(*pooled({job: result}))) for job, result in done.items()}
    seeds = sorted({job.split("-")[0] for job in done})
    by_seed = {seed: float(np.mean([by_job[job] for job in done if job.split("-")[0] == seed])) for seed in seeds}
    confusion = confusion_matrix(*pooled(done))
    return {
        "accuracy": float(np.mean(list(by_seed.values()))),
        "accuracy_std_over_seeds": float(np.std(list(by_seed.values()), ddof=1)) if len(seeds) > 1 else None,
        "accuracy_by_seed": by_seed,
        "accuracy_by_fold": by_job,
        "recall": dict(zip(LABELS, recall(confusion).tolist(), strict=True)),
        "confusion": confusion.tolist(),
        "ms_per_clip": float(np.mean([result["ms_per_clip"] for result in done.values()])),
    }


def describe(
    records: Sequence[Record],
    frontend: FrontendConfig,
    config: Config,
    data: Path,
    chosen: Mapping[str, float] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Return the card of a model trained on ``records``."""
    folds = ", ".join(str(fold) for fold in sorted({record.fold for record in records}))
    window = round(config.window_s * config.sample_rate)
    return ModelCard(
        name="esc10",
        task="tag",
        labels=LABELS,
        score="sigmoid",
        frontend=frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        window=window,
        hop=window,
        pad="zeros",
        reduce="max",
        embedding_size=config.embedding_size,
        embedding_normalised=True,
        thresholds=chosen or {},
        threshold_method="largest F1 per label on out-of-fold scores, all folds and seeds pooled" if chosen else "",
        training_data=f"ESC-10, folds {folds}: {len(records)} clips",
        licence="Apache-2.0; the training recordings are CC0 and CC BY 3.0, and their authors named with the model",
        attribution=f"{CITATION}. Freesound recordings by {', '.join(authors(data))}.",
        commit=commit(),
        metrics=metrics or {},
    )

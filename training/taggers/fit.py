"""One network fitted to examples, with its front end: resumable, and the same bits again from the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from engine import LogMel
from training import augment
from training.averaging import exponential_average
from training.cluster_stage import ClusterStage, Encoder, label_sets, learn_embedding
from training.features import band_statistics, window_steps
from training.losses.embedding import embedding_loss
from training.losses.masked import consistency
from training.networks.residual import FrameTagger
from training.taggers.augmented import augmented, per_step
from training.taggers.discriminant import discriminant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from engine import FrontendConfig
    from training.run import Run
    from training.taggers.augmented import Batch
    from training.taggers.config import TaggerConfig
    from training.taggers.examples import Examples


@dataclass(frozen=True)
class Fitted:
    """A network with averaged weights, and the front end with the statistics of its examples."""

    network: nn.Module
    frontend: FrontendConfig


def fit(
    clips: Examples,
    others: Examples | None,
    frontend: FrontendConfig,
    config: TaggerConfig,
    *,
    seeds: tuple[int, int],
    job: str,
    run: Run,
    state: Mapping[str, Any],
    begin: Mapping[str, Tensor] | None = None,
) -> Fitted:
    """Train one network, or go on with it.

    Parameters
    ----------
    clips : Examples
    others : Examples or None
        Sounds of no label, ``other_share`` of which are drawn beside each batch, and which the discriminant has too.
    frontend : FrontendConfig
        Without statistics.
    config : TaggerConfig
    seeds : tuple of int
        Of everything that is drawn.
    job : str
        The name of this network in log and checkpoint.
    run : Run
    state : mapping
        Of the run; the network's own part of it is under its job.
    begin : mapping or None
        ``convolutions`` of another network, with which this one begins; drawn at random where it is None.
    """
    frontend = band_statistics(clips.features, frontend)
    torch.manual_seed(draw(*seeds, 0))
    network = FrameTagger(clips.targets.shape[1], config.channels, config.embedding_size, config.dropout)
    if begin is not None:
        network.load_state_dict({**network.state_dict(), **begin})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
    if config.embedding == "triple_header" and job not in state:
        learn_clusters(network, clips, frontend, config, seed=draw(*seeds, 1), job=job, run=run, state=state)
    average = exponential_average(network, config.average_decay)
    optimizer = torch.optim.AdamW(decayed(network, config.weight_decay), lr=config.learning_rate, fused=True)
    parts: dict[str, Any] = {"network": network, "average": average, "optimizer": optimizer}
    first_epoch = 0
    if saved := state.get(job):
        first_epoch = saved["epochs"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])

    n_batches = max(1, len(clips) // config.batch_size)
    for epoch in run.bar(range(first_epoch, config.epochs), job):
        # One seed per epoch, so that nothing of the generators' state needs saving.
        generator = torch.Generator().manual_seed(draw(*seeds, 2 * epoch + 1))
        torch.manual_seed(draw(*seeds, 2 * epoch + 2))  # dropout
        losses = []
        for i, rows in enumerate(torch.randperm(len(clips), generator=generator).tensor_split(n_batches)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * n_batches + i, config.epochs * n_batches, config)
            batch = augmented(clips[rows], others, config, generator)
            plain = window_steps(batch.power, frontend)
            expected = teacher_scores(average.module, plain, config) if config.consistency else None
            loss = total_loss(network, varied(plain, config, generator), batch, config, expected)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            average.update_parameters(network)
            losses.append(loss.item())
        run.log(job=job, epoch=epoch, loss=sum(losses) / len(losses))
        if (epoch + 1) % config.checkpoint_every == 0:
            run.save({**state, job: {"epochs": epoch + 1} | {name: part.state_dict() for name, part in parts.items()}})
    made = average.module
    if config.shrinkage:
        made = discriminant(
            made,
            clips,
            others,
            frontend,
            n_frames=LogMel(frontend).n_frames(round(config.window_s * config.sample_rate)),
            shrinkage=config.shrinkage,
            penalty=config.penalty,
        )
    return Fitted(made, frontend)


def convolutions(network: nn.Module) -> dict[str, Tensor]:
    """Return the part of a network's state that does not depend on what its labels are."""
    return {name: value for name, value in network.state_dict().items() if name.startswith(("stem.", "blocks."))}


def learn_clusters(
    network: FrameTagger,
    clips: Examples,
    frontend: FrontendConfig,
    config: TaggerConfig,
    *,
    seed: int,
    job: str,
    run: Run,
    state: Mapping[str, Any],
) -> None:
    """Teach a network's embedding to keep sets of labels apart, or go on with it, before all that ``fit`` does.

    Crops are changed as in the rest of training, but for what would change their labels.
    """
    alone = replace(config, joined_share=0.0, mix_share=0.0, mixup_share=0.0, other_share=0.0)
    rows, classes = label_sets(clips.targets)
    clips = clips[rows]

    def embedding(log_mel: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
            given: Tensor = network(log_mel)[1]
        return given

    def drawn(batch: Tensor, generator: torch.Generator) -> Tensor:
        power = augmented(clips[batch], None, alone, generator).power
        return varied(window_steps(power, frontend), config, generator)

    def after(reached: dict[str, Any], loss: float) -> None:
        run.log(job=job, clustering=reached["iterations"], loss=loss)
        run.save({**state, f"{job}-embedding": reached})

    stage = ClusterStage.of(config.embedding_epochs, config.batch_size, config.learning_rate)
    learn_embedding(
        Encoder(network, embedding),
        window_steps(clips.features.power, frontend),
        classes,
        stage,
        seed,
        drawn=drawn,
        state=state.get(f"{job}-embedding"),
        after=after,
    )


def varied(log_mel: Tensor, config: TaggerConfig, generator: torch.Generator) -> Tensor:
    """Return the network's input with the changes that are made to it, and not to power."""
    log_mel = augment.mix_styles(log_mel, config.style_share, generator)
    return augment.mask(log_mel, 1, config.mask_frames, config.mask_mels, generator)


def teacher_scores(teacher: nn.Module, log_mel: Tensor, config: TaggerConfig) -> Tensor:
    """Return the scores of an averaged network in evaluation mode, without gradients."""
    teacher.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
        return scores_of(teacher(log_mel)[0], config)


def scores_of(logits: Tensor, config: TaggerConfig) -> Tensor:
    """Return the scores that logits stand for."""
    return logits.float().softmax(dim=-1) if config.score == "softmax" else logits.float().sigmoid()


def total_loss(
    network: nn.Module, log_mel: Tensor, batch: Batch, config: TaggerConfig, expected: Tensor | None = None
) -> Tensor:
    """Return the loss of a batch: of its labels, of its embeddings, of its steps, and of what scores are expected."""
    with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
        logits, embedding, steps = network(log_mel)
    loss = label_loss(logits, batch.targets, config).sum() / len(logits)
    loss = loss + config.embedding_weight * embedding_loss(config.embedding_loss, embedding, batch.targets)
    if expected is not None:
        loss = loss + config.consistency * consistency(scores_of(logits, config), expected)
    if config.step_weight:
        each = label_loss(steps, per_step(batch.active, network.frames_per_step), config)  # type: ignore[arg-type]
        loss = loss + config.step_weight * each.sum() / (each.shape[0] * each.shape[1])
    return loss


def label_loss(logits: Tensor, targets: Tensor, config: TaggerConfig) -> Tensor:
    """Return the cross entropy of each label, targets smoothed towards one in ``n_labels``.

    Of sigmoids it is that of each label's presence; of a softmax the labels' parts of that of the whole, where targets
    without any label are spread evenly.
    """
    n_labels = targets.shape[-1]
    if config.score == "softmax":
        total = targets.sum(dim=-1, keepdim=True)
        targets = torch.where(total > 0, targets / total.clamp_min(1), 1 / n_labels)
    smooth = targets * (1 - config.label_smoothing) + config.label_smoothing / n_labels
    if config.score == "softmax":
        return -smooth * logits.float().log_softmax(dim=-1)
    return functional.binary_cross_entropy_with_logits(logits.float(), smooth, reduction="none")


def decayed(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimiser's parameter groups: matrices and kernels decay, vectors do not."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def learning_rate(step: int, n_steps: int, config: TaggerConfig) -> float:
    """Return the learning rate of a step: a linear rise, times half a cosine wave down to zero."""
    rise = min(1.0, (step + 1) / config.warmup_steps)
    return config.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / n_steps))


def draw(*seeds: int) -> int:
    """Return one well-mixed seed from several small numbers."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])

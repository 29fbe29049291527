"""Section III of the paper: the two baselines, label enhancing and mean teacher, on sequences of embeddings."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from training.cluster_stage import ClusterStage, Encoder, label_sets, learn_embedding
from training.losses.embedding import embedding_loss
from training.losses.masked import consistency, masked_bce
from training.networks.attention import AttentionTagger
from training.partial_labels import Pruning, follow, present, prune
from training.sampling.batches import epoch_generator, shuffled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.recipes.partial_labels.config import Config


@dataclass(frozen=True, eq=False)
class Part:
    """Clips with labels that are known in part.

    Attributes
    ----------
    sequences : Tensor, shape (n_clips, n_steps, size)
    targets : ndarray of 0 and 1, shape (n_clips, n_labels)
        As published; where an entry is not known, nobody may look.
    known : ndarray of bool, shape (n_clips, n_labels)
    """

    sequences: Tensor
    targets: NDArray[np.uint8]
    known: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trained:
    """What a method made.

    Attributes
    ----------
    network : AttentionTagger
        The student with the least validation loss.
    loss : float
        Its validation loss.
    teacher : AttentionTagger or None
        Of mean teacher: the averaged network of that epoch.
    pruning : Pruning or None
        Of label enhancing.
    percentile : float or None
        The one that was chosen.
    """

    network: AttentionTagger
    loss: float
    teacher: AttentionTagger | None = None
    pruning: Pruning | None = None
    percentile: float | None = None


def train(training: Part, validation: Part, config: Config, log: Callable[[str, int, float, float], None]) -> Trained:
    """Train by the configured method.

    Parameters
    ----------
    training, validation : Part
    config : Config
    log : callable
        Called with stage, epoch, training and validation loss.
    """
    # The label of a missing entry is 0 from here on: nothing that was hidden can be read, by any method.
    visible = training.targets if config.leak else present(training.targets, training.known)
    every, implicit = np.ones_like(training.known), present(training.targets, training.known)
    if config.method == "b0":
        return fit(training, implicit, every, validation, config, stage="student", log=log)
    if config.method in ("b1", "mt"):
        return fit(training, visible, training.known, validation, config, stage="student", log=log)

    first = fit(training, implicit, every, validation, config, stage="teacher", log=log)
    ranked = scores(first.network, training.sequences).numpy()
    best = None
    for percentile in config.percentiles:
        pruning = prune(ranked, training.known, percentile)
        made = fit(training, visible, pruning.counted, validation, config, stage="student", log=log)
        if best is None or made.loss < best.loss:
            best = Trained(made.network, made.loss, made.teacher, pruning, percentile)
    assert best is not None
    return best


def fit(
    training: Part,
    targets: NDArray[np.uint8],
    counted: NDArray[np.bool_],
    validation: Part,
    config: Config,
    *,
    stage: str,
    log: Callable[[str, int, float, float], None],
) -> Trained:
    """Train one network, at the configured learning rate from its first epoch on, and keep the best by validation.

    With a mean teacher beside it where the method has one.
    """
    size, n_labels, offset = training.sequences.shape[2], targets.shape[1], {"teacher": 0, "student": 1}[stage]
    mean_teacher = config.method in ("mt", "le_mt")
    torch.manual_seed(config.seed * 4 + 2 * offset)
    student = AttentionTagger(size, n_labels, config.layers, config.dropout)
    if config.embedding == "triple_header":
        begin_with_clusters(student, training.sequences, targets, counted, config, offset)
    # Initialised by itself, as in the authors' code.
    teacher = AttentionTagger(size, n_labels, config.layers, config.dropout) if mean_teacher else None
    optimizer = torch.optim.Adam(student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, config.halve_every, 0.5)
    truth, used = torch.from_numpy(targets), torch.from_numpy(counted)
    best = Trained(copy.deepcopy(student), float("inf"))
    step = 0
    for epoch in range(config.epochs):
        generator = epoch_generator(config.seed, offset, epoch)
        student.train()
        total, n_entries = 0.0, 0
        for batch in shuffled(len(truth), config.batch_size, generator):
            rows = torch.from_numpy(batch)
            n_used = int(used[rows].sum())
            if not n_used and teacher is None:
                continue
            given, features = student.with_features(training.sequences[rows])
            loss = masked_bce(given, truth[rows], used[rows])
            total, n_entries = total + loss.item() * n_used, n_entries + n_used
            # How far apart two clips' labels are is known where all of both are; a row of zeros is left out.
            whole = truth[rows] * used[rows].all(dim=1, keepdim=True)
            loss = loss + config.embedding_weight * embedding_loss(config.embedding_loss, features, whole)
            if teacher is not None:
                teacher.train()
                with torch.no_grad():
                    of_teacher = teacher(training.sequences[rows])
                loss = loss + config.beta * consistency(given, of_teacher)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if teacher is not None:
                follow(teacher, student, step, config.decay, buffers=config.average_buffers)
        schedule.step()
        now = validation_loss(student, validation)
        log(stage, epoch, total / max(1, n_entries), now)
        if now < best.loss:
            best = Trained(
                copy.deepcopy(student).eval(), now, None if teacher is None else copy.deepcopy(teacher).eval()
            )
    return best


def begin_with_clusters(
    student: AttentionTagger,
    sequences: Tensor,
    targets: NDArray[np.uint8],
    counted: NDArray[np.bool_],
    config: Config,
    offset: int,
) -> None:
    """Teach the student's mean features to keep sets of labels apart, of the clips all of whose labels count."""
    whole = torch.from_numpy(np.flatnonzero(counted.all(axis=1)))
    rows, classes = label_sets(torch.from_numpy(targets)[whole])
    encoder = Encoder(student, lambda inputs: student.with_features(inputs)[1])
    stage = ClusterStage.of(config.embedding_epochs, config.batch_size, config.learning_rate)
    learn_embedding(encoder, sequences[whole[rows]], classes, stage, config.seed * 4 + 2 * offset)


def scores(network: AttentionTagger, sequences: Tensor, batch_size: int = 256) -> Tensor:
    """Return the scores of all clips in evaluation mode, shape (n_clips, n_labels), without gradients."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(part) for part in sequences.split(batch_size)])


def validation_loss(network: AttentionTagger, part: Part) -> float:
    """Return the cross entropy over the known entries of a part: the same for all methods."""
    given = scores(network, part.sequences)
    return float(masked_bce(given, torch.from_numpy(part.targets), torch.from_numpy(part.known)))

"""Stage two: a detector over the embedding, trained on the class-weighted cross entropy."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.cluster_stage import batches, embed
from training.losses.embedding import embedding_loss
from training.losses.triple_header import positive_weights, weighted_bce

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.networks.event_encoders import Detector
    from training.recipes.triple_header.config import Config


@dataclass(frozen=True, eq=False)
class Part:
    """The clips of one part of a data set.

    Attributes
    ----------
    log_mel : Tensor, shape (n_clips, n_frames, n_mels)
    classes : Tensor, shape (n_clips,), int64
        The event of each clip; background is the number of events.
    n_events : int
    """

    log_mel: Tensor
    classes: Tensor
    n_events: int

    @property
    def targets(self) -> Tensor:
        """Zeros and a one for the event, shape (n_clips, n_events)."""
        return nn.functional.one_hot(self.classes, self.n_events + 1)[:, : self.n_events].float()


def train_detector(
    detector: Detector,
    trained: list[nn.Module],
    training: Part,
    validation: Part,
    config: Config,
    *,
    log: Callable[[int, float, float], None] = lambda _epoch, _training, _validation: None,
) -> float:
    """Train some parts of a detector in place; leave it with the weights of least validation loss, and return that.

    Parameters
    ----------
    detector : Detector
    trained : list of Module
        The parts that learn: the new layer alone ("Proposed1"), or the detector itself ("Proposed2", the baseline).
        What does not learn stays in evaluation mode, running means included, so an encoder that does not embeds each
        clip once.
    training, validation : Part
        Both are scored with the weights of the training part.
    config : Config
    log : callable
        Called with epoch, training loss and validation loss.
    """
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed + 1)  # dropout
    weights = positive_weights(training.targets) if config.weighted else torch.ones(training.n_events)
    parameters = [parameter for part in trained for parameter in part.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate)
    targets = training.targets
    encoder = detector.encoder if detector in trained else nn.Identity()
    rows, held_out = (
        part.log_mel if detector in trained else embed(detector.encoder, part.log_mel)
        for part in (training, validation)
    )

    @torch.no_grad()
    def held_out_loss() -> float:
        detector.eval()
        return float(weighted_bce(detector.logits(embed(encoder, held_out)), validation.targets, weights))

    best, best_loss, waited = copy.deepcopy(detector.state_dict()), held_out_loss(), 0
    for epoch in range(config.detector_epochs):
        detector.eval()
        for part in trained:
            part.train()
        total = 0.0
        for batch in batches(len(targets), config.batch_size, generator):
            embedding = encoder(rows[batch])
            loss = weighted_bce(detector.logits(embedding), targets[batch], weights, gamma=config.gamma)
            loss = loss + config.embedding_weight * embedding_loss(
                config.embedding_loss, embedding, training.classes[batch]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
        now = held_out_loss()
        log(epoch, total / len(targets), now)
        waited += 1
        if now < best_loss:
            best, best_loss, waited = copy.deepcopy(detector.state_dict()), now, 0
        if waited > config.patience:
            break
    detector.load_state_dict(best)
    detector.eval()
    return best_loss

"""Section 3.2 of the paper: a recurrent tagger, trained on the labelled clips with the embedding frozen."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from training.losses.embedding import embedding_loss
from training.metrics import macro_f1
from training.sampling.batches import epoch_generator, shuffled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.recipes.semi_supervised_triplet.config import Config


def train_tagger(
    tagger: Callable[[Tensor], tuple[Tensor, Tensor]],
    learning: nn.Module,
    frames: dict[str, Tensor],
    targets: dict[str, NDArray],
    config: Config,
    *,
    log: Callable[[int, float, float], None] = lambda _epoch, _loss, _f1: None,
) -> float:
    """Train in place by binary cross entropy; leave the weights of the best macro F1 on validation and return that.

    Parameters
    ----------
    tagger : callable
        Frames (batch, n_frames, size) to scores (batch, n_labels) and embeddings (batch, size) of clips.
    learning : Module
        What learns of it.
    frames, targets : dict
        Of "labelled" and "validation".
    log : callable
        Called with epoch, loss and validation F1.
    """
    optimizer = torch.optim.Adam(learning.parameters(), lr=config.tagger_learning_rate)
    truth = torch.from_numpy(targets["labelled"]).float()
    best, best_f1, waited = copy.deepcopy(learning.state_dict()), -1.0, 0
    for epoch in range(config.tagger_epochs):
        generator = epoch_generator(config.seed, 2, epoch)
        torch.manual_seed(int(generator.integers(2**62)))  # dropout
        learning.train()
        total = 0.0
        for batch in shuffled(len(truth), config.tagger_batch, generator):
            rows = torch.from_numpy(batch)
            scores, embeddings = tagger(frames["labelled"][rows])
            loss = nn.functional.binary_cross_entropy(scores, truth[rows])
            if config.strategy == "crnn":  # else the embedding has had the loss, and is frozen
                extra = embedding_loss(config.embedding_loss, embeddings, truth[rows])
                loss = loss + config.embedding_weight * extra
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(rows)
        learning.eval()
        f1 = macro_f1(clip_scores(tagger, frames["validation"]).numpy(), targets["validation"])
        log(epoch, total / len(truth), f1)
        if epoch < config.first_epochs:
            continue
        waited += 1
        if f1 > best_f1 + config.min_gain or best_f1 < 0:
            best, best_f1, waited = copy.deepcopy(learning.state_dict()), f1, 0
        if waited >= config.patience:
            break
    learning.load_state_dict(best)
    learning.eval()
    return best_f1


def clip_scores(tagger: Callable[[Tensor], tuple[Tensor, Tensor]], frames: Tensor, batch_size: int = 16) -> Tensor:
    """Return the scores of all clips, shape (n_clips, n_labels), without gradients."""
    with torch.no_grad():
        return torch.cat([tagger(part)[0] for part in frames.split(batch_size)])

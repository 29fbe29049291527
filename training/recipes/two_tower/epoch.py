"""One epoch under each loss, and the ranks after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.losses import ranking
from training.metrics import target_ranks
from training.networks.two_tower import TripletComparison
from training.sampling.batches import shuffled
from training.sampling.comparisons import fine_and_coarse, pair_epoch, triplet_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from training.networks.two_tower import TwoTower
    from training.recipes.two_tower.config import Config


@dataclass(frozen=True, eq=False)
class Examples:
    """The queries of one part, and the references of both.

    Attributes
    ----------
    queries : Tensor, shape (n_queries, n_frames, n_mels)
    references : Tensor, shape (n_references, n_frames, n_mels)
    query_class, target : ndarray of int, shape (n_queries,)
    reference_class : ndarray of int, shape (n_references,)
    """

    queries: Tensor
    references: Tensor
    query_class: NDArray[np.int64]
    reference_class: NDArray[np.int64]
    target: NDArray[np.int64]


def train_epoch(
    network: TwoTower, optimiser: torch.optim.Optimizer, examples: Examples, config: Config, generator: Generator
) -> tuple[float, int]:
    """Train one epoch; return the mean loss of its batches, each as it was before its step, and the steps."""
    network.train()
    losses = []
    for loss in batch_losses(network, examples, config, generator):
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        optimiser.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses)), len(losses)


def batch_losses(network: TwoTower, examples: Examples, config: Config, generator: Generator) -> Iterator[Tensor]:
    """Yield the loss of each batch of an epoch; whoever reads them takes a step between two."""
    fine, coarse = fine_and_coarse(examples.query_class, examples.reference_class, examples.target)
    # Of four times the fine triplets.
    n_matched = -(-4 * len(fine) // config.batch_size) if config.schedule == "matched" else None
    if config.loss == "triplet":
        comparison = TripletComparison(network)
        rows, answers = triplet_epoch(fine, coarse, examples.target, generator)
        for start in range(0, len(rows), config.batch_size):
            query, first, second = rows[start : start + config.batch_size].T
            logits = comparison(examples.queries[query], examples.references[first], examples.references[second])
            yield ranking.triplet(logits, torch.from_numpy(answers[start : start + config.batch_size]))
        return
    n_done = 0
    while n_done < (n_matched or 1):
        step = _pair_losses if config.loss == "pairwise" else _in_batch_losses
        for loss in step(network, examples, config, generator):
            yield loss
            n_done += 1
            if n_done == n_matched:
                return
        if n_matched is None:
            return


def _pair_losses(network: TwoTower, examples: Examples, config: Config, generator: Generator) -> Iterator[Tensor]:
    fine, coarse = fine_and_coarse(examples.query_class, examples.reference_class, examples.target)
    rows, answers = pair_epoch(fine, coarse, examples.target, generator)
    for start in range(0, len(rows), config.batch_size):
        query, reference = rows[start : start + config.batch_size].T
        logits = network(examples.queries[query], examples.references[reference])
        yield ranking.pairwise(logits, torch.from_numpy(answers[start : start + config.batch_size]))


def _in_batch_losses(network: TwoTower, examples: Examples, config: Config, generator: Generator) -> Iterator[Tensor]:
    for rows in shuffled(len(examples.target), config.batch_size, generator):
        targets = examples.target[rows]
        # Each target once through its tower, however many queries mean it.
        distinct, place = np.unique(targets, return_inverse=True)
        ours, theirs = network.query(examples.queries[rows]), network.reference(examples.references[distinct])
        logits = torch.stack([network.head(ours[i : i + 1], theirs[place]) for i in range(len(rows))])
        yield ranking.in_batch(logits, torch.from_numpy(targets))


def similarities(network: TwoTower, examples: Examples) -> NDArray[np.float32]:
    """Return the logits of all queries and references (n_queries, n_references), each once through its tower."""
    network.eval()
    with torch.no_grad():
        ours = torch.cat([network.query(part) for part in examples.queries.split(64)])
        theirs = torch.cat([network.reference(part) for part in examples.references.split(64)])
        logits: NDArray[np.float32] = torch.stack([network.head(row[None], theirs) for row in ours]).numpy()
    return logits


def rank(network: TwoTower, examples: Examples, config: Config) -> dict[str, float]:
    """Return mean rank, mean reciprocal rank, and how many targets tie; the second among the targets alone as well.

    All queries of a class mean one recording, so that it can be preferred without hearing them. Among the targets that
    is worth nothing.
    """
    # By similarity, not by logit: a sigmoid that has saturated makes ties, and they count.
    scores = torch.from_numpy(similarities(network, examples)).sigmoid().numpy()
    found = target_ranks(scores, examples.target)
    targets, place = np.unique(examples.target, return_inverse=True)
    return {
        "mean_rank": found.mean_rank(config.ties),  # type: ignore[arg-type]  # checked by the configuration
        "mrr": found.mean_reciprocal_rank(config.ties),  # type: ignore[arg-type]
        "mrr_among_targets": target_ranks(scores[:, targets], place).mean_reciprocal_rank(
            config.ties  # type: ignore[arg-type]
        ),
        "n_tied": found.n_tied_queries,
    }

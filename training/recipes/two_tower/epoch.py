"""One epoch under each loss, the loss of the other part, and the ranks after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.distance import semi_hard
from training import augment
from training.losses import ranking
from training.metrics import target_ranks
from training.networks.two_tower import TripletComparison
from training.sampling.batches import shuffled
from training.sampling.comparisons import drawn_targets, fine_and_coarse, n_triplets, pair_epoch, triplet_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from training.networks.two_tower import TwoTower
    from training.recipes.two_tower.config import Config

    Indices = NDArray[np.int64]

FACTOR = 50.0  # of similarities in a triplet
AT_ONCE = 64  # recordings through a tower without gradients


@dataclass(frozen=True, eq=False)
class Examples:
    """The queries of one part, and their references.

    Attributes
    ----------
    queries : Tensor, shape (n_queries, n_frames, n_mels)
    references : Tensor, shape (n_references, n_frames, n_mels)
    query_class : ndarray of int, shape (n_queries,)
    reference_class : ndarray of int, shape (n_references,)
    fits : ndarray of bool, shape (n_queries, n_references)
        Which references a query means.
    """

    queries: Tensor
    references: Tensor
    query_class: Indices
    reference_class: Indices
    fits: NDArray[np.bool_]

    def distractors(self, config: Config, generator: Generator) -> tuple[Indices, Indices]:
        """Return all fine and all coarse ones; of an open trial, whose classes may be large, one fine a query."""
        fine, coarse = fine_and_coarse(self.query_class, self.reference_class, self.fits)
        if config.targets == "any" and len(fine) > len(self.fits):
            fine = generator.permutation(fine)[: len(self.fits)]
        return fine, coarse


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
    """Yield the loss of each batch of an epoch; whoever reads them takes a step between two.

    As published, an epoch of pairs or of queries is one round of the queries; matched, it has as many steps as that
    of the triplets.
    """
    fine, coarse = examples.distractors(config, generator)
    n_steps = None
    if config.schedule == "matched":
        n_steps = -(-n_triplets(fine, np.arange(len(examples.fits))) // config.batch_size)
    n_done = 0
    while True:
        target = drawn_targets(examples.fits, generator)
        if config.loss == "pairwise":
            losses = _pair_losses(network, examples, pair_epoch(fine, coarse, target, generator), config, generator)
        elif config.loss == "triplet":
            rows = triplet_epoch(fine, coarse, target, generator)
            losses = _triplet_losses(network, examples, rows, config, generator)
        else:
            losses = _query_losses(network, examples, target, config, generator)
        for loss in losses:
            yield loss
            n_done += 1
            if n_done == n_steps:
                return
        if n_steps is None or config.loss == "triplet":
            return


def _pair_losses(
    network: TwoTower,
    examples: Examples,
    epoch: tuple[Indices, NDArray[np.bool_]],
    config: Config,
    generator: Generator,
) -> Iterator[Tensor]:
    rows, answers = epoch
    for start in range(0, len(rows), config.batch_size):
        query, reference = rows[start : start + config.batch_size].T
        ours = _embedded(network.query, examples.queries, query, config, generator)
        theirs = _embedded(network.reference, examples.references, reference, config, generator)
        answer = torch.from_numpy(answers[start : start + config.batch_size])
        yield ranking.pairwise(network.head(ours, theirs), answer.to(ours.device))


def _triplet_losses(
    network: TwoTower,
    examples: Examples,
    epoch: tuple[Indices, NDArray[np.bool_]],
    config: Config,
    generator: Generator,
) -> Iterator[Tensor]:
    comparison = TripletComparison(network).to(examples.queries.device)
    rows, answers = epoch
    for start in range(0, len(rows), config.batch_size):
        query, first, second = rows[start : start + config.batch_size].T
        ours = _embedded(network.query, examples.queries, query, config, generator)
        if config.once:
            both = np.concatenate([first, second])
            pair = _embedded(network.reference, examples.references, both, config, generator).chunk(2)
        else:
            pair = tuple(
                _embedded(network.reference, examples.references, each, config, generator) for each in (first, second)
            )
        answer = torch.from_numpy(answers[start : start + config.batch_size])
        yield ranking.triplet(comparison.compare(ours, *pair), answer.to(ours.device))


def _query_losses(
    network: TwoTower, examples: Examples, target: Indices, config: Config, generator: Generator
) -> Iterator[Tensor]:
    """Yield the losses that compare each query of a batch with many references."""
    for rows in shuffled(len(target), config.batch_size, generator):
        meant = np.unique(target[rows])
        if config.loss == "semi_hard":
            # Targets of a batch are few where a class has one; as many others may be negatives as well.
            others = np.setdiff1d(np.arange(len(examples.references)), meant)
            n_others = min(config.batch_size, len(others))
            meant = np.sort(np.concatenate([meant, generator.choice(others, n_others, replace=False)]))
        ours = _embedded(network.query, examples.queries, rows, config, generator, once=True)
        theirs = _embedded(network.reference, examples.references, meant, config, generator, once=True)
        place = np.searchsorted(meant, target[rows])
        logits = network.head.table(ours, theirs)
        if config.loss == "infonce":
            yield ranking.in_batch(logits[:, place], torch.from_numpy(examples.fits[rows][:, target[rows]]))
        elif config.loss == "supcon":
            yield ranking.all_in_batch(logits, torch.from_numpy(examples.fits[rows][:, meant]))
        else:
            yield mined(logits, torch.from_numpy(place), examples.fits[rows][:, meant])


def mined(logits: Tensor, target: Tensor, fits: NDArray[np.bool_]) -> Tensor:
    """Return the triplet loss of each query with its semi-hard negative, a scalar.

    That is the most similar of the references that are less similar than the target (Schroff et al. 2015), as
    ``engine.distance.semi_hard`` chooses it. Rows are the single numbers 1 - s, so that the distance of a query to a
    reference is its own, whatever the head: a candidate for each query and reference, a label for each query.

    Parameters
    ----------
    logits : Tensor, shape (n_queries, n_references)
    target : Tensor of int, shape (n_queries,)
    fits : ndarray of bool, shape (n_queries, n_references)
        What a query means is no negative.
    """
    similarities = logits.sigmoid()
    n, rows = len(logits), torch.arange(len(logits))
    distance = (1 - similarities.detach()).cpu().numpy().astype(np.float32)
    query, reference = np.nonzero(~fits)
    # A candidate is a negative of the queries with which it shares no label: of its own.
    own = np.eye(n, dtype=np.bool_)
    triplets = semi_hard(
        np.zeros((n, 1), np.float32),
        distance[rows.numpy(), target.numpy()][:, None],
        np.ascontiguousarray(distance[query, reference][:, None]),
        labels=own,
        candidate_labels=~own[query],
        metric="euclidean",
    )
    chosen = torch.from_numpy(reference[triplets.negatives])
    gap = similarities[rows, target] - similarities[rows, chosen]
    return ranking.triplet(FACTOR * gap, torch.ones(n, dtype=torch.bool, device=logits.device))


def _embedded(
    tower: nn.Module, inputs: Tensor, rows: Indices, config: Config, generator: Generator, *, once: bool = False
) -> Tensor:
    """Return the embeddings of some recordings; ``once`` sends those that repeat through the tower once."""
    if once or config.once:
        kept, place = np.unique(rows, return_inverse=True)
        embeddings: Tensor = tower(_varied(inputs[kept], config, generator))
        return embeddings[place]
    return tower(_varied(inputs[rows], config, generator))


def _varied(log_mel: Tensor, config: Config, generator: Generator) -> Tensor:
    """Return log-mel rolled by up to a tenth of its frames either way, and masked, where the run asks for it."""
    if not config.augmented:
        return log_mel
    batch, n_frames, n_mels = log_mel.shape
    draws = torch.Generator().manual_seed(int(generator.integers(2**31)))
    shift = torch.randint(-(n_frames // 10), n_frames // 10 + 1, (batch, 1), generator=draws)
    frames = ((torch.arange(n_frames) + shift) % n_frames).to(log_mel.device)
    rolled = log_mel.gather(1, frames[:, :, None].expand(-1, -1, n_mels))
    kept = augment.mask(torch.ones(batch, n_frames, n_mels), 2, n_frames // 10, n_mels // 8, draws)
    return rolled * kept.to(log_mel.device)


def similarities(network: TwoTower, examples: Examples) -> NDArray[np.float32]:
    """Return the logits of all queries and references (n_queries, n_references), each once through its tower."""
    network.eval()
    with torch.no_grad():
        ours = torch.cat([network.query(part) for part in examples.queries.split(AT_ONCE)])
        theirs = torch.cat([network.reference(part) for part in examples.references.split(AT_ONCE)])
        # A few queries at a time: the hidden layer has all of them with all references.
        parts = [network.head.table(part, theirs) for part in ours.split(AT_ONCE)]
        logits: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return logits


def part_loss(logits: NDArray[np.float32], examples: Examples, config: Config, generator: Generator) -> float:
    """Return the loss over a part as ``batch_losses`` balances it, from its logits (n_queries, n_references).

    Nothing is learnt from it: the network is in evaluation mode and the pairs or triplets are one epoch's.
    """
    values, target = torch.from_numpy(logits), drawn_targets(examples.fits, generator)
    if config.loss == "infonce":
        return float(ranking.in_batch(values[:, target], torch.from_numpy(examples.fits[:, target])))
    if config.loss == "supcon":
        return float(ranking.all_in_batch(values, torch.from_numpy(examples.fits)))
    if config.loss == "semi_hard":
        return float(mined(values, torch.from_numpy(target), examples.fits))
    fine, coarse = examples.distractors(config, generator)
    if config.loss == "pairwise":
        rows, answers = pair_epoch(fine, coarse, target, generator)
        return float(ranking.pairwise(values[tuple(rows.T)], torch.from_numpy(answers)))
    rows, answers = triplet_epoch(fine, coarse, target, generator)
    query, first, second = rows.T
    likeness = values.sigmoid()
    return float(
        ranking.triplet(FACTOR * (likeness[query, first] - likeness[query, second]), torch.from_numpy(answers))
    )


def best_alone(scores: NDArray[np.float32], fits: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return which of the references that it means each query likes best, and the scores without the others of them.

    Parameters
    ----------
    scores : ndarray, shape (n_queries, n_references)
        From 0 to 1, or cosines; those taken out become -2.
    fits : ndarray of bool, of the same shape
    """
    best = np.where(fits, scores, -2).argmax(axis=1)
    alone = np.where(fits, np.float32(-2), scores)
    alone[np.arange(len(best)), best] = scores[np.arange(len(best)), best]
    return alone, best


def rank(logits: NDArray[np.float32], examples: Examples, config: Config) -> dict[str, float]:
    """Return mean rank, mean reciprocal rank, and how many targets tie; the second among the targets alone as well.

    A query that means several references has the rank of the best of them, without the others. Where all queries of a
    class mean one recording it can be preferred without hearing them; among the targets that is worth nothing.
    """
    # By similarity, not by logit: a sigmoid that has saturated makes ties, and they count.
    scores = torch.from_numpy(logits).sigmoid().numpy()
    alone, best = best_alone(scores, examples.fits)
    found = target_ranks(alone, best)
    targets, place = np.unique(best, return_inverse=True)
    among = target_ranks(alone[:, targets], place)
    return {
        "mean_rank": found.mean_rank(config.ties),  # type: ignore[arg-type]  # checked by the configuration
        "mrr": found.mean_reciprocal_rank(config.ties),  # type: ignore[arg-type]
        "mrr_among_targets": among.mean_reciprocal_rank(config.ties),  # type: ignore[arg-type]
        "n_tied": found.n_tied_queries,
    }

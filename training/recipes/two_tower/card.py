"""The card of a ranker, and the figure in it: measured on the exported file, through the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Ranker
from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs, QueryTower
from training.metrics import target_ranks
from training.recipes.two_tower.corpora import CREDITS, LICENCES
from training.recipes.two_tower.epoch import best_alone
from training.recipes.two_tower.hearing import samples_of
from training.run import commit
from training.sampling.batches import epoch_generator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.datasets.ranking import Part, Trial
    from training.recipes.two_tower.config import Config
    from training.recipes.two_tower.towers import Tower

N_RESAMPLED = 2000  # of speakers or sources, for the interval


def describe(config: Config, trial: Trial, towers: tuple[Tower, Tower], metrics: Mapping[str, Any]) -> ModelCard:
    """Return the card of the ranker."""
    query, reference = towers
    what, attribution = CREDITS[config.corpus]
    part, shown = trial.parts["train"], ", ".join(trial.labels[:40])
    more = "" if len(trial.labels) <= 40 else f" and {len(trial.labels) - 40} more"
    none = "" if config.corpus == "imitations" else " No vocal imitations were used."
    return ModelCard(
        name=config.name or f"{config.corpus}-{config.loss}",
        task="rank",
        labels=(),
        score=None,
        frontend=reference.frontend,
        input=ModelInput("reference_log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(embedding=ModelOutput("reference", ("batch", "feature"))),
        window=reference.window,
        hop=reference.hop,
        pad="zeros",
        reduce="mean",
        embedding_size=reference.size,
        embedding_normalised=False,
        query=QueryTower(
            frontend=query.frontend,
            input=ModelInput("query_log_mel", "log_mel", ("batch", "time", "mel")),
            embedding=ModelOutput("query", ("batch", "feature")),
            embedding_size=query.size,
            window=query.window,
            similarity="similarity",
        ),
        training_data=(
            f"{what}: {shown}{more}; {len(part.queries)} queries, {len(set(part.references))} references.{none}"
        ),
        licence=LICENCES[config.corpus],
        attribution=attribution,
        commit=commit(),
        metrics=dict(metrics),
    )


def judge(model: Path, trial: Trial, config: Config) -> dict[str, Any]:
    """Return what an exported ranker is worth: of each part that judges, ranks among ``n_judged`` candidates.

    Queries are those of the ``n_judged`` classes with the most of them; of the part "unheard", all its classes, up to
    as many. The bounds are those of 95 %, over resampled sources (speakers) of the queries: recordings of one source
    are not independent; of a single source they are None. Chance is what equal scores' mean reciprocal rank would be.
    """
    made: dict[str, Any] = {}
    with Ranker(model, device="cpu", threads=config.threads) as ranker:
        for name, part in trial.parts.items():
            if name != "train":
                made |= {f"{name}_{key}": value for key, value in _judged(ranker, part, config).items()}
    return made


def _judged(ranker: Ranker, part: Part, config: Config) -> dict[str, Any]:
    counts = part.fits.sum(axis=0)
    # In random order among equals: neighbours in a list are often of one kind.
    order = epoch_generator(config.seed, 3).permutation(len(counts))
    candidates = np.sort(order[np.argsort(-counts[order], kind="stable")][: config.n_judged])
    asked = np.flatnonzero(part.fits[:, candidates].any(axis=1))
    fits = part.fits[np.ix_(asked, candidates)]
    # At a rate that loses nothing of either tower's.
    rate = 44100
    library = ranker.encode([(samples_of(part.references[i], rate), rate) for i in candidates])
    owner = np.flatnonzero([item.start_s == 0 for item in library.items])
    trim = {} if config.prepared else {"trim_db": None}
    # A long recording is as like as its likest window.
    scores = np.stack(
        [
            np.maximum.reduceat(ranker.scores((samples_of(part.queries[i], rate), rate), library, **trim), owner)
            for i in asked
        ]
    )
    ranks = target_ranks(*best_alone(scores, fits))
    reciprocal = 1 / ranks.ranks("average")
    sources = np.array([part.queries[i].source for i in asked])
    low, high = interval(reciprocal, sources, config.seed) if len(set(sources)) > 1 else (None, None)
    chance = float(np.mean(1 / np.arange(1, len(candidates) + 1)))
    return {
        "mrr": round(float(reciprocal.mean()), 4),
        "mrr_low": None if low is None else round(low, 4),
        "mrr_high": None if high is None else round(high, 4),
        "mrr_chance": round(chance, 4),
        "first": round(float((ranks.ranks("average") == 1).mean()), 4),
        "mean_rank": round(ranks.mean_rank(), 3),
        "n_queries": len(asked),
        "n_candidates": len(candidates),
        "n_sources": len(set(sources)),
        "n_tied": ranks.n_tied_queries,
    }


def interval(values: np.ndarray, sources: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean, sources drawn with replacement and each with all of its values."""
    _, place = np.unique(sources, return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    drawn = epoch_generator(seed, 2).integers(len(sums), size=(N_RESAMPLED, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)

"""Paper 3: ranking recordings by an imitation, a triplet loss on a two-tower network (DCASE 2018).

The paper trains one network twice from the same weights, on pairs and on triplets, and asks under which of the two the
training loss goes along with what is wanted: the rank of the recording that was meant. A run is one trial under one
loss; the runs of one seed share classes, parts and first weights.

    python -m training run two_tower --data DIR --run runs/0-triplet
    python -m training run two_tower --data DIR --run runs/0-pairwise --loss=pairwise
    python -m training run two_tower --data DIR --run runs/0-matched --loss=pairwise --schedule=matched

DIR is the development part of Speech Commands, whose words stand in (``--corpus=words``), or the Vocal Imitation Set
(``--corpus=imitations``). As published an epoch has about 3 steps of pairs and 40 of triplets, so that the losses are
compared after unlike amounts of training; ``--schedule=matched`` gives each the steps of the triplets. The run writes
``metrics.json`` (curves, correlation, ranks) and ``ranker.onnx`` for ``engine.Ranker``; interrupted, the same command
goes on. Queries are not trimmed here, so ``Ranker.scores(..., trim_db=None)`` gives the ranks of training.

The trials and their test, and rankers of any two encoders: ``python -m training two_tower --help``.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.datasets.ranking import draw_trial
from training.export_two_tower import export_two_tower
from training.metrics import pearson
from training.recipes.two_tower.card import describe, judge
from training.recipes.two_tower.config import Config
from training.recipes.two_tower.corpora import classes_of, open_trial
from training.recipes.two_tower.epoch import Examples, part_loss, rank, similarities, train_epoch
from training.recipes.two_tower.hearing import log_mel
from training.recipes.two_tower.towers import Tower, make_tower, two_towers
from training.sampling.batches import epoch_generator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.datasets.ranking import Trial
    from training.networks.two_tower import TwoTower
    from training.run import Run

__all__ = ["Config", "command", "figures", "train"]


def command(arguments: Sequence[str]) -> int:
    """Run the trials, print their test, or train a ranker of any two encoders: ``python -m training two_tower``."""
    from training.recipes.two_tower.rankers import main

    return main(arguments)


def train(data: Path, run: Run, config: Config) -> None:
    """Run one trial under one loss and write its figures into ``run``."""
    run.finish(figures(data, run, config))


def figures(data: Path, run: Run, config: Config) -> dict[str, Any]:
    """Return curves, correlation and last ranks of one trial under one loss."""
    torch.set_num_threads(config.threads)
    trial = make_trial(data, config)
    # One set of first weights for every loss of a seed.
    torch.manual_seed(config.seed)
    towers, network = make_network(config)
    parts = features(trial, towers, config)
    network.to(config.device)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=config.learning_rate)
    state = run.load() or {"epoch": 0, "curves": [], "seconds": 0.0}
    if "network" in state:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])

    curves: list[dict[str, float]] = list(state["curves"])
    began = time.monotonic() - state["seconds"]
    for epoch in range(state["epoch"], config.epochs):
        if config.cosine_decay:
            share = 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
            optimiser.param_groups[0]["lr"] = config.learning_rate * share
        loss, steps = train_epoch(network, optimiser, parts["train"], config, epoch_generator(config.seed, epoch))
        row = {"loss": loss, "steps": steps}
        # Ranks are taken after the epoch, the loss while the weights move; of an open trial those of training are many.
        for part, examples in parts.items():
            if part == "train" and config.targets == "any":
                continue
            logits = similarities(network, examples)
            row |= {f"{part}_{name}": value for name, value in rank(logits, examples, config).items()}
            if part == "validation":
                # The same pairs or triplets after every epoch.
                row["validation_loss"] = part_loss(logits, examples, config, epoch_generator(config.seed, 0, 1))
        curves.append(row)
        run.log(epoch=epoch, **row)
        run.save(
            {
                "epoch": epoch + 1,
                "curves": curves,
                "seconds": time.monotonic() - began,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "random": torch.get_rng_state(),
            }
        )
    seconds = time.monotonic() - began

    last = {name: value for name, value in curves[-1].items() if name != "loss"}
    card = describe(config, trial, towers, last)
    export_two_tower(network.to("cpu").eval(), card, run.folder / "ranker.onnx")
    judged = {}
    if config.n_judged:
        # The figure of the exported file, written into its card.
        judged = judge(run.folder / "ranker.onnx", trial, config)
        card = describe(config, trial, towers, judged)
        export_two_tower(network, card, run.folder / "ranker.onnx")
    correlation = np.nan
    if "train_mean_rank" in curves[-1]:
        correlation = pearson([row["loss"] for row in curves], [row["train_mean_rank"] for row in curves])
    return {
        # Missing where a curve is constant.
        "correlation": None if np.isnan(correlation) else correlation,
        "last": last,
        "judged": judged,
        "seconds": round(seconds, 1),
        "labels": list(trial.labels),
        "curves": curves,
    }


def make_trial(data: Path, config: Config) -> Trial:
    """Return the queries and references of the trial, by the seed alone."""
    generator = epoch_generator(config.seed)
    if config.targets == "any" or config.corpus == "pairs":
        return open_trial(data, config, generator)
    classes = classes_of(data, config, generator)
    return draw_trial(classes, config.n_classes or len(classes), generator)


def make_network(config: Config) -> tuple[tuple[Tower, Tower], TwoTower]:
    """Return both towers, of the queries and of the references, and the network over them, with its first weights."""
    query = make_tower(config.query_encoder, "query", config)
    reference = make_tower(config.reference_encoder, "reference", config)
    return (query, reference), two_towers(query, reference, config)


def features(trial: Trial, towers: tuple[Tower, Tower], config: Config) -> dict[str, Examples]:
    """Return the log-mel of the parts that are learnt from and looked at, as either tower hears it."""
    query, reference = towers
    made: dict[tuple[Any, ...], torch.Tensor] = {}
    parts = {}
    for name in ("train", "validation"):
        part = trial.parts[name]
        if part.references not in made:
            made[part.references] = log_mel(part.references, reference, prepared=False).to(config.device)
        queries = log_mel(part.queries, query, prepared=config.prepared).to(config.device)
        parts[name] = Examples(queries, made[part.references], part.query_class, part.reference_class, part.fits)
    return parts

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

The trials and their test: ``python -m training two_tower --help``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine import LogMel
from engine.audio import load
from engine.frontend import preset
from training.datasets.ranking import draw_trial, load_imitations, load_words
from training.export_two_tower import IMINET_SECONDS, export_two_tower, iminet_card
from training.metrics import pearson
from training.networks.small_towers import SIZE, small_towers
from training.networks.two_tower import tl_iminet
from training.recipes.two_tower.config import Config
from training.recipes.two_tower.epoch import Examples, rank, train_epoch
from training.run import Run, commit
from training.sampling.batches import epoch_generator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from training.datasets.ranking import Trial
    from training.datasets.record import Record
    from training.networks.two_tower import TwoTower

__all__ = ["Config", "command", "figures", "train"]


def command(arguments: Sequence[str]) -> int:
    """Run the trials, or print their test: ``python -m training two_tower run|report``."""
    from training.recipes.two_tower.grid import main

    return main(arguments)


def train(data: Path, run: Run, config: Config) -> None:
    """Run one trial under one loss and write its figures into ``run``."""
    run.finish(figures(data, run, config))


def figures(data: Path, run: Run, config: Config) -> dict[str, Any]:
    """Return curves, correlation and last ranks of one trial under one loss."""
    torch.set_num_threads(config.threads)
    trial = make_trial(data, config)
    parts = features(trial)

    # One set of first weights for every loss of a seed.
    torch.manual_seed(config.seed)
    network = make_network(config)
    optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    state = run.load() or {"epoch": 0, "curves": []}
    if "network" in state:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])

    curves: list[dict[str, float]] = list(state["curves"])
    for epoch in range(state["epoch"], config.epochs):
        loss, steps = train_epoch(network, optimiser, parts["train"], config, epoch_generator(config.seed, epoch))
        row = {"loss": loss, "steps": steps}
        # Ranks are taken after the epoch, the loss while the weights move.
        for part, examples in parts.items():
            row |= {f"{part}_{name}": value for name, value in rank(network, examples, config).items()}
        curves.append(row)
        run.log(epoch=epoch, **row)
        run.save(
            {
                "epoch": epoch + 1,
                "curves": curves,
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "random": torch.get_rng_state(),
            }
        )

    last = {name: value for name, value in curves[-1].items() if name != "loss"}
    card = describe(config, trial, last)
    export_two_tower(network.eval(), card, run.folder / "ranker.onnx")
    correlation = pearson([row["loss"] for row in curves], [row["train_mean_rank"] for row in curves])
    return {
        # Missing where a curve is constant.
        "correlation": None if np.isnan(correlation) else correlation,
        "last": last,
        "labels": list(trial.labels),
        "curves": curves,
    }


def make_trial(data: Path, config: Config) -> Trial:
    """Return the queries and references of the trial, by the seed alone."""
    generator = epoch_generator(config.seed)
    loader = {"words": load_words, "imitations": load_imitations}[config.corpus]
    return draw_trial(loader(data, config.training_share, generator), config.n_classes, generator)


def features(trial: Trial) -> dict[str, Examples]:
    """Return the log-mel of both parts: queries at 16 kHz and 39 bands, references at 44.1 kHz and 128, 4 s each."""
    references = log_mel(trial.references, "iminet_reference")
    return {
        part: Examples(
            log_mel(queries, "iminet_imitation"),
            references,
            trial.query_class[part],
            trial.reference_class,
            trial.target[part],
        )
        for part, queries in trial.queries.items()
    }


def log_mel(records: Sequence[Record], name: str) -> Tensor:
    """Return the log-mel of the first four seconds, zeros behind a shorter recording, (n, n_frames, n_mels)."""
    frontend = LogMel(preset(name))
    window = IMINET_SECONDS * frontend.config.sample_rate
    made = []
    for record in records:
        samples = load(record.path, frontend.config.sample_rate)[0][:window]
        made.append(frontend(np.pad(samples, (0, window - len(samples)))))
    return torch.from_numpy(np.stack(made))


def make_network(config: Config) -> TwoTower:
    """Return the network with random weights."""
    return {"iminet": tl_iminet, "small": small_towers}[config.towers](config.dropout)


def describe(config: Config, trial: Trial, last: dict[str, float]) -> Any:
    """Return the card of the ranker."""
    words = config.corpus == "words"
    card = iminet_card(
        f"{config.corpus}-{config.towers}-{config.loss}",
        training_data=(
            f"{'words of Speech Commands v0.02, test files' if words else 'Vocal Imitation Set'}: "
            f"{', '.join(trial.labels)}; {len(trial.queries['train'])} queries, {len(trial.references)} references"
        ),
        licence="CC BY 4.0",
        attribution=(
            "Trained on Speech Commands v0.02, Google, CC BY 4.0" if words else "Trained on the Vocal Imitation Set"
        ),
        commit=commit(),
        metrics=last,
    )
    if config.towers == "iminet":
        return card
    assert card.query is not None
    return replace(card, embedding_size=SIZE, query=replace(card.query, embedding_size=SIZE))

"""The angular losses beside the pairwise losses of pytorch-metric-learning: ``python -m benchmarks.losses``.

Value and gradient of one batch of embeddings in float32, as a training step needs them; what a network costs comes on
top for all of them. Candidates run in turns in one process; the peers have their defaults, which take all pairs of the
batch, and the triplet loss all its triplets.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = ["sound-engine", "torch", "pytorch-metric-learning"]
PEERS = ("ContrastiveLoss", "MultiSimilarityLoss", "CircleLoss", "SupConLoss", "NTXentLoss", "TripletMarginLoss")
# All triplets of a larger batch, or all its positive pairs by all its negative ones, take gigabytes.
CUBIC = ("TripletMarginLoss", "NTXentLoss")
MOST_FOR_CUBIC = 128
REPEATS = 5
LIMIT_S = 60.0


def candidates(batch: int, size: int, n_classes: int) -> dict[str, Callable[[], float]]:
    """Return by name what computes value and gradient, and gives its seconds."""
    import torch
    from pytorch_metric_learning import losses as peers

    from training.losses.angular import (
        angular_distance_distribution,
        orthogonal_projection,
        soft_angular_distance_distribution,
    )

    generator = np.random.default_rng(0)
    embeddings = torch.from_numpy(generator.standard_normal((batch, size)).astype(np.float32)).requires_grad_()
    labels = torch.from_numpy(generator.integers(0, n_classes, batch))
    targets = torch.nn.functional.one_hot(labels, n_classes).float()

    def step(loss: Callable[..., Any], given: Any) -> float:
        embeddings.grad = None
        begin = time.perf_counter()
        for _ in range(REPEATS):
            loss(embeddings, given).backward()
        return (time.perf_counter() - begin) / REPEATS

    found = {
        "ADD": partial(step, angular_distance_distribution, labels),
        "ADD, soft labels": partial(step, soft_angular_distance_distribution, targets),
        "OPL": partial(step, orthogonal_projection, labels),
    }
    for name in PEERS:
        if name not in CUBIC or batch <= MOST_FOR_CUBIC:
            found[name] = partial(step, getattr(peers, name)(), labels)
    return found


def main() -> None:
    """Measure, print the table and write it to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[32, 128, 512])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    environment = report.peer_environment(options.threads)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    result = report.circumstances("benchmarks.losses", PACKAGES)
    times: dict[str, dict[int, report.Timing]] = {}
    for batch in options.batches:
        steps = candidates(batch, options.size, options.classes)
        for name, timing in report.round_robin(steps, options.rounds, LIMIT_S).items():
            times.setdefault(name, {})[batch] = timing
    lines = []
    for name, by_batch in times.items():
        cells = [name]
        for batch in options.batches:
            timing = by_batch.get(batch)
            cells.append("" if timing is None else f"{timing.minimum_s * 1e3:.2f} / {timing.median_s * 1e3:.2f}")
        lines.append(cells)
    result["milliseconds"] = {
        name: {batch: [timing.minimum_s * 1e3, timing.median_s * 1e3] for batch, timing in by_batch.items()}
        for name, by_batch in times.items()
    }
    title = f"value and gradient, {options.size} numbers, {options.classes} classes: minimum / median ms by batch"
    table = report.table(("", *map(str, options.batches)), lines)
    text = "\n\n".join([f"# Losses: {title}", report.heading(result), table])
    print(text)
    report.write("losses", result, text)


if __name__ == "__main__":
    main()

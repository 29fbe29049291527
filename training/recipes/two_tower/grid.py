"""The trials of the paper, and the test over them.

    python -m training two_tower run --data DIR --cells runs/two_tower [--grid reduced]
    python -m training two_tower report --cells runs/two_tower [-o PICTURE.png]

A cell is one trial under one loss and one schedule, a run directory of its own; finished ones are left alone and an
interrupted one goes on. ``report`` reads whatever is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.config import from_values
from training.grid import Cell, run_cells
from training.metrics import pearson, spread, wilcoxon
from training.recipes.two_tower import figures
from training.recipes.two_tower.config import Config
from training.recipes.two_tower.picture import draw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Trials = dict[tuple[str, str], dict[int, dict[str, Any]]]

N_TRIALS = 28
TRIPLET = ("triplet", "published")
FIRST = 5  # epoch, counted from 0
PAPER_P = 5.3e-6  # that of triplets as published against pairs as published
KINDS = (TRIPLET, ("pairwise", "published"), ("pairwise", "matched"))
# They take no part in the correlations, only in the ranks.
OTHERS = (("infonce", "matched"), ("semi_hard", "matched"))
N_OF_OTHERS = 8  # trials


def cells(grid: str, corpus: str, device: str = "cpu") -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each cell, trial by trial.

    Parameters
    ----------
    grid : str
        "paper": 28 trials of TL-IMINET, for an accelerator (``--device cuda``); "full": 28 trials of small towers, 20
        epochs; "reduced": six of 8 epochs. The first eight have the other losses as well.
    corpus : str
        As in the configuration.
    device : str
    """
    base = Config(corpus=corpus, device=device)
    if grid != "paper":
        small = {"query_encoder": "small_imitation", "reference_encoder": "small_recording"}
        base = replace(base, **small, once=True, epochs=20 if grid == "full" else 8)
    for seed in range(6 if grid == "reduced" else N_TRIALS):
        for loss, schedule in (*KINDS, *(OTHERS if seed < N_OF_OTHERS else ())):
            yield f"{corpus}_{loss}_{schedule}_{seed}", replace(base, seed=seed, loss=loss, schedule=schedule)


def collect(folder: Path) -> Trials:
    """Return the figures of the finished cells: of each loss and schedule, by seed."""
    found: Trials = defaultdict(dict)
    for path in sorted(folder.glob("*/metrics.json")):
        config = json.loads((path.parent / "config.json").read_text())
        found[config["loss"], config["schedule"]][config["seed"]] = json.loads(path.read_text())
    return found


def tables(folder: Path) -> str:
    """Return correlations and last ranks of each loss and schedule over trials, and the paired tests, as Markdown."""
    found = collect(folder)
    return "\n".join([*_correlations(found), "", *_tests(found), "", *_ranks(found), "", *_rank_tests(found)]) + "\n"


def _correlations(found: Trials) -> Iterator[str]:
    """Yield the table of the correlations; from ``FIRST`` on the steep fall of the first epochs is not in them."""
    yield (
        "| loss | schedule | steps an epoch | trials | correlation, median | quartiles | "
        f"from epoch {FIRST} on | of the unseen part |"
    )
    yield "|---|---|" + "---:|" * 6
    for (loss, schedule), trials in sorted(found.items()):
        steps = np.mean([trial["last"]["steps"] for trial in trials.values()])
        known = [value for value in correlations(trials).values() if not np.isnan(value)]
        quartiles = " to ".join(f"{value:.2f}" for value in np.percentile(known, [25, 75])) if known else "missing"
        shown = [_median(correlations(trials)), quartiles, _median(correlations(trials, first=FIRST))]
        shown.append(_median(correlations(trials, loss="validation_loss", rank="validation_mean_rank")))
        yield f"| {loss} | {schedule} | {steps:.1f} | {len(known)} | {' | '.join(shown)} |"


def _tests(found: Trials) -> Iterator[str]:
    for first in (0, FIRST):
        ours = correlations(found.get(TRIPLET, {}), first=first)
        for schedule in ("published", "matched"):
            theirs = correlations(found.get(("pairwise", schedule), {}), first=first)
            if both := sorted(ours.keys() & theirs.keys()):
                p, n = wilcoxon([ours[seed] for seed in both], [theirs[seed] for seed in both])
                higher = sum(ours[seed] > theirs[seed] for seed in both)
                paper = f"; the paper's {PAPER_P:g} of {N_TRIALS}" if schedule == "published" and not first else ""
                late = f", from epoch {first} on," if first else ""
                yield (
                    f"- triplet above pairwise ({schedule}){late} in {higher} of {n} trials with both correlations, "
                    f"p = {p:.2g}{paper}"
                )


def _ranks(found: Trials) -> Iterator[str]:
    yield (
        "| loss | schedule | trials | MRR, seen queries | MRR, unseen queries | among targets | mean rank, unseen | "
        "ties | seconds |"
    )
    yield "|---|---|" + "---:|" * 7
    for (loss, schedule), trials in sorted(found.items()):
        last = [trial["last"] for trial in trials.values()]
        shown = []
        for name in ("train_mrr", "validation_mrr", "validation_mrr_among_targets", "validation_mean_rank"):
            figure = spread([row[name] for row in last])
            shown += [f"{figure.mean:.3f}" + ("" if figure.std is None else f" ± {figure.std:.3f}")]
        shown.append(str(sum(row["validation_n_tied"] for row in last)))
        shown.append(f"{np.median([trial['seconds'] for trial in trials.values()]):.0f}")
        yield f"| {loss} | {schedule} | {len(trials)} | {' | '.join(shown)} |"


def _rank_tests(found: Trials) -> Iterator[str]:
    for kind in sorted(found.keys() - {TRIPLET}):
        if both := sorted(found[kind].keys() & found.get(TRIPLET, {}).keys()):
            ours, theirs = (
                np.array([found[each][seed]["last"]["validation_mrr_among_targets"] for seed in both])
                for each in (TRIPLET, kind)
            )
            p, n = wilcoxon(ours, theirs)
            yield (
                f"- triplet less {kind[0]} ({kind[1]}), MRR of unseen queries among targets: "
                f"{np.mean(ours - theirs):+.3f} over {n} trials, p = {p:.2g}"
            )


def correlations(
    trials: Mapping[int, Mapping[str, Any]], *, first: int = 0, loss: str = "loss", rank: str = "train_mean_rank"
) -> dict[int, float]:
    """Return the correlation of a loss with a rank in each trial, from an epoch on, NaN where it is missing."""
    return {
        seed: pearson([row[loss] for row in trial["curves"][first:]], [row[rank] for row in trial["curves"][first:]])
        for seed, trial in trials.items()
    }


def _median(values: Mapping[int, float]) -> str:
    known = [value for value in values.values() if not np.isnan(value)]
    return f"{np.median(known):.2f}" if known else "missing"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cells, or write the table of those that are finished; 0 done."""
    parser = argparse.ArgumentParser(prog="python -m training two_tower", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="train the cells that are not finished")
    runs.add_argument("--data", "--root", type=Path, required=True)
    runs.add_argument("--grid", choices=["paper", "full", "reduced"], default="full")
    runs.add_argument("--corpus", choices=["words", "imitations", "fsdd", "sounds"], default="words")
    runs.add_argument("--device", default="cpu", help="or cuda")
    runs.add_argument("--limit-s", type=float, metavar="SECONDS", help="start no cell later than this")
    report = verbs.add_parser("report", help="correlations, ranks and tests")
    report.add_argument("-o", "--output", type=Path, help="picture of curves and correlations, .png")
    for verb in (runs, report):
        verb.add_argument("--cells", type=Path, required=True, metavar="FOLDER", help="of the runs")
    options = parser.parse_args(arguments)
    if options.verb == "report":
        print(tables(options.cells), end="")
        if options.output:
            draw(collect(options.cells), options.output)
        return 0
    run_cells(
        options.cells,
        [Cell(name, asdict(config)) for name, config in cells(options.grid, options.corpus, options.device)],
        lambda run, values: figures(options.data, run, from_values(Config, values)),
        limit_s=options.limit_s,
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    return 0

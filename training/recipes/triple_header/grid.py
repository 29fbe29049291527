"""The cells of the report on triple-header cross entropy, and their tables and curves.

    python -m training triple_header run --data DIR --cells runs/triple_header [--grid reduced]
    python -m training triple_header report --cells runs/triple_header -o docs/papers/triple_header.png

A cell is one configuration and one seed, a run directory of its own; finished ones are left alone and an interrupted
one goes on. Started once per core, ``run`` divides the cells. ``report`` reads whatever is there, and says how many
seeds stand behind each figure.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ConfigError
from training.config import from_values
from training.grid import Cell, run_cells
from training.recipes.triple_header import figures
from training.recipes.triple_header.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RATIOS = {"6-1-2-16": (6, 1, 2, 16), "2-2-1-26": (2, 2, 1, 26)}
SEEDS = range(5)
# What the paper gives, EER in per cent, overall: its events are other sounds, its clips ten times as long.
PAPER = {
    ("6-1-2-16", "lstm"): {"baseline": 20.3, "proposed1": 18.5, "proposed2": 15.8},
    ("6-1-2-16", "cnn"): {"baseline": 8.7, "proposed1": 10.0, "proposed2": 8.5},
    ("2-2-1-26", "cnn"): {"baseline": 12.8, "proposed1": 12.4, "proposed2": 10.4},
}
# Each changes one choice of the first ratio's LSTM.
ABLATIONS: dict[str, dict[str, Any]] = {
    "alpha0-1": {"scale": 1.0},
    "alpha0-20": {"scale": 20.0},
    "reading-B": {"reading": "B"},
    "reading-C": {"reading": "C"},
    "reading-D": {"reading": "D"},
    "plain-clusters": {"balanced": False},
    "equal-weight": {"class_weight": "equal"},
    "direct-weight": {"class_weight": "direct"},
    "focal-baseline": {"embedding": "none", "weighted": False, "gamma": 2.0},
    "unweighted-baseline": {"embedding": "none", "weighted": False},
    # As many epochs as Proposed2 sees in all, to tell the method from the time it takes.
    "long-baseline": {"embedding": "none", "detector_epochs": 310, "patience": 310},
}
ABLATION_SEEDS = range(3)
# Clips of ESC-10 last five seconds: with 126 frames of them a cell takes about as long as one of words.
LONGER: dict[str, Any] = {"win_s": 0.08, "hop_s": 0.04}
COLOURS = {"baseline": "tab:gray", "proposed1": "tab:orange", "proposed2": "tab:blue"}
REDUCED: dict[str, Any] = {"outer_iterations": 2, "inner_epochs": 5, "last_epochs": 15, "most": 15}


def cells(grid: str, corpus: str) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each cell, those that say most first.

    Parameters
    ----------
    grid : str
        "full", "ablations", or "reduced": two seeds of the first ratio with fewer clips and epochs.
    corpus : str
        "keywords" or "esc10".
    """
    base = replace(Config(corpus=corpus), **(LONGER if corpus == "esc10" else {}))
    if grid == "ablations":
        for seed in ABLATION_SEEDS:
            for name, changes in ABLATIONS.items():
                yield f"{corpus}_{name}_{seed}", replace(base, seed=seed, **changes)
        return
    plans = [("lstm", "6-1-2-16"), ("lstm", "2-2-1-26"), ("cnn", "6-1-2-16"), ("cnn", "2-2-1-26")]
    for encoder, ratio in plans if grid == "full" else plans[:1]:
        for seed in SEEDS if grid == "full" else range(2):
            for embedding in ("none", "triple_header"):
                config = replace(base, seed=seed, encoder=encoder, ratio=RATIOS[ratio], embedding=embedding)
                if grid == "reduced":
                    config = replace(config, **REDUCED)
                yield f"{corpus}_{ratio}_{encoder}_{embedding}_{seed}", config


def run_grid(grid: str, corpus: str, data: Path, folder: Path) -> None:
    """Run the cells that are not finished, one after the other."""
    run_cells(
        folder,
        [Cell(name, asdict(config)) for name, config in cells(grid, corpus)],
        lambda run, values: figures(data, run, from_values(Config, values)),
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )


def collect(folder: Path) -> dict[tuple[str, ...], dict[str, list[float]]]:
    """Return the figures of all finished cells: of each (corpus, kind, encoder, detector) a list for each event."""
    found: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*/metrics.json")):
        config = json.loads((path.parent / "config.json").read_text())
        kind = path.parent.name.split("_")[1]
        for detector, scored in json.loads(path.read_text()).items():
            row = found[config["corpus"], kind, config["encoder"], detector]
            row["overall"].append(scored["overall"])
            for event, rate in scored["eer"].items():
                row[event].append(rate)
    return found


def tables(folder: Path) -> str:
    """Return the figures as Markdown: EER in per cent, mean and standard deviation over seeds, beside the paper's."""
    found = collect(folder)
    lines = []
    for corpus in sorted({key[0] for key in found}):
        events = [name for name in next(row for key, row in found.items() if key[0] == corpus) if name != "overall"]
        lines += ["", f"### {corpus}", "", f"| | encoder | detector | seeds | overall | {' | '.join(events)} | paper |"]
        lines.append("|" + "---|" * 3 + "---:|" * (len(events) + 3))
        for (_, kind, encoder, detector), row in sorted((k, r) for k, r in found.items() if k[0] == corpus):
            paper = PAPER.get((kind, encoder), {}).get(detector)
            shown = [in_per_cent(row[name]) for name in ("overall", *events)]
            shown_row = " | ".join([str(len(row["overall"])), *shown, "" if paper is None else f"{paper}"])
            lines.append(f"| {kind} | {encoder} | {detector} | {shown_row} |")
    return "\n".join(lines).strip() + "\n"


def in_per_cent(rates: Sequence[float]) -> str:
    """Return mean and standard deviation in per cent."""
    text = f"{100 * np.mean(rates):.1f}"
    return text + (f" ± {100 * np.std(rates, ddof=1):.1f}" if len(rates) > 1 else "")


def plot(folder: Path, path: Path) -> None:
    """Draw the DET curves of the cells of the full grid: a row for each ratio and encoder, a panel for each event."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = defaultdict(list)
    for run in sorted(folder.glob("*/metrics.json")):
        if (cell := re.fullmatch(r"(.+_(?:lstm|cnn))_(?:none|triple_header)_\d+", run.parent.name)) is not None:
            rows[cell[1]].append(json.loads(run.read_text()))
    if not rows:
        raise ConfigError(f"expected finished cells of the full grid in {folder}, got none; run them first")
    events = max((list(next(iter(runs[0].values()))["det"]) for runs in rows.values()), key=len)
    shape = (len(rows), len(events))
    figure, axes = plt.subplots(*shape, figsize=(4 * shape[1], 4 * shape[0]), sharex=True, sharey=True, squeeze=False)
    for row, (name, runs) in zip(axes, sorted(rows.items()), strict=True):
        for run_metrics in runs:
            for detector, scored in run_metrics.items():
                for axis, (event, curve) in zip(row, scored["det"].items(), strict=True):
                    _draw_curve(axis, curve, detector)
                    axis.set_title(f"{name.replace('_', ' ')}: {event}", fontsize=9)
        row[0].set_ylabel("misses, %")
    for axis in axes[-1]:
        axis.set_xlabel("false alarms, %")
    handles = {label: handle for handle, label in zip(*axes[0, 0].get_legend_handles_labels(), strict=True)}
    axes[0, 0].legend(handles.values(), handles.keys(), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _draw_curve(axis: Any, curve: Sequence[Sequence[float]], detector: str) -> None:
    """Draw false alarms and misses on axes of normal deviates, where Gaussian scores give a straight line."""
    from scipy.stats import norm

    ticks = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6])
    false_alarms, misses = (norm.ppf(np.clip(rates, 2e-3, 0.998)) for rates in curve)
    axis.plot(false_alarms, misses, color=COLOURS[detector], linewidth=0.8, label=detector)
    axis.plot([-3, 1], [-3, 1], color="black", linewidth=0.5, linestyle=":")
    axis.set(xticks=norm.ppf(ticks), yticks=norm.ppf(ticks))
    axis.set_xticklabels([f"{100 * t:g}" for t in ticks])
    axis.set_yticklabels([f"{100 * t:g}" for t in ticks])
    axis.set_xlim(norm.ppf(0.005), norm.ppf(0.7))
    axis.set_ylim(norm.ppf(0.005), norm.ppf(0.7))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cells, or write the tables and curves of those that are finished; 0 done."""
    parser = argparse.ArgumentParser(prog="python -m training triple_header", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="train the cells that are not finished")
    runs.add_argument("--data", type=Path, required=True)
    runs.add_argument("--grid", choices=["full", "ablations", "reduced"], default="full")
    runs.add_argument("--corpus", choices=["keywords", "esc10"], default="keywords")
    report = verbs.add_parser("report", help="tables and DET curves")
    report.add_argument("-o", "--output", type=Path, help="picture of the DET curves, .png; the tables are printed")
    for verb in (runs, report):
        verb.add_argument("--cells", type=Path, required=True, metavar="FOLDER", help="of the runs")
    options = parser.parse_args(arguments)
    if options.verb == "run":
        run_grid(options.grid, options.corpus, options.data, options.cells)
    else:
        print(tables(options.cells))
        if options.output:
            plot(options.cells, options.output)
    return 0

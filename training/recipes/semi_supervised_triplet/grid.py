"""Tables 2 and 3 of the paper: cells, figures beside the printed ones, and plots.

    python -m training semi_supervised_triplet --table 2 --root ESC10 --cells runs/triplets [--reduced]
    python -m training semi_supervised_triplet --table 2 --cells runs/triplets --report --plots docs/papers

A cell is one strategy, one number of triplets and one seed, in a run directory of its own; finished ones are left alone
and an interrupted one goes on. The tables hold whatever is finished, and say how many seeds stand behind each figure.
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

from engine.errors import ConfigError
from training.config import from_values
from training.grid import Cell, run_cells
from training.metrics import spread
from training.recipes.semi_supervised_triplet import figures
from training.recipes.semi_supervised_triplet.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STRATEGIES = ("S1", "S2", "S3", "S4", "S5")
BASELINES = ("crnn", "log_mel")
# Labelled and unlabelled anchors, in labelled segments: the paper's 31,560, 85,780 and 159,900 triplets of 15,780.
TABLE_2 = {"A": (1.0, 1.0), "B": (1.0, 70_000 / 15_780), "C": (1.0, 144_120 / 15_780)}
TABLE_3 = {"L1.5": (1.5, 0.5), "L1": (1.0, 1.0), "L0.75": (0.75, 1.25), "L0.5": (0.5, 1.5)}
# Macro F1 in per cent on 880 clips of DCASE 2018 task 4.
PAPER = {
    ("crnn", "A"): 49.61,
    ("log_mel", "A"): 35.29,
    **{(s, "A"): f for s, f in zip(STRATEGIES, (52.32, 54.35, 50.96, 42.47, 53.59), strict=True)},
    **{(s, "B"): f for s, f in zip(STRATEGIES, (51.44, 54.57, 46.13, 42.72, 51.85), strict=True)},
    **{(s, "C"): f for s, f in zip(STRATEGIES, (51.62, 52.27, 38.59, 42.19, 49.95), strict=True)},
    **{("S2", r): f for r, f in zip(TABLE_3, (55.16, 54.35, 47.3, 17.42), strict=True)},
    **{("S3", r): f for r, f in zip(TABLE_3, (51.58, 50.96, 30.02, 0.0), strict=True)},
}
# The stand-in has a thirteenth of the clips: half the frames, a sixth of the CNN, and a tagger with shorter sequences,
# smaller batches and larger steps, which makes up for the updates that it lacks.
SCENES: dict[str, Any] = {
    "hop_length": 882,
    "segment_frames": 48,
    "channels": (16, 32, 32),
    "tagger_pool": 8,
    "tagger_batch": 8,
    "tagger_learning_rate": 4e-3,
    "tagger_epochs": 80,
    "first_epochs": 15,
    "patience": 30,
}
REDUCED: dict[str, Any] = {"epochs": 2, "tagger_epochs": 40, "first_epochs": 10, "patience": 20, "evaluation": 120}


def cells(
    table: int, corpus: str, seeds: int, *, reduced: bool = False, columns: Sequence[str] = ()
) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each cell, all strategies of a seed before the next, small numbers first.

    Parameters
    ----------
    table : int
        2 or 3.
    corpus : str
    seeds : int
    reduced : bool
        The smallest number of triplets alone, fewer epochs and clips.
    columns : sequence of str
        Of the table: A, B and C, or L1.5 to L0.5; all by default.
    """
    base = Config(corpus=corpus, **(SCENES if corpus == "scenes" else {}))
    if reduced:
        base = replace(base, **REDUCED)
    ratios = TABLE_2 if table == 2 else TABLE_3
    chosen = columns or (list(ratios)[:1] if reduced and table == 2 else list(ratios))
    if unknown := set(chosen) - set(ratios):
        raise ConfigError(f"expected columns among {', '.join(ratios)}, got {sorted(unknown)}; choose some of them")
    for ratio in chosen:
        strategies = (*(BASELINES if ratio == "A" else ()), *STRATEGIES) if table == 2 else ("S2", "S3")
        for seed in range(seeds):
            for strategy in strategies:
                labelled, unlabelled = ratios[ratio]
                if strategy in (*BASELINES, "S4", "S5"):  # the same number of triplets, all of them labelled
                    labelled, unlabelled = labelled + unlabelled, 0.0
                config = replace(
                    base, seed=seed, strategy=strategy, labelled_anchors=labelled, unlabelled_anchors=unlabelled
                )
                kind = "reduced" if reduced else "full"
                yield f"{corpus}-{kind}_{ratio}_{strategy.replace('_', '-')}_{seed}", config


def collect(folder: Path) -> dict[tuple[str, str, str], list[float]]:
    """Return the macro F1 of the finished cells by corpus and kind, strategy and ratio."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*_*_*_*/metrics.json")):
        kind, ratio, strategy, _ = path.parent.name.split("_")
        found[kind, strategy.replace("-", "_"), ratio].append(float(json.loads(path.read_text())["macro_f1"]))
    return found


def tables(folder: Path, table: int) -> str:
    """Return Markdown: macro F1 in per cent, mean and standard deviation, the number of seeds, and the paper's."""
    found = collect(folder)
    ratios = TABLE_2 if table == 2 else TABLE_3
    lines = []
    for kind in sorted({key[0] for key in found}):
        shown = [ratio for ratio in ratios if any(key[0] == kind and key[2] == ratio for key in found)]
        if not shown:
            continue
        lines += ["", f"### {kind}", "", f"| | {' | '.join(f'{ratio} | paper' for ratio in shown)} |"]
        lines.append("|---|" + "---:|" * (2 * len(shown)))
        strategies = (*STRATEGIES, *BASELINES) if table == 2 else ("S2", "S3")
        for strategy in strategies:
            cells_of = []
            for ratio in shown:
                values, paper = found.get((kind, strategy, ratio), []), PAPER.get((strategy, ratio))
                cells_of.append(f"{in_per_cent(values)} | {'' if paper is None else paper}")
            lines.append(f"| {strategy} | {' | '.join(cells_of)} |")
    return "\n".join(lines).strip() + "\n"


def in_per_cent(values: Sequence[float]) -> str:
    """Return mean and standard deviation in per cent and the number of values; nothing for none."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{100 * values[0]:.1f} (1)"
    of = spread(values)
    return f"{100 * of.mean:.1f} ± {100 * of.std:.1f} ({len(values)})"


def plot_projection(folder: Path, path: Path, kind: str = "scenes-full") -> None:
    """Draw figure 2: t-SNE of the evaluation clips' embeddings by strategy, the three classes with the best F1.

    Of the first seed and the smallest number of triplets; clips with exactly one of the three.
    """
    plt = _pyplot()
    from sklearn.manifold import TSNE

    runs = [(s, folder / f"{kind}_A_{s}_0") for s in STRATEGIES if (folder / f"{kind}_A_{s}_0/metrics.json").exists()]
    figure, axes = plt.subplots(1, len(runs), figsize=(3.2 * len(runs), 3.4), squeeze=False)
    for (strategy, run), axis in zip(runs, axes[0], strict=True):
        f1 = json.loads((run / "metrics.json").read_text())["f1"]
        labels, best = list(f1), sorted(f1, key=f1.__getitem__)[-3:]
        columns = [labels.index(label) for label in best]
        with np.load(run / "evaluation.npz") as arrays:
            targets, embeddings = arrays["targets"][:, columns], arrays["embeddings"]
        one = targets.sum(axis=1) == 1
        points = TSNE(random_state=0, perplexity=min(20.0, one.sum() / 4)).fit_transform(embeddings[one])
        for column, label in enumerate(best):
            there = targets[one][:, column] == 1
            axis.scatter(*points[there].T, s=8, label=f"{label} {f1[label]:.2f}")
        axis.set(title=strategy, xticks=[], yticks=[])
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_shares(folder: Path, path: Path, kind: str = "scenes-full") -> None:
    """Draw F1 against the share of labelled triplets, of all cells with unlabelled anchors that are finished."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(6, 4))
    found = collect(folder)
    for strategy in ("S1", "S2", "S3"):
        points = []
        for ratio, (labelled, unlabelled) in (TABLE_2 | TABLE_3).items():
            if values := found.get((kind, strategy, ratio)):
                points.append((100 * labelled / (labelled + unlabelled), np.mean(values), np.std(values)))
        if points:
            shares, means, deviations = zip(*sorted(points), strict=True)
            axis.errorbar(
                shares, 100 * np.array(means), 100 * np.array(deviations), marker="o", capsize=3, label=strategy
            )
    axis.set(xlabel="triplets with a labelled anchor, %", ylabel="macro F1, %")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cells of a table that are not finished, and print the table; 0 done."""
    parser = argparse.ArgumentParser(prog="python -m training semi_supervised_triplet", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--table", type=int, choices=[2, 3], required=True)
    parser.add_argument("--root", "--data", type=Path, metavar="DIR", help="ESC-10, or DCASE 2018 with --corpus")
    parser.add_argument("--cells", type=Path, required=True, metavar="FOLDER", help="of the runs")
    parser.add_argument("--corpus", choices=["scenes", "dcase2018"], default="scenes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--reduced", action="store_true", help="one seed, few triplets: under 15 minutes on one core")
    parser.add_argument("--columns", nargs="+", default=[], help="of the table; all by default")
    parser.add_argument("--limit-s", type=float, metavar="SECONDS", help="start no cell later than this")
    parser.add_argument("--report", action="store_true", help="train nothing, print what is finished")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw the embeddings and the shares there")
    options = parser.parse_args(arguments)
    if not options.report:
        if options.root is None:
            parser.error("expected --root, the folder of the data set, got none; or --report")
        seeds = 1 if options.reduced else options.seeds
        made = cells(options.table, options.corpus, seeds, reduced=options.reduced, columns=options.columns)
        run_cells(
            options.cells,
            [Cell(name, asdict(config)) for name, config in made],
            lambda run, values: figures(options.root, run, from_values(Config, values)),
            limit_s=options.limit_s,
            echo=lambda line: print(line, file=sys.stderr, flush=True),
        )
    print(tables(options.cells, options.table))
    if options.plots:
        plot_projection(options.cells, options.plots / "semi_supervised_triplet_tsne.png")
        plot_shares(options.cells, options.plots / "semi_supervised_triplet_shares.png")
    return 0

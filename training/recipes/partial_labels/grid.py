"""The cells of the report on partial labels, their tables and plots.

    python -m training partial_labels run --data DIR --cells runs/partial --corpus scenes --sequences MODEL.onnx
    python -m training partial_labels report --cells runs/partial [--plots docs/papers]

A cell is one method, one share of hidden labels, one way of hiding and one seed; finished ones are left alone.
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

from engine import Tagger
from training.config import from_values
from training.grid import Cell, run_cells
from training.metrics import f1_per_label, spread
from training.recipes.partial_labels import figures
from training.recipes.partial_labels.config import METHODS, Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEEDS = 5
SHARES = (0.1, 0.2, 0.4, 0.8)
# Rare labels are hidden more often on the scenes only, where every label is known.
RARE_SHARES = (0.4, 0.8)
# The paper's settings of each data set.
CORPORA: dict[str, dict[str, Any]] = {
    "openmic2018": {"learning_rate": 1e-3, "percentiles": (10.0,)},
    "sonyc_ust": {"layers": 1, "decay": 0.99, "percentiles": (95.0,)},
    "audioset_vggish": {"percentiles": (50.0, 80.0, 95.0), "epochs": 50, "halve_every": 15},
    "scenes": {
        "layers": 1,
        "dropout": 0.3,
        "decay": 0.99,
        "percentiles": (50.0, 80.0, 95.0),
        "epochs": 50,
        "halve_every": 15,
    },
}
FIGURES = ("two_sided_f1", "macro_f1", "tuned_macro_f1", "macro_auprc", "micro_auprc")


def cells(corpus: str, sequences: str, *, reduced: bool = False) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each cell, a seed of everything before the next.

    Parameters
    ----------
    corpus : str
    sequences : str
        As the field of the configuration.
    reduced : bool
        Two seeds and fewer epochs.
    """
    base = Config(corpus=corpus, sequences=sequences, **CORPORA[corpus])
    if reduced:
        base = replace(base, epochs=30, halve_every=10)
    hidings = [(share, "random") for share in SHARES]
    if corpus == "scenes":
        hidings += [(share, "rare") for share in RARE_SHARES]
    for seed in range(2 if reduced else SEEDS):
        for share, way in [(0.0, "random"), *hidings]:
            for method in METHODS:
                kind = "reduced" if reduced else "full"
                name = f"{corpus.replace('_', '-')}-{kind}_{way}_{share:g}_{method.replace('_', '+')}_{seed}"
                yield name, replace(base, seed=seed, dropped=share, hidden=way, method=method)


def collect(folder: Path) -> dict[tuple[str, str, str, str], list[dict[str, Any]]]:
    """Return the metrics of the finished cells by corpus, way of hiding, share and method."""
    found = defaultdict(list)
    for path in sorted(folder.glob("*_*_*_*_*/metrics.json")):
        corpus, way, share, method, _ = path.parent.name.split("_")
        found[corpus, way, share, method.replace("+", "_")].append(json.loads(path.read_text()))
    return found


def tables(folder: Path, figure: str = "macro_auprc") -> str:
    """Return Markdown: one figure in per cent by share of hidden labels and method, mean and deviation over seeds."""
    found = collect(folder)
    lines = []
    for corpus, way in sorted({key[:2] for key in found}):
        shares = sorted({key[2] for key in found if key[:2] == (corpus, way)}, key=float)
        lines += ["", f"### {corpus}, hidden {way}: {figure}", "", f"| hidden | {' | '.join(METHODS)} |"]
        lines.append("|---:|" + "---:|" * len(METHODS))
        for share in shares:
            row = [
                in_per_cent([cell["student"][figure] for cell in found.get((corpus, way, share, method), [])])
                for method in METHODS
            ]
            lines.append(f"| {100 * float(share):g} % | {' | '.join(row)} |")
    return "\n".join(lines).strip() + "\n"


def pruning_table(folder: Path) -> str:
    """Return Markdown: how well label enhancing found the positives among hidden labels, means over seeds."""
    lines = ["| corpus | hidden | method | share | percentile | precision | recall | positives among hidden |"]
    lines.append("|---|---|---|---:|---:|---:|---:|---:|")
    for (corpus, way, share, method), runs in sorted(collect(folder).items()):
        rows = [run["pruning"] for run in runs if run.get("pruning") and run["pruning"]["hidden"]]
        if not rows:
            continue
        means = [
            np.mean([row[name] for row in rows if row[name] is not None] or [np.nan])
            for name in ("percentile", "precision", "recall")
        ]
        base = np.mean([row["hidden_positives"] / row["hidden"] for row in rows])
        shown = f"{means[0]:.0f} | {means[1]:.2f} | {means[2]:.2f} | {base:.2f}"
        lines.append(f"| {corpus} | {way} | {method} | {100 * float(share):g} % | {shown} |")
    return "\n".join(lines) + "\n"


def per_label_table(folder: Path) -> str:
    """Return Markdown: F1 of each label at its tuned threshold, per cent, most labels hidden; means over seeds."""
    lines = []
    found = collect(folder)
    for corpus, way in sorted({key[:2] for key in found}):
        share = max((key[2] for key in found if key[:2] == (corpus, way)), key=float)
        f1, positives = {}, {}
        for method in METHODS:
            name = f"{corpus}_{way}_{share}_{method.replace('_', '+')}_*"
            runs = [_f1_per_label(path.parent) for path in sorted(folder.glob(f"{name}/metrics.json"))]
            for label in {label for run in runs for label in run}:
                f1[label, method] = [run[label][0] for run in runs]
                positives[label] = np.mean([run[label][1] for run in runs])
        lines += ["", f"### {corpus}, {100 * float(share):g} % hidden {way}: F1 of each label", ""]
        lines += [f"| label | in the test | {' | '.join(METHODS)} |", "|---|---:|" + "---:|" * len(METHODS)]
        for label in sorted(positives, key=lambda label: (-positives[label], label)):
            row = " | ".join(in_per_cent(f1.get((label, method), [])) for method in METHODS)
            lines.append(f"| {label} | {positives[label]:.0f} | {row} |")
    return "\n".join(lines).strip() + "\n"


def _f1_per_label(run: Path) -> dict[str, tuple[float, int]]:
    """Return each label's F1 at its model's threshold, and its positives in the test, among the known entries."""
    with Tagger(run / "model.onnx", device="cpu", threads=1) as tagger:
        labels, thresholds = tagger.card.labels, tagger.card.thresholds
    with np.load(run / "test.npz") as arrays:
        given, targets, known = arrays["scores"], arrays["targets"], arrays["known"]
    f1 = f1_per_label(given - np.array([thresholds[label] for label in labels]) + 0.5, targets, known)
    return {label: (float(f1[i]), int((targets[:, i] * known[:, i]).sum())) for i, label in enumerate(labels)}


def in_per_cent(values: Sequence[float]) -> str:
    """Return mean and standard deviation in per cent and the number of values; nothing for none."""
    if not values:
        return ""
    of = spread(values)
    text = f"{100 * of.mean:.1f}" + (f" ± {100 * of.std:.1f}" if of.std is not None else "")
    return f"{text} ({of.n})"


def plot(folder: Path, path: Path, figure: str = "macro_auprc") -> None:
    """Draw figures 4 and 5: box plots of one figure over the seeds, by share of hidden labels and method."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = collect(folder)
    groups = sorted({key[:2] for key in found})
    drawn, axes = plt.subplots(1, len(groups), figsize=(6 * len(groups), 4), squeeze=False)
    for (corpus, way), axis in zip(groups, axes[0], strict=True):
        shares = sorted({key[2] for key in found if key[:2] == (corpus, way)}, key=float)
        for number, method in enumerate(METHODS):
            values = [
                [cell["student"][figure] for cell in found.get((corpus, way, share, method), [])] for share in shares
            ]
            places = np.arange(len(shares)) + (number - 2) * 0.16
            boxes = axis.boxplot(values, positions=places, widths=0.13, patch_artist=True, manage_ticks=False)
            for box in boxes["boxes"]:
                box.set_facecolor(f"C{number}")
            axis.plot([], [], color=f"C{number}", linewidth=6, label=method)
        axis.set_xticks(range(len(shares)), [f"{100 * float(share):g} %" for share in shares])
        axis.set(title=f"{corpus}, hidden {way}", xlabel="labels hidden", ylabel=figure)
        axis.legend(fontsize=7)
    drawn.tight_layout()
    drawn.savefig(path, dpi=110)
    plt.close(drawn)


def plot_attention(run: Path, path: Path) -> None:
    """Draw the attention and the scores over time of the clip that a run kept, the labels that are there in bold."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    labels = list(json.loads((run / "metrics.json").read_text())["f1"])
    with np.load(run / "test.npz") as arrays:
        panels = {"attention": arrays["attention"], "score": arrays["over_time"]}
        there = arrays["targets"][int(arrays["clip"])] == 1
    drawn, axes = plt.subplots(1, 2, figsize=(11, 1 + 0.28 * len(labels)), sharey=True)
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        shown = axis.imshow(values, aspect="auto", vmin=0, cmap="viridis")
        axis.set(title=title, xlabel="step")
        drawn.colorbar(shown, ax=axis)
    axes[0].set_yticks(range(len(labels)), labels)
    for tick, present in zip(axes[0].get_yticklabels(), there, strict=True):
        tick.set_fontweight("bold" if present else "normal")
    drawn.tight_layout()
    drawn.savefig(path, dpi=110)
    plt.close(drawn)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cells that are not finished, or write the tables and the plot of those that are; 0 done."""
    parser = argparse.ArgumentParser(prog="python -m training partial_labels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="train the cells that are not finished")
    runs.add_argument("--data", type=Path, required=True)
    runs.add_argument("--corpus", choices=list(CORPORA), required=True)
    runs.add_argument("--sequences", default="", help="of sonyc_ust and scenes")
    runs.add_argument("--reduced", action="store_true")
    runs.add_argument("--limit-s", type=float, metavar="SECONDS", help="start no cell later than this")
    report = verbs.add_parser("report", help="tables and box plots")
    report.add_argument("--figure", choices=FIGURES, default="macro_auprc")
    report.add_argument("-o", "--output", type=Path, help="picture of the box plots, .png")
    report.add_argument("--attention", nargs=2, type=Path, metavar=("RUN", "FILE"), help="of a clip of a run, .png")
    for verb in (runs, report):
        verb.add_argument("--cells", type=Path, required=True, metavar="FOLDER", help="of the runs")
    options = parser.parse_args(arguments)
    if options.verb == "run":
        made = cells(options.corpus, options.sequences, reduced=options.reduced)
        run_cells(
            options.cells,
            [Cell(name, asdict(config)) for name, config in made],
            lambda run, values: figures(options.data, run, from_values(Config, values)),
            limit_s=options.limit_s,
            echo=lambda line: print(line, file=sys.stderr, flush=True),
        )
        return 0
    print(tables(options.cells, options.figure))
    print(pruning_table(options.cells))
    print(per_label_table(options.cells))
    if options.output:
        plot(options.cells, options.output, options.figure)
    if options.attention:
        plot_attention(*options.attention)
    return 0

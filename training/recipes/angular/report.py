"""Tables and figure of the report on the angular losses, from the cells that are finished."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ConfigError
from training.metrics import wilcoxon

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOMENTS = ("mu_p", "sigma_p", "mu_n", "sigma_n")
# The paper's accuracy, per cent: three repetitions from published weights.
PAPER: dict[tuple[str, str], dict[str, str]] = {
    ("esc50", "ast"): {
        "ce": "93.97 ± 0.21",
        "focal": "94.40 ± 0.36",
        "opl_scaled": "94.11 ± 0.37",
        "add": "94.68 ± 0.09",
        "add_1000": "94.35 ± 0.23",
        "add_0100": "94.58 ± 0.38",
        "add_0010": "94.32 ± 0.13",
        "add_0001": "94.42 ± 0.18",
        "add_1010": "94.17 ± 0.26",
    },
    ("esc50", "beats"): {
        "ce": "91.05 ± 0.41",
        "focal": "91.10 ± 0.49",
        "opl_scaled": "91.50 ± 0.20",
        "add": "92.22 ± 0.06",
    },
    ("keywords", "ast"): {"ce": "92.05 ± 0.04", "add": "97.54 ± 0.06"},
    ("keywords", "beats"): {"ce": "88.94 ± 0.13", "add": "90.49 ± 0.16"},
    ("iemocap", "ast"): {
        "ce": "59.91 ± 0.60",
        "focal": "60.79 ± 0.16",
        "opl_scaled": "60.53 ± 0.42",
        "add": "61.30 ± 0.38",
    },
    ("iemocap", "beats"): {
        "ce": "61.66 ± 0.31",
        "focal": "62.17 ± 0.05",
        "opl_scaled": "63.06 ± 0.32",
        "add": "62.73 ± 0.17",
    },
}


@dataclass
class Row:
    """The finished cells of one corpus, encoder and loss: their metrics by seed."""

    seeds: dict[int, dict[str, Any]] = field(default_factory=dict)

    def accuracies(self) -> list[float]:
        """Return the accuracy of each seed, the mean of its folds."""
        return [self.seeds[seed]["accuracy"] for seed in sorted(self.seeds)]

    def by_fold(self) -> dict[tuple[int, str], float]:
        """Return the accuracy of each seed and fold."""
        return {
            (seed, name): fold["accuracy"]
            for seed, metrics in self.seeds.items()
            for name, fold in metrics["folds"].items()
        }


@dataclass(frozen=True)
class Paired:
    """One loss against another over the seeds and folds that both have.

    Attributes
    ----------
    n_seeds, n_pairs : int
        Pairs of one seed and fold: the same clips, the same random start.
    difference : float
        Mean over pairs.
    effect : float
        Of the seeds' differences, mean over standard deviation (Cohen's d_z); NaN for a single seed or no spread.
    p : float
        Wilcoxon's signed-rank test over the pairs. Folds come again with each seed, so the pairs are not independent,
        and the value flatters.
    p_seeds : float
        The same over the seeds; with five it cannot fall below 0.0625.
    """

    n_seeds: int
    n_pairs: int
    difference: float
    effect: float
    p: float
    p_seeds: float


def collect(folder: Path) -> dict[tuple[str, str], dict[str, Row]]:
    """Return the finished cells of each (corpus, encoder) by loss, in the order of their names."""
    found: dict[tuple[str, str], dict[str, Row]] = defaultdict(lambda: defaultdict(Row))
    for path in sorted(folder.glob("*_*_*_*/metrics.json")):
        corpus, encoder, *loss, seed = path.parent.name.split("_")
        found[corpus, encoder]["_".join(loss)].seeds[int(seed)] = json.loads(path.read_text())
    if not found:
        raise ConfigError(f"expected finished cells in {folder}, got none; run them first")
    return {key: dict(sorted(rows.items(), key=lambda item: (item[0] != "ce", item[0]))) for key, rows in found.items()}


def compare(row: Row, reference: Row) -> Paired | None:
    """Return how ``row`` differs from ``reference``; None where they share no seed."""
    one, other = row.by_fold(), reference.by_fold()
    pairs = sorted(one.keys() & other.keys())
    if not pairs:
        return None
    differences = np.array([one[pair] - other[pair] for pair in pairs])
    seeds = sorted({seed for seed, _ in pairs})
    by_seed = np.array(
        [np.mean([d for d, pair in zip(differences, pairs, strict=True) if pair[0] == s]) for s in seeds]
    )
    spread = by_seed.std(ddof=1) if len(seeds) > 1 else 0.0
    return Paired(
        len(seeds),
        len(pairs),
        float(differences.mean()),
        float(by_seed.mean() / spread) if spread > 0 else float("nan"),
        wilcoxon(differences, np.zeros(len(differences)))[0],
        wilcoxon(by_seed, np.zeros(len(by_seed)))[0],
    )


def tables(folder: Path) -> str:
    """Return accuracy with spread and paired tests, and the four moments, as Markdown."""
    lines = []
    for (corpus, encoder), rows in collect(folder).items():
        lines += ["", f"### {corpus}, {encoder}", ""]
        theirs = PAPER.get((corpus, encoder))
        spoken = any("accuracy_without_silence" in metrics for row in rows.values() for metrics in row.seeds.values())
        lines.append(
            f"| loss | seeds | accuracy, % |{' without silence, % |' if spoken else ''} less ce, points | effect (d_z) "
            f"| p, seed and fold | p, seed |{' paper, % |' if theirs else ''}"
        )
        lines.append("|---|" + "---:|" * (6 + bool(spoken) + bool(theirs)))
        for loss, row in rows.items():
            reference = rows.get("ce") if not loss.startswith("mixup") else rows.get("mixup_bce")
            shown = [loss, str(len(row.seeds)), in_per_cent(row.accuracies())]
            if spoken:
                shown.append(in_per_cent([m["accuracy_without_silence"] for m in row.seeds.values()]))
            paired = compare(row, reference) if reference is not None and reference is not row else None
            shown += _tested(paired) + ([theirs.get(loss, "")] if theirs else [])
            lines.append("| " + " | ".join(shown) + " |")
        lines += ["", "Moments on the clips that were left out:", ""]
        lines += ["| loss | " + " | ".join(MOMENTS) + " |", "|---|" + "---:|" * 4]
        lines.append(_moments_row("before training", rows.values(), "before"))
        lines += [_moments_row(loss, [row], "after") for loss, row in rows.items()]
    return "\n".join(lines).strip() + "\n"


def _tested(paired: Paired | None) -> list[str]:
    if paired is None:
        return [""] * 4
    return [
        f"{100 * paired.difference:+.2f}",
        "" if np.isnan(paired.effect) else f"{paired.effect:+.2f}",
        f"{paired.p:.3f} (n = {paired.n_pairs})",
        f"{paired.p_seeds:.3f}" if paired.n_seeds > 1 else "",
    ]


def _moments_row(name: str, rows: Any, when: str) -> str:
    values = {moment: [m[when][moment] for row in rows for m in row.seeds.values()] for moment in MOMENTS}
    return f"| {name} | " + " | ".join(_spread(values[moment], 3) for moment in MOMENTS) + " |"


def in_per_cent(values: Sequence[float]) -> str:
    """Return mean and standard deviation in per cent."""
    return _spread([100 * value for value in values], 2)


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{np.mean(values):.{digits}f}"
    return text + (f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "")


def plot(folder: Path, path: Path, losses: tuple[str, str] = ("ce", "add")) -> None:
    """Draw the paper's figure 5: mean and coefficient of variation of the distances of each pair of classes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = {corpus: rows for (corpus, encoder), rows in collect(folder).items() if encoder == "residual"}
    corpora = [corpus for corpus, rows in found.items() if all(loss in rows for loss in losses)]
    if not corpora:
        raise ConfigError(f"expected finished cells of {' and '.join(losses)} in {folder}, got none; run them first")
    figure, axes = plt.subplots(len(corpora), 4, figsize=(16, 4.2 * len(corpora)), squeeze=False)
    for line, corpus in zip(axes, corpora, strict=True):
        panels = [(loss, which) for which in ("mean", "variation") for loss in losses]
        for axis, (loss, which) in zip(line, panels, strict=True):
            values = pair_geometry(folder, corpus, loss)[which]
            image = axis.imshow(values, vmin=0, vmax=1.5, cmap="viridis")
            title = "mean of d" if which == "mean" else "deviation of d over its mean"
            axis.set(title=f"{corpus}, {loss}: {title}", xlabel="class", ylabel="class")
            figure.colorbar(image, ax=axis, fraction=0.046)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def pair_geometry(folder: Path, corpus: str, loss: str) -> Mapping[str, NDArray[np.float64]]:
    """Return "mean" and "variation" of each pair of classes, (n_classes, n_classes), over the folds of all seeds.

    NaN where no fold has such a pair of clips.
    """
    seeds = collect(folder)[corpus, "residual"][loss].seeds
    stored = [np.load(folder / f"{corpus}_residual_{loss}_{seed}" / "test.npz") for seed in seeds]
    figures = {}
    for name in ("mean", "variation"):
        values = np.concatenate([arrays[name] for arrays in stored])
        known = (~np.isnan(values)).sum(axis=0)
        figures[name] = np.nansum(values, axis=0) / np.where(known, known, np.nan)
    return figures

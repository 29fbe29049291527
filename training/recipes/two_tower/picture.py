"""Figure 2 of the paper, loss and rank over the epochs of one trial, and the box plot of the correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Trials = Mapping[tuple[str, str], Mapping[int, Mapping[str, Any]]]


def typical(found: Trials, kinds: list[tuple[str, str]]) -> int | None:
    """Return the seed of the trial whose correlations lie closest to the means over all trials, as in figure 2."""
    rows: dict[int, list[float]] = {}
    for seed in sorted(set.intersection(*(set(found[kind]) for kind in kinds))):
        values = [found[kind][seed]["correlation"] for kind in kinds]
        if None not in values:
            rows[seed] = values
    if not rows:
        return None
    table = np.array(list(rows.values()))
    return list(rows)[int(np.abs(table - table.mean(axis=0)).sum(axis=1).argmin())]


def draw(found: Trials, path: Path) -> None:
    """Write both figures into one picture.

    Parameters
    ----------
    found : mapping of (loss, schedule) to mapping of seed to metrics
        As the runs wrote them.
    path : Path
        .png
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    kinds = [kind for kind in sorted(found, reverse=True) if kind[0] in ("triplet", "pairwise")]
    seed = typical(found, kinds) if kinds else None
    figure, axes = plt.subplots(1, len(kinds) + 1, figsize=(4.2 * (len(kinds) + 1), 3.8), squeeze=False)
    for (loss, schedule), axis in zip(kinds, axes[0], strict=False):
        axis.set_title(f"{loss}, {schedule}" + ("" if seed is None else f"; trial {seed}"), fontsize=10)
        axis.set_xlabel("epoch")
        if seed is None:
            continue
        curves = found[loss, schedule][seed]["curves"]
        for name, line in (("loss", "-"), ("validation_loss", "--")):
            axis.plot([row[name] for row in curves], f"C0{line}", label=name.replace("_", " "))
        other = axis.twinx()
        for name, line in (("train_mean_rank", "-"), ("validation_mean_rank", "--")):
            other.plot([row[name] for row in curves], f"C1{line}", label=name.replace("_", " "))
        axis.set_ylabel("loss", color="C0")
        other.set_ylabel("mean rank", color="C1")
        lines = [*axis.get_lines(), *other.get_lines()]
        axis.legend(lines, [str(line.get_label()) for line in lines], fontsize=6)
    values = [
        [trial["correlation"] for trial in found[kind].values() if trial["correlation"] is not None] for kind in kinds
    ]
    axes[0, -1].boxplot(values, tick_labels=[f"{loss}\n{schedule}" for loss, schedule in kinds])
    axes[0, -1].set_title("correlation of loss and mean rank", fontsize=10)
    axes[0, -1].set_ylim(-1, 1.02)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)

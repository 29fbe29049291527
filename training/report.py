"""Figures of many runs: mean, standard deviation and 95 % interval over seeds, one row per configuration."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError
from training.metrics import Spread, spread
from training.run import read_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """The runs of one configuration.

    Attributes
    ----------
    config : mapping
        The fields in which the rows of the report differ.
    runs : tuple of str
        Folder names of its finished runs.
    metrics : mapping of str to Spread
        Every number of their metrics, nested names joined by dots; a figure that is missing in a run is left out of
        its mean, as ``Spread.n`` tells.
    """

    config: Mapping[str, Any]
    runs: tuple[str, ...]
    metrics: Mapping[str, Spread]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        metrics = {name: asdict(figure) for name, figure in self.metrics.items()}
        return {"config": dict(self.config), "runs": list(self.runs), "metrics": metrics}


@dataclass(frozen=True)
class Report:
    """Rows in the order of their first runs, and the folders of runs that are not finished."""

    rows: tuple[Row, ...]
    unfinished: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"rows": [row.to_dict() for row in self.rows], "unfinished": list(self.unfinished)}

    def to_text(self, metrics: Sequence[str] = ()) -> str:
        """Return a table: configuration, number of runs, mean, standard deviation and interval of each figure.

        Parameters
        ----------
        metrics : sequence of str
            The figures to show; all of them by default.

        Raises
        ------
        ConfigError
            For a figure that no run has.
        """
        there = list(dict.fromkeys(name for row in self.rows for name in row.metrics))
        if unknown := sorted(set(metrics) - set(there)):
            raise ConfigError(f"expected figures of {there}, got {unknown}; name one of these")
        lines = [("configuration", "figure", "runs", "mean", "std", "95 % interval")]
        for row in self.rows:
            config = " ".join(f"{name}={value}" for name, value in row.config.items()) or "-"
            shown = {name: row.metrics[name] for name in metrics or there if name in row.metrics}
            lines += [(config, name, str(figure.n), *_cells(figure)) for name, figure in shown.items()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


def report(folders: Sequence[Path]) -> Report:
    """Read runs, and folders of runs such as grids, and gather those that differ only in their seed.

    Raises
    ------
    ConfigError
        When a folder is no run and holds none.
    """
    finished: dict[str, list[tuple[dict[str, Any], str, dict[str, float]]]] = {}
    unfinished = []
    for folder in (run for given in folders for run in runs_in(given)):
        config = {name: value for name, value in read_config(folder).items() if name != "seed"}
        if not (folder / "metrics.json").exists():
            unfinished += [folder.name]
            continue
        metrics = dict(numbers(json.loads((folder / "metrics.json").read_text())))
        finished.setdefault(json.dumps(config, sort_keys=True), []).append((config, folder.name, metrics))
    configs = [group[0][0] for group in finished.values()]
    telling = [
        name
        for name in dict.fromkeys(name for config in configs for name in config)
        if any(config.get(name) != configs[0].get(name) for config in configs)
    ]
    rows = []
    for group in finished.values():
        names = dict.fromkeys(name for _, _, metrics in group for name in metrics)
        rows.append(
            Row(
                {name: group[0][0].get(name) for name in telling},
                tuple(name for _, name, _ in group),
                {name: spread([metrics[name] for _, _, metrics in group if name in metrics]) for name in names},
            )
        )
    return Report(tuple(rows), tuple(unfinished))


def runs_in(folder: Path) -> list[Path]:
    """Return the folder itself where it is a run, else the runs directly in it; ConfigError when there are none."""
    if (folder / "config.json").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/config.json"))
    if not found:
        raise ConfigError(f"expected a run or a folder of runs, got {folder}; name what --run was given")
    return found


def numbers(values: Any, name: str = "") -> list[tuple[str, float]]:
    """Return every finite number in nested mappings under its dotted name; lists, texts and flags are left out."""
    if isinstance(values, dict):
        return [pair for key, value in values.items() for pair in numbers(value, f"{name}.{key}" if name else key)]
    if isinstance(values, bool) or not isinstance(values, (int, float)) or not math.isfinite(values):
        return []
    return [(name, float(values))]


def _cells(figure: Spread) -> tuple[str, str, str]:
    if figure.std is None:
        return f"{figure.mean:.4g}", "-", "-"
    return f"{figure.mean:.4g}", f"{figure.std:.2g}", f"{figure.low:.4g} to {figure.high:.4g}"

"""Grids of experiments: many small runs in one folder, of which the finished ones are never repeated.

A cell is one configuration with one seed, and has one run directory, ``FOLDER/NAME``. An interrupted grid goes on
where it stopped: finished cells are skipped, an interrupted one goes on from its checkpoint. The same command started
once per core divides the cells: one that another process is at is left to it. ``training.report`` reads the folder,
finished or not.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError
from training.run import BusyError, Run, alone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes
    ----------
    name : str
        Of its run directory: letters, digits and ``. _ = + -``, as ``s2-31560-seed0``.
    config : Mapping
        The JSON values that decide its result. Cells that differ only in ``seed`` are one row of a report.
    """

    name: str
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Refuse names that are no plain folder name."""
        if NAME.fullmatch(self.name) is None:
            raise ConfigError(
                f"expected a cell's name of letters, digits and ._=+-, got {self.name!r}; it names a folder"
            )


def run_cells(
    folder: Path,
    cells: Sequence[Cell],
    function: Callable[[Run, Mapping[str, Any]], Mapping[str, Any]],
    *,
    limit_s: float | None = None,
    echo: Callable[[str], object] | None = None,
) -> list[Path]:
    """Run the cells that are neither finished nor another process's, in order.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    cells : sequence of Cell
    function : callable
        Called with the cell's run and configuration; returns its metrics, which are then written. It may save
        checkpoints into the run and is expected to go on from ``run.load()``.
    limit_s : float, optional
        No cell is started later than this many seconds after the call; one that has started is not cut short.
    echo : callable, optional
        Called with each log line, for a terminal.

    Returns
    -------
    list of Path
        The run directories of the finished cells, those of earlier calls included, in the order of ``cells``.

    Raises
    ------
    ConfigError
        When two cells share a name, or a cell's folder holds a run of another configuration.
    """
    names = [cell.name for cell in cells]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"expected each name of a cell once, got {twice} again; name the cells apart")
    started = time.monotonic()
    finished = []
    for cell in cells:
        path = folder / cell.name
        metrics = path / "metrics.json"
        if not metrics.exists():
            if limit_s is not None and time.monotonic() - started >= limit_s:
                continue
            try:
                with alone(path):
                    # Another process may have finished it since.
                    if not metrics.exists():
                        run = Run(path, cell.config, echo=echo)
                        run.finish(function(run, cell.config))
            except BusyError:
                if echo is not None:
                    echo(f"{cell.name}: another process is at it")
                continue
        Run.check(path, cell.config)
        finished.append(path)
    return finished

"""Grids: finished cells stay, interrupted ones go on, what does not fit is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from engine.errors import ConfigError
from training.grid import Cell, run_cells
from training.run import alone

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.run import Run

CELLS = [Cell(f"s{size}-seed{seed}", {"size": size, "seed": seed}) for size in (1, 2) for seed in (0, 1)]


def test_an_interrupted_grid_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    calls: list[tuple[int, int, object]] = []

    def function(run: Run, config: Mapping[str, int]) -> dict[str, float]:
        state = run.load()
        calls.append((config["size"], config["seed"], state))
        if config["size"] == 2 and state is None:
            run.save({"epoch": 1})
            raise KeyboardInterrupt
        return {"f1": config["size"] + config["seed"] / 10}

    with pytest.raises(KeyboardInterrupt):
        run_cells(tmp_path / "grid", CELLS, function)
    with pytest.raises(KeyboardInterrupt):
        run_cells(tmp_path / "grid", CELLS, function)
    finished = run_cells(tmp_path / "grid", CELLS, function)
    assert [path.name for path in finished] == [cell.name for cell in CELLS]
    assert [json.loads((path / "metrics.json").read_text())["f1"] for path in finished] == [1, 1.1, 2, 2.1]
    assert calls == [
        (1, 0, None),
        (1, 1, None),
        (2, 0, None),
        (2, 0, {"epoch": 1}),
        (2, 1, None),
        (2, 1, {"epoch": 1}),
    ]


def test_a_cell_of_another_process_is_left_to_it(tmp_path: Path) -> None:
    lines: list[str] = []
    with alone(tmp_path / CELLS[1].name):
        others = run_cells(tmp_path, CELLS, lambda run, config: {}, echo=lines.append)
    assert [path.name for path in others] == [cell.name for cell in CELLS if cell is not CELLS[1]]
    assert lines == [f"{CELLS[1].name}: another process is at it"]
    assert not (tmp_path / CELLS[1].name / "metrics.json").exists()
    assert len(run_cells(tmp_path, CELLS, lambda run, config: {})) == len(CELLS)


def test_a_cell_is_taken_while_it_runs_and_free_after_a_failure(tmp_path: Path) -> None:
    def twice(run: Run, config: Mapping[str, int]) -> dict[str, float]:
        assert run_cells(tmp_path, CELLS[:1], twice) == []
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells(tmp_path, CELLS[:1], twice)
    assert len(run_cells(tmp_path, CELLS[:1], lambda run, config: {})) == 1


def test_a_finished_cell_needs_no_lock(tmp_path: Path) -> None:
    (path,) = run_cells(tmp_path, CELLS[:1], lambda run, config: {})
    (path / "lock").unlink()
    assert run_cells(tmp_path, CELLS[:1], lambda run, config: {}) == [path]
    assert not (path / "lock").exists()


def test_past_the_limit_no_cell_is_started(tmp_path: Path) -> None:
    done = run_cells(tmp_path, CELLS[:1], lambda run, config: {})
    assert run_cells(tmp_path, CELLS, lambda run, config: {}, limit_s=0) == done


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    run_cells(tmp_path, CELLS[:1], lambda run, config: {})
    with pytest.raises(ConfigError, match=r"\{'size': 1\} .* got \{'size': 3\}"):
        run_cells(tmp_path, [Cell(CELLS[0].name, {"size": 3, "seed": 0})], lambda run, config: {})
    with pytest.raises(ConfigError, match="again"):
        run_cells(tmp_path, [CELLS[0], CELLS[0]], lambda run, config: {})
    with pytest.raises(ConfigError, match=r"'\.\./x'"):
        Cell("../x", {})

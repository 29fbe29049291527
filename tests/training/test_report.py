"""Reports over seeds: what is gathered, what is shown, what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import ConfigError
from training.__main__ import main
from training.grid import Cell, run_cells
from training.report import numbers, report

if TYPE_CHECKING:
    from pathlib import Path

    from training.run import Run


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    cells = [Cell(f"s{s}-seed{seed}", {"strategy": s, "rate": 0.1, "seed": seed}) for s in (1, 2) for seed in (0, 1, 2)]

    def function(run: Run, config: dict[str, int]) -> dict[str, object]:
        if config == {"strategy": 2, "rate": 0.1, "seed": 2}:
            raise KeyboardInterrupt
        f1 = config["strategy"] + 0.1 * config["seed"] ** 2
        return {"f1": f1, "by": {"dog": 2 * f1, "cat": None}, "list": [1], "flag": True}

    with pytest.raises(KeyboardInterrupt):
        run_cells(tmp_path / "grid", cells, function)
    return tmp_path / "grid"


def test_seeds_are_gathered_by_configuration(grid: Path) -> None:
    found = report([grid])
    assert [dict(row.config) for row in found.rows] == [{"strategy": 1}, {"strategy": 2}]
    assert found.unfinished == ("s2-seed2",)
    first, second = (row.metrics["f1"] for row in found.rows)
    assert (first.n, second.n) == (3, 2)
    assert first.mean == pytest.approx(np.mean([1, 1.1, 1.4]))
    assert first.std == pytest.approx(np.std([1, 1.1, 1.4], ddof=1))
    assert found.rows[0].metrics.keys() == {"f1", "by.dog"}


def test_the_command_prints_a_table_or_json(grid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(grid), "--metric", "f1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["strategy=1", "f1", "3", "1.167", "0.21"]
    assert lines[-1] == "not finished: s2-seed2"
    assert main(["report", str(grid / "s1-seed0"), str(grid / "s1-seed1"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["runs"] for row in rows] == [["s1-seed0", "s1-seed1"]]
    assert main(["report", str(grid), "--metric", "f2"]) == 2
    assert "'f2'" in capsys.readouterr().err


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="folder of runs"):
        report([tmp_path])


def test_numbers_are_flattened() -> None:
    assert numbers({"a": {"b": 1, "c": float("nan")}, "d": "x", "e": None}) == [("a.b", 1.0)]

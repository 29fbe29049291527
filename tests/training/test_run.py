"""The run directory: claims, log, checkpoint, results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from engine.errors import ConfigError
from training.run import Run, alone, environment

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"recipe": "example", "epochs": 3, "seeds": (0, 1)}


def log_of(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]


def test_a_new_run_keeps_what_was_asked_and_where(tmp_path: Path) -> None:
    run = Run(tmp_path / "a" / "b", CONFIG)
    assert json.loads((run.folder / "config.json").read_text()) == {"recipe": "example", "epochs": 3, "seeds": [0, 1]}
    stored = json.loads((run.folder / "environment.json").read_text())
    assert stored == environment()
    assert stored["versions"]["torch"] == torch.__version__
    assert run.load() is None


def test_the_checkpoint_comes_back(tmp_path: Path) -> None:
    Run(tmp_path / "run", CONFIG).save({"epoch": 2, "weights": torch.arange(3), "done": {"a": [0.5]}})
    state = Run(tmp_path / "run", CONFIG).load()
    assert state is not None
    assert (state["epoch"], state["done"], state["weights"].tolist()) == (2, {"a": [0.5]}, [0, 1, 2])


def test_log_lines_after_the_checkpoint_never_happened(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", CONFIG)
    run.log(epoch=0)
    run.save({"epoch": 1})
    run.log(epoch=1)
    again = Run(tmp_path / "run", CONFIG)
    assert again.load() == {"epoch": 1}
    again.log(epoch=1)
    assert [line["epoch"] for line in log_of(again)] == [0, 1]


def test_a_run_interrupted_before_its_first_checkpoint_starts_over(tmp_path: Path) -> None:
    Run(tmp_path / "run", CONFIG).log(epoch=0)
    again = Run(tmp_path / "run", CONFIG)
    assert again.load() is None
    assert log_of(again) == []


def test_lines_are_echoed(tmp_path: Path) -> None:
    lines: list[str] = []
    run = Run(tmp_path / "run", CONFIG, echo=lines.append)
    run.log(loss=0.5)
    assert [json.loads(line) for line in lines] == log_of(run)
    assert log_of(run)[0].keys() == {"loss", "seconds"}


def test_a_finished_run_is_closed(tmp_path: Path) -> None:
    Run(tmp_path / "run", CONFIG).finish({"accuracy": 1.0})
    with pytest.raises(ConfigError, match="finished"):
        Run(tmp_path / "run", CONFIG)


def test_another_configuration_is_refused_and_named(tmp_path: Path) -> None:
    Run(tmp_path / "run", CONFIG)
    with pytest.raises(ConfigError, match=r"\{'epochs': 3\} .* got \{'epochs': 4\}"):
        Run(tmp_path / "run", CONFIG | {"epochs": 4})


def test_a_folder_with_other_files_is_not_locked_either(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other files"), alone(tmp_path):
        pytest.fail("it is locked")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other files"):
        Run(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_half_written_files_stay(tmp_path: Path) -> None:
    run = Run(tmp_path, CONFIG)
    run.log(epoch=0)
    run.save({"epoch": 0})
    run.finish({})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.json", "environment.json", "log.jsonl", "checkpoint.pt", "metrics.json"}

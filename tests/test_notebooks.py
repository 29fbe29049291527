"""The notebooks of docs/ run from top to bottom, and their last cells give figures."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("folder", ["", "docs"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_draws(path, folder, monkeypatch):
    monkeypatch.chdir(ROOT / folder)
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["name"]) == (4, "python3")
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)  # figures would weigh more than the text
    names = {"__name__": "__main__"}
    shown = []
    for cell in cells:
        # As notebooks do: the value of the last expression is what a cell shows.
        *before, last = ast.parse("".join(cell["source"])).body
        exec(compile(ast.Module(before, []), str(path), "exec"), names)
        assert isinstance(last, ast.Expr)
        shown.append(eval(compile(ast.Expression(last.value), str(path), "eval"), names))
    assert shown[0][0] == ("clock tick", 0.95)
    assert [event.label for event in shown[1]] == ["clock tick"]
    assert [len(figure.axes) for figure in shown[2:]] == [3, 1]
    for figure in shown[2:]:
        figure.canvas.draw()

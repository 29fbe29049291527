"""docs/benchmarking.md: its commands are understood, its Python runs, its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from engine.bench.sampling import BLOCKS
from engine.bench.summary import NOISY_SPREAD, repeats_for
from engine.cli.bench import bench

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/benchmarking.md").read_text()
COMMANDS = re.findall(r"^\$ engine bench(.*)$", GUIDE, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command):
    with bench.make_context("bench", shlex.split(command)) as context:
        assert context.params


@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL))
def test_python_block_runs(code, capsys):
    exec(compile(code.replace("range(100)", "range(5)"), "benchmarking.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_rules_are_those_of_the_code():
    assert [f"p{q} takes {repeats_for(q)}" in GUIDE for q in (90, 95, 99)] == [True] * 3
    assert f"above {100 * NOISY_SPREAD:g} % the row is marked" in GUIDE
    assert BLOCKS == 10
    assert "in ten blocks" in GUIDE


def test_every_row_of_a_report_is_explained():
    from engine.bench.clip import ENCODINGS
    from engine.bench.cold import FIRST_RESULT, PHASES, SECOND_CALL

    rows = [*PHASES, FIRST_RESULT, SECOND_CALL, "log-mel", "network", "post", "resample", "host-to-device"]
    assert [row for row in rows if f"`{row}`" not in GUIDE] == []
    assert all(f"`{name}`" in GUIDE or f"`decode {name}`" in GUIDE for name in ENCODINGS)


def test_the_picture_is_small_and_there():
    (name,) = re.findall(r"!\[.*\]\((.*)\)", GUIDE)
    assert 0 < (ROOT / "docs" / name).stat().st_size < 200_000

"""The README's code runs, and its commands print what it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def sessions():
    """Return each ``$ engine ...`` command of the README with the output shown below it."""
    pattern = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", flags=re.MULTILINE)
    return [(command, shown) for block in blocks("console") for command, shown in pattern.findall(block)]


def test_readme_shows_python_and_console_blocks():
    assert len(blocks("python")) >= 2
    assert len(sessions()) >= 2


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(code, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(("command", "shown"), sessions())
def test_command_prints_what_is_shown(command, shown):
    program, *arguments = shlex.split(command)
    assert program == "engine"
    start = "import sys; from engine.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", start, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", shown)
    # Scores agree to the last bit only on one kind of processor; printed they may differ by one in the last digit.
    assert [float(n) for n in NUMBER.findall(done.stdout)] == pytest.approx(
        [float(n) for n in NUMBER.findall(shown)], abs=0.011
    )

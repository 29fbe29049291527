"""The code on the pages runs and prints what they show: README.md and the guides."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/archives.md", "docs/cluster.md", "docs/embedding.md", "docs/search.md", "docs/variants.md")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def text(page):
    return (ROOT / page).read_text()


def python_blocks(page):
    """Return each Python block with the output shown below it, None where none is."""
    pattern = r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?"
    return [(code, shown or None) for code, shown in re.findall(pattern, text(page), flags=re.MULTILINE | re.DOTALL)]


def sessions():
    """Return each ``$ engine ...`` command of a page with the output shown below it."""
    pattern = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", flags=re.MULTILINE)
    consoles = [
        block
        for page in PAGES
        for block in re.findall(r"^```console\n(.*?)^```$", text(page), flags=re.MULTILINE | re.DOTALL)
    ]
    return [(command, shown) for block in consoles for command, shown in pattern.findall(block)]


def assert_same_but_for_last_digits(printed, shown):
    """Scores agree to the last bit only on one kind of processor; printed they may differ by one in the last digit."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
    assert [float(n) for n in NUMBER.findall(printed)] == pytest.approx(
        [float(n) for n in NUMBER.findall(shown)], abs=0.011
    )


def test_pages_show_python_and_console_blocks():
    assert all(len(python_blocks(page)) >= 2 for page in PAGES)
    assert len(sessions()) >= 2


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run_in_order_and_print_what_is_shown(page, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {"__name__": "__main__"}
    for code, shown in python_blocks(page):
        exec(compile(code, page, "exec"), names)
        printed = capsys.readouterr().out
        if shown is not None:
            assert_same_but_for_last_digits(printed, shown)


@pytest.mark.parametrize(("command", "shown"), sessions())
def test_command_prints_what_is_shown(command, shown):
    program, *arguments = shlex.split(command)
    assert program == "engine"
    start = "import sys; from engine.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", start, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert_same_but_for_last_digits(done.stdout, shown)


@pytest.mark.parametrize(
    "page", [path.relative_to(ROOT) for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))], ids=str
)
def test_links_to_files_lead_somewhere(page):
    folder = (ROOT / page).parent
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text(page))
    assert [link for link in links if not (folder / link).exists()] == []

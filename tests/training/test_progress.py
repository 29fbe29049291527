"""Progress: a bar on a terminal with the log lines above it, plain lines anywhere else."""

from __future__ import annotations

import io

from training.progress import Bars, Lines, shown_on


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_lines_only() -> None:
    stream = io.StringIO()
    shown = shown_on(stream)
    assert type(shown) is Lines
    for item in shown.bar(range(2), "job"):
        shown.echo(f"line {item}")
    assert stream.getvalue() == "line 0\nline 1\n"


def test_a_terminal_gets_a_bar_and_the_lines() -> None:
    stream = Terminal()
    shown = shown_on(stream)
    assert type(shown) is Bars
    assert [(item, shown.echo(f"line {item}"))[0] for item in shown.bar(range(2), "job")] == [0, 1]
    assert "job" in stream.getvalue()
    assert "line 0\n" in stream.getvalue()
    assert "line 1\n" in stream.getvalue()

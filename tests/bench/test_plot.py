"""Pictures of reports."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from engine.bench.plot import plot_report
from engine.errors import ConfigError, EngineError
from tests.bench.rows import report, row


def size_of(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def test_latencies_are_drawn_and_throughput_beside_them_where_there_is_any():
    calls = [row(), row("clients", count=4), row(threads=2)]
    alone = size_of(plot_report(report(*calls)))
    both = size_of(plot_report(report(*calls, row("batch", count=1, per_run=1), row("batch", count=8, per_run=1))))
    assert both[0] > 1.5 * alone[0]


def test_what_is_drawn_is_what_was_measured(monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **options: [figures.append(figure), save(figure, *args, **options)]
    )
    batches = [row("batch", ((4.0,),), count=8, per_run=1), row("batch", ((1.0,),), count=1, per_run=1)]
    plot_report(report(row(blocks_ms=((3, 1), (2, 4))), *batches))
    latency, throughput = figures[0].axes
    (line,) = latency.get_lines()
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert line.get_ydata().tolist() == [0.25, 0.5, 0.75, 1]
    (line,) = throughput.get_lines()
    assert list(line.get_xdata()) == [1, 8]
    assert line.get_ydata() == pytest.approx([1000, 2000])


def test_a_report_without_calls_has_no_picture():
    with pytest.raises(ConfigError, match="expected a report with calls"):
        plot_report(report(row("cold load")))


def test_without_matplotlib_there_is_the_line_to_install_it(monkeypatch):
    monkeypatch.setattr("engine.picture.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'sound-engine\[plot\]'"):
        plot_report(report(row()))


def test_matplotlib_is_imported_only_to_draw():
    program = "import sys, engine.bench.plot, engine.bench.sweep, engine.cli.bench; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

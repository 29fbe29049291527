"""A report as a picture: how long calls take, and how throughput grows with the batch."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ConfigError
from engine.picture import require_matplotlib

if TYPE_CHECKING:
    from engine.bench.report import Report, Row


def plot_report(report: Report) -> bytes:
    """Return a PNG: distributions of latency, and windows per second against batch size where batches were measured.

    Raises
    ------
    EngineError
        matplotlib is not installed.
    ConfigError
        The report has neither calls nor clients.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    latencies = [row for row in report.rows if row.measure in ("call", "clients")]
    batches = [row for row in report.rows if row.measure == "batch"]
    if not latencies:
        raise ConfigError("expected a report with calls to draw, got none; measure again")
    figure = Figure(figsize=(11 if batches else 6, 4.2), layout="constrained")
    panels = figure.subplots(1, 2 if batches else 1, squeeze=False)[0]
    _draw_latency(panels[0], latencies)
    if batches:
        _draw_throughput(panels[1], batches)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    return stream.getvalue()


def _draw_latency(axes: Any, rows: list[Row]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for row in rows:
        seconds = np.sort(np.concatenate(row.blocks_s))
        share = np.arange(1, len(seconds) + 1) / len(seconds)
        axes.step(seconds * 1e3, share, where="post", label=f"{_name(row)}: {row.title}")
    axes.set(xscale="log", xlabel="latency in ms", ylabel="share of repeats", ylim=(0, 1.02), title="Latency")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")


def _draw_throughput(axes: Any, rows: list[Row]) -> None:
    for setting in dict.fromkeys(row.setting for row in rows):
        of_setting = sorted((row for row in rows if row.setting == setting), key=lambda row: row.count)
        sizes = [row.count for row in of_setting]
        rates = [row.count / row.summary.median for row in of_setting]
        axes.plot(sizes, rates, marker="o", label=_name(of_setting[0]))
    counts = sorted({row.count for row in rows})
    axes.set(xlabel="windows in a batch", ylabel="windows per second", title="Throughput", ylim=(0, None))
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, list(map(str, counts)))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="best")


def _name(row: Row) -> str:
    return f"{row.model} {row.device} {row.threads} thread{'s' * (row.threads > 1)}"

"""Reports and comparisons as text: columns as wide as what they hold, the same on a terminal and in a pipe."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from engine.bench.choice import variant_lines
from engine.bench.summary import NOISY_SPREAD, PERCENTILES, repeats_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engine.bench.compare import Differences
    from engine.bench.report import Report, Row

HEADER = ("", "n", "min", "mean", *(f"p{q}" for q in PERCENTILES), "spread", "xRT", "RTF", "clips/s", "")
# Rates belong to whole calls, not to parts of them nor to what happens once.
WHOLE_CALLS = ("call", "clients", "batch")


def report_text(report: Report) -> str:
    """Return a report as tables, one for each model, device and number of threads; times in milliseconds."""
    machine = report.machine
    allowed = "" if machine["affinity"] is None else f" (numbers {', '.join(map(str, machine['affinity']))})"
    lines = [
        f"{machine['processor']}, {machine['cpus']} of {machine['cores']} CPUs{allowed}",
        f"load {machine['load_at_start']} at the start",
        f"kernels {machine['kernels']}, {machine['system']}, Python {machine['python']}",
        ", ".join(f"{name} {version}" for name, version in report.versions.items() if version != "absent"),
    ]
    lines += [
        f"{model['name']}: network {(model['model_sha256'] or 'unknown')[:12]}, card "
        f"{(model['card_sha256'] or 'unknown')[:12]}, windows of {model['window_s']:g} s every {model['hop_s']:g} s at "
        f"{model['sample_rate']} Hz, decode and resample from {model['recording_rate']} Hz"
        for model in report.models
    ]
    peaks = {memory.setting: memory.peak_bytes for memory in report.memory}
    for setting, rows in groupby(report.rows, attrgetter("setting")):
        model, device, threads = setting
        memory = f", at most {max(peaks[setting]) / 1e6:.0f} MB of memory" if peaks.get(setting) else ""
        lines += ["", f"{model} on {device}, {threads} thread{'s' * (threads > 1)}{memory}; milliseconds"]
        lines += columns([HEADER, *map(_cells, rows)])
    lines += ["", *_footnotes(report), *variant_lines(report)]
    lines += [f"skipped {reason}" for reason in report.skipped]
    return "\n".join(lines) + "\n"


def comparison_text(differences: Differences, limit: float | None) -> str:
    """Return a comparison as a table, slower rows marked; ``limit`` is that of ``Comparison.is_regression``."""
    rows: list[tuple[str, ...]] = [("", "before ms", "after ms", "ratio", "")]
    for row in differences.rows:
        model, device, threads = row.after.setting
        verdict = ("slower" if row.ratio > 1 else "faster") if row.beyond_noise else "within noise"
        if limit is not None and row.is_regression(limit):
            verdict = f"slower by more than {100 * limit:g} %"
        rows.append(
            (
                f"{model} {device} {threads} thread{'s' * (threads > 1)}: {row.after.title}",
                _ms(row.before.summary.median),
                _ms(row.after.summary.median),
                f"{row.ratio:.3f}",
                verdict,
            )
        )
    lines = [f"differs: {note}" for note in differences.notes]
    lines += columns(rows)
    lines += [f"only before: {row.title}, {' '.join(map(str, row.setting))}" for row in differences.only_before]
    lines += [f"only after: {row.title}, {' '.join(map(str, row.setting))}" for row in differences.only_after]
    if limit is not None:
        found = len(differences.regressions(limit))
        lines.append(f"slower by more than {100 * limit:g} % and beyond noise: {found} of {len(differences.rows)}")
    return "\n".join(lines) + "\n"


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows of cells as lines: the first and the last column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *middle, last in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True)]
        yield "  ".join([*cells, last]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    summary = row.summary
    rates: Iterable[str] = ("", "", "")
    if row.measure in WHOLE_CALLS:
        xrt = row.x_real_time
        rates = (f"{xrt:.0f}" if xrt >= 100 else f"{xrt:.3g}", f"{1 / xrt:.3g}", f"{row.clips_per_s:.4g}")
    return (
        row.title,
        str(summary.n),
        _ms(summary.minimum),
        _ms(summary.mean),
        *("-" if summary.percentiles[q] is None else _ms(summary.percentiles[q] or 0.0) for q in PERCENTILES),
        f"{100 * summary.spread:.0f} %",
        *rates,
        "noisy" if summary.noisy else "",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _footnotes(report: Report) -> Iterator[str]:
    summaries = [row.summary for row in report.rows]
    if any(summary.noisy for summary in summaries):
        yield f"noisy: the middle half of the repeats lies further apart than {100 * NOISY_SPREAD:g} % of the median"
    if any(None in summary.percentiles.values() for summary in summaries):
        needed = ", ".join(f"{repeats_for(q)} for p{q}" for q in PERCENTILES if q > 50)
        yield f"-: too few repeats, it takes {needed}"
    for sweep in report.batch_sweeps:
        rates = ", ".join(f"{trial['size']}: {trial['windows_per_s']:.4g}" for trial in sweep["trials"])
        yield (
            f"batch_size='auto' for {sweep['model']} on {sweep['device']}, {sweep['threads']} thread"
            f"{'s' * (sweep['threads'] > 1)}: {sweep['size']} at a time (windows per second for {rates}; "
            f"{sweep['ended']})"
        )

"""``engine bench``: how fast models run on this machine, and whether they became slower."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.output import open_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.bench.report import Report
    from engine.options import BatchSize

REGRESSED = 1


def _numbers(kind: type[int | float]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return what reads numbers with commas between them."""

    def read(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[float, ...] | None:
        try:
            return None if text is None else tuple(kind(part) for part in text.split(","))
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise click.BadParameter(f"expected {what} with commas between them, got {text!r}; correct it") from None

    return read


def _batches(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[BatchSize, ...] | None:
    """Read whole numbers with commas between them, among which may be "auto"."""
    if text is None:
        return None
    read = _numbers(int)
    return tuple("auto" if part == "auto" else read(context, parameter, part)[0] for part in text.split(","))


def _percentage(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """Read a percentage, as a share of one."""
    if text is None:
        return None
    number, sign, rest = text.partition("%")
    try:
        share = float(number) / 100 if sign and not rest.strip() else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise click.BadParameter(f"expected a percentage such as 5%, got {text!r}; correct it")
    return share


class _Bench(click.Command):
    """A command that takes models, and has a command ``compare`` beside them."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["compare"]:
            return compare_reports.make_context(f"{info_name} compare", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


COUNTS, SECONDS = _numbers(int), _numbers(float)
MAX_REGRESS = click.option(
    "--max-regress", callback=_percentage, metavar="PERCENT", help="Exit code 1 where a median grew by more, as in 5%."
)


@click.command(cls=_Bench)
@click.argument("models", metavar="[MODEL...]", nargs=-1)
@click.option("--device", metavar="DEVICES", default="all", show_default=True, help="cpu, cuda:0 and so on, or all.")
@click.option("--threads", metavar="NUMBERS", callback=COUNTS, help="CPUs that a call may use.  [default: all]")
@click.option("--batch", metavar="NUMBERS", callback=_batches, help="Windows in a batch, such as 1,8,32,auto.")
@click.option(
    "--duration", metavar="SECONDS", callback=SECONDS, default="10", show_default=True, help="Length of clips."
)
@click.option("--stages", is_flag=True, help="Measure the stages of a call too.")
@click.option("--clients", metavar="NUMBERS", callback=COUNTS, help="Threads sharing a model, such as 1,2,4,8.")
@click.option("--repeats", metavar="N", type=int, default=300, show_default=True, help="Of each row.")
@click.option("--limit", metavar="SECONDS", type=float, default=10.0, show_default=True, help="For each row.")
@click.option("--cold", metavar="N", type=int, default=6, show_default=True, help="Fresh processes to start.")
@click.option("--baseline", metavar="FILE", help="A report to compare with.")
@MAX_REGRESS
@click.option("--plot", metavar="FILE", help="Draw latencies and throughput as a PNG.")
@click.option("-o", "--output", metavar="FILE", help="Write the report as JSON, all repeats in it.")
@click.option("--overwrite", is_flag=True, help="Let --output and --plot replace files.")
def bench(  # noqa: PLR0913  (one for each option)
    *,
    models: tuple[str, ...],
    device: str,
    threads: tuple[int, ...] | None,
    batch: tuple[BatchSize, ...] | None,
    duration: tuple[float, ...],
    stages: bool,
    clients: tuple[int, ...] | None,
    repeats: int,
    limit: float,
    cold: int,
    baseline: str | None,
    max_regress: float | None,
    plot: str | None,
    output: str | None,
    overwrite: bool,
) -> int:
    """Measure how fast models run on this machine; the default model without MODEL.

    docs/benchmarking.md says what each number means. The exit code is 1 where --max-regress finds a row that became
    slower.

    \b
    Examples:
      engine bench
      engine bench --stages --threads 1,2 --duration 1,5,10 -o report.json
      engine bench esc10 mine.onnx --device cpu,cuda:0 --batch 1,8,32,auto --plot latency.png
      engine bench --clients 1,2,4,8
      engine bench --baseline report.json --max-regress 5%
      engine bench compare before.json after.json --max-regress 5%
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.bench.plan import Plan
    from engine.bench.report import read_report
    from engine.bench.sweep import run_plan
    from engine.bench.table import report_text

    if max_regress is not None and baseline is None:
        raise click.UsageError("expected --max-regress beside --baseline; name the report to compare with")
    plan = Plan(
        models=models or (None,),
        devices=tuple(device.split(",")),
        threads=threads or (None,),
        batches=batch or (),
        durations_s=duration,
        clients=clients or (),
        stages=stages,
        repeats=repeats,
        limit_s=limit,
        cold=cold,
    )
    before = None if baseline is None else read_report(Path(baseline))
    with ExitStack() as files:
        # Before hours of measuring, not after: that there is a place for the results.
        json_file = files.enter_context(open_output(output, overwrite)) if output else None
        plot_file = files.enter_context(open_output(plot, overwrite)) if plot else None
        if plot_file is not None:
            from engine.picture import require_matplotlib

            require_matplotlib()
        report = run_plan(plan, _say if sys.stderr.isatty() else None)
        click.echo(report_text(report), nl=False)
        if json_file is not None:
            json_file.write(report.to_json().encode())
        if plot_file is not None:
            from engine.bench.plot import plot_report

            plot_file.write(plot_report(report))
    if before is None:
        return 0
    click.echo()
    return _compare(before, report, max_regress)


@click.command("compare")
@click.argument("before", metavar="BEFORE.json")
@click.argument("after", metavar="AFTER.json")
@MAX_REGRESS
def compare_reports(before: str, after: str, max_regress: float | None) -> int:
    """Compare two reports of engine bench: the ratio of medians, row by row.

    A row counts as slower where its median grew by more than --max-regress and beyond noise: the intervals that hold
    the two medians with 95 % confidence have nothing in common.

    \b
    Examples:
      engine bench compare before.json after.json
      engine bench compare before.json after.json --max-regress 5%
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.bench.report import read_report

    return _compare(read_report(Path(before)), read_report(Path(after)), max_regress)


def _compare(before: Report, after: Report, max_regress: float | None) -> int:
    from engine.bench.compare import compare
    from engine.bench.table import comparison_text

    differences = compare(before, after)
    click.echo(comparison_text(differences, max_regress), nl=False)
    return REGRESSED if max_regress is not None and differences.regressions(max_regress) else 0


def _say(text: str) -> None:
    click.echo(f"measuring {text}", err=True)

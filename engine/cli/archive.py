"""``engine archive``: the offline job."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from engine.cli.columns import echo_columns
from engine.cli.output import open_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.archive.summary import ArchiveSummary
    from engine.archive.supervisor import Progress

SOME_FAILED = 3
RESULT_FORMATS = ("csv", "jsonl", "parquet", "raven", "audacity")
# Where standard error is no terminal, progress is one line in so many seconds.
LINE_EVERY_S = 60.0


@click.group()
def archive() -> None:
    """Tag and embed many recordings, resumably, and read the results and a summary.

    \b
    Examples:
      engine archive run recordings/ -o out
      engine archive run -o out --resume
      engine archive results out --label rain --min-score 0.8 --format raven -o rain.txt
      engine archive summary out --plot activity.png
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)


@archive.command()
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@click.option("-o", "--output", metavar="FOLDER", required=True, help="The folder to write.")
@click.option("--model", metavar="NAME|PATH", help="An installed model, or an .onnx file with a card.")
@click.option("--products", metavar="LIST", help="Of tags, embeddings, index.  [default: tags,embeddings]")
@click.option("--window-s", metavar="SECONDS", type=float, help="Length of a window.  [default: the card's]")
@click.option("--hop-s", metavar="SECONDS", type=float, help="From one window to the next.  [default: the card's]")
@click.option("--channel", metavar="N", type=click.IntRange(min=0), help="The channel to take.  [default: their mean]")
@click.option("--time-pattern", metavar="PATTERN", help="How names hold the time, such as '%Y%m%d_%H%M%S'.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="Processes.  [default: one per CPU]")
@click.option("--ray", metavar="ADDRESS", help="Work on this Ray cluster (auto: the one here), or local for a new one.")
@click.option(
    "--formats", metavar="LIST", help="Write these from the finished shards: csv,jsonl,parquet,raven,audacity."
)
@click.option("--threshold", metavar="SCORE", type=float, help="Only scores from this into --formats.  [default: any]")
@click.option("--include", metavar="PATTERN", multiple=True, help="Take only names that match, such as '*.wav'.")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="Leave out names that match.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Take only the first N recordings.")
@click.option("--resume", is_flag=True, help="Go on with a folder; recordings that it does not have are added.")
@click.option("--retry-failed", is_flag=True, help="Resume, and read again what could not be used before.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--quiet", is_flag=True, help="No progress.")
def run(
    *,
    inputs: tuple[str, ...],
    output: str,
    products: str | None,
    formats: str | None,
    dry_run: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Tag and embed recordings into a folder of Parquet tables.

    What ends early - by Ctrl-C, a crash, a full disc - is taken up again with --resume, which needs neither the inputs
    nor the other options once more. A recording that cannot be used is listed in FOLDER/failed.jsonl with the reason;
    the rest goes on, and the exit code is 3.
    """
    from engine.archive.run import plan_of
    from engine.archive.run import run as run_archive

    wanted = None if products is None else _listed(products)
    tables = [] if formats is None else _listed(formats)
    if dry_run:
        click.echo(plan_of(inputs, include=options["include"], exclude=options["exclude"], limit=options["limit"]))
        return 0
    with _cancelled_by_signals() as cancel, _progress(quiet=quiet) as progress:
        summary = run_archive(
            inputs, output, products=wanted, formats=tables, progress=progress, cancel=cancel, **options
        )
    hours, pace = summary.audio_s / 3600, summary.audio_s / max(summary.elapsed_s, 1e-9)
    click.echo(
        f"{summary.n_items} recordings, {summary.n_run} of them now: {hours:.2f} h of sound in "
        f"{summary.elapsed_s:.0f} s, {pace:.0f} times real time",
        err=True,
    )
    if summary.n_damaged:
        click.echo(f"shards that were damaged and have been done again: {summary.n_damaged}", err=True)
    if summary.n_failed:
        click.echo(f"{summary.n_failed} could not be used: {summary.folder}/failed.jsonl", err=True)
    return SOME_FAILED if summary.n_failed else 0


@archive.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="Only this label; may be given again.")
@click.option("--min-score", metavar="SCORE", type=float, help="Only scores from this.  [default: any]")
@click.option("--format", "format_", type=click.Choice(RESULT_FORMATS), default="csv", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to a new file instead of standard output.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
def results(
    *, folder: str, labels: tuple[str, ...], min_score: float | None, format_: str, output: str | None, overwrite: bool
) -> None:
    """Print one row for each window and label of an archive, also while it is still being made.

    \b
    csv       file, start_s, end_s, time, label, score
    jsonl     the same, one object per line
    parquet   the same columns, with the numbers of the recordings
    raven     a selection table over all recordings as a sequence
    audacity  a label track over all recordings, one behind the other

    \b
    Examples:
      engine archive results out
      engine archive results out --label rain --min-score 0.8
      engine archive results out --format audacity -o labels.txt
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.archive import open_archive, write_results

    opened = open_archive(folder)
    with open_output(output, overwrite) as stream:
        write_results(opened, stream, format_, labels or None, min_score)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


@archive.command()
@click.argument("folder", metavar="FOLDER")
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="Only this label; may be given again.")
@click.option("--threshold", metavar="SCORE", type=float, help="Count windows with at least this score.")
@click.option("--format", "format_", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option("--plot", metavar="FILE", help="Draw activity by hour of the day and by day as a PNG.")
@click.option("--overwrite", is_flag=True, help="Let --plot replace a file.")
def summary(
    *,
    folder: str,
    labels: tuple[str, ...],
    threshold: float | None,
    format_: str,
    plot: str | None,
    overwrite: bool,
) -> None:
    """Print hours, failures, throughput and how scores are distributed, also while an archive is still being made.

    Histograms have 20 bars for scores from 0 to 1; their heights are logarithms of the numbers of windows.

    \b
    Examples:
      engine archive summary out
      engine archive summary out --threshold 0.5 --label rain --plot rain.png
      engine archive summary out --format json
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.archive import plot_activity, summarise
    from engine.picture import require_matplotlib

    if plot is not None:
        require_matplotlib()
    with contextlib.ExitStack() as files:
        stream = None if plot is None else files.enter_context(open_output(plot, overwrite))
        found = summarise(folder, labels or None, threshold)
        if stream is not None:
            stream.write(plot_activity(found))
    if format_ == "json":
        click.echo(json.dumps(found.to_dict(), allow_nan=False))
    else:
        _echo_summary(found)


def _echo_summary(found: ArchiveSummary) -> None:
    pace = "" if found.x_real_time is None else f", {found.x_real_time:.0f} x real time per worker"
    rows = [
        ("model", found.model),
        ("recordings", f"{found.n_done} of {found.n_items} done, {found.n_failed} failed"),
        ("sound", f"{found.audio_s / 3600:.2f} h in {found.n_windows} windows{pace}"),
    ]
    if found.first is not None:
        rows.append(("recorded", f"{found.first} to {found.last}, {found.n_timed} windows with a time"))
    rows += [(f"failed in {reason}", str(number)) for reason, number in found.failures.items()]
    echo_columns(rows)
    if not found.labels:
        return
    click.echo()
    heard = found.labels[0].n_heard is not None
    head = ("label", "mean", "max", "scores from 0 to 1", *(["windows heard"] if heard else []))
    echo_columns(
        [head]
        + [
            (
                label.label,
                f"{label.mean:.3f}",
                f"{label.maximum:.3f}",
                _bars(label.histogram),
                *([str(label.n_heard)] if heard else []),
            )
            for label in found.labels
        ]
    )


def _bars(histogram: tuple[int, ...]) -> str:
    """Return a character for each bin: a space where it is empty, and one of eight heights for the logarithm."""
    highest = math.log1p(max(histogram)) or 1.0
    return "".join(" ▁▂▃▄▅▆▇█"[math.ceil(8 * math.log1p(n) / highest)] for n in histogram)


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set; the shards in work are dropped, the finished ones kept."""
    cancel = threading.Event()
    kept = {number: signal.signal(number, lambda *_: cancel.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """Give a function that shows progress: a bar on a terminal, a line a minute elsewhere."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with tqdm(unit="file", file=sys.stderr, dynamic_ncols=True) as bar:

            def show(progress: Progress) -> None:
                if bar.total is None:
                    bar.total, bar.initial = progress.n_items, progress.n_done
                bar.n = progress.n_done
                bar.set_postfix_str(_facts(progress))

            yield show
    else:
        last = time.monotonic()

        def tell(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last >= LINE_EVERY_S:
                last = time.monotonic()
                eta = "" if progress.eta_s is None else f", {progress.eta_s / 60:.0f} min left"
                click.echo(f"{progress.n_done} of {progress.n_items} recordings, {_facts(progress)}{eta}", err=True)

        yield tell


def _facts(progress: Progress) -> str:
    pace = progress.audio_s / max(progress.elapsed_s, 1e-9)
    return f"{progress.audio_s / 3600:.2f} h of sound, {pace:.0f} x real time, {progress.n_failed} failed"

"""``engine tag``: recordings to labels with scores, or to events."""

from __future__ import annotations

import logging
import math
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from engine.cli.formats import WRITERS
from engine.cli.output import open_output
from engine.cli.reports import EventReport, TagReport
from engine.scan import find_audio

if TYPE_CHECKING:
    from engine.cli.reports import Report
    from engine.results import Clip

LABELS_IN_TEXT = 3
SOME_FAILED = 3


def _not_nan(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("expected a number, got nan; choose another")
    return value


def _none_for_none_given(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    return values or None


def _batch_size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if value.isascii() and value.isdigit() and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"expected a whole number from 1 or auto, got {value!r}; correct it")


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--model", metavar="NAME|PATH", help="A shipped model, or an .onnx file with a card.")
@click.option(
    "--top-k", metavar="K", type=click.IntRange(min=1), help="Print the K best labels.  [default: 3 as text, else all]"
)
@click.option(
    "--threshold",
    metavar="SCORE",
    type=float,
    callback=_not_nan,
    help="Print only labels that score at least this.  [default: all; for events the model's thresholds]",
)
@click.option(
    "--label",
    "labels_allow",
    metavar="LABEL",
    multiple=True,
    callback=_none_for_none_given,
    help="Only this label; may be repeated.",
)
@click.option(
    "--exclude-label",
    "labels_deny",
    metavar="LABEL",
    multiple=True,
    callback=_none_for_none_given,
    help="Not this label; may be repeated.",
)
@click.option("--window-s", metavar="SECONDS", type=float, help="Length of a window.  [default: the model's]")
@click.option("--hop-s", metavar="SECONDS", type=float, help="From window to window.  [default: the model's]")
@click.option(
    "--channel", metavar="N", type=click.IntRange(min=0), help="Take one channel, from 0.  [default: their mean]"
)
@click.option("--events", is_flag=True, help="Print when each label was heard instead.")
@click.option(
    "--merge-gap-s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    callback=_not_nan,
    help="Join events of one label at most that far apart.",
)
@click.option(
    "--min-duration-s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    callback=_not_nan,
    help="Leave out shorter events.",
)
@click.option("--format", "format_", type=click.Choice(list(WRITERS)), default="text", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to a new file instead of standard output.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
@click.option(
    "--workers", metavar="N", type=click.IntRange(min=1), help="Recordings in work at a time.  [default: as --threads]"
)
@click.option(
    "-b",
    "--batch-size",
    metavar="N|auto",
    callback=_batch_size,
    help="Windows at a time on a GPU; auto measures what is best.  [default: 16]",
)
@click.option("--quiet", is_flag=True, help="No progress bar, no word on the device.")
def tag(  # noqa: PLR0913 - one for each option that is not the batch's
    *,
    inputs: tuple[str, ...],
    model: str | None,
    events: bool,
    merge_gap_s: float | None,
    min_duration_s: float | None,
    format_: str,
    output: str | None,
    overwrite: bool,
    device: str,
    threads: int | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Tag recordings: files, folders (searched through) and patterns.

    A recording that cannot be used is reported on standard error and, in JSON, in its place; the rest goes on, and the
    exit code is 3.

    \b
    text   one line per recording with its best labels, or one per event
    json   one array of objects with the tags of each recording and of its windows, or with its events
    jsonl  the same objects, one per line, as they come
    csv    one row per window and label, or per event: file,start_s,end_s,label,score

    \b
    Examples:
      engine tag examples
      engine tag 'field/**/*.wav' night.flac --top-k 1
      engine tag recordings/ --format csv --threshold 0.5 -o tags.csv
      engine tag recordings/ --format jsonl | head -n 5
      engine tag night.flac --events --hop-s 0.5 --merge-gap-s 1 --label rain
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.tagger import Tagger

    _check_events(events, merge_gap_s, min_duration_s, options["top_k"])
    watched = sys.stderr.isatty() and not quiet
    if watched:
        _show_log()
    paths = list(find_audio(inputs))
    tagger = Tagger(model, device, threads)
    report: Report = (
        EventReport(tagger.labels, options["threshold"], merge_gap_s or 0.0, min_duration_s or 0.0)
        if events
        else TagReport(tagger.labels)
    )
    if format_ == "text" and options["top_k"] is None:
        options["top_k"] = LABELS_IN_TEXT
    clips = tagger.batch(paths, **options)
    with open_output(output, overwrite) as stream, closing(clips):
        writer = WRITERS[format_](stream, report, list(map(str, paths)))
        # Where the results themselves scroll by on the terminal, they are the progress.
        hidden = not watched or (output is None and sys.stdout.isatty())
        n_failed = 0
        with tqdm(clips, total=len(paths), disable=hidden, file=sys.stderr, unit="file", leave=False) as progress:
            for clip in progress:
                if clip.error is not None:
                    n_failed += 1
                    _report_failure(clip)
                writer.write(clip)
        writer.close()
    return SOME_FAILED if n_failed else 0


def _check_events(events: bool, merge_gap_s: float | None, min_duration_s: float | None, top_k: int | None) -> None:
    if events and top_k is not None:
        raise click.UsageError("expected --events without --top-k: every label has its own; choose labels by --label")
    for name, value in (("--merge-gap-s", merge_gap_s), ("--min-duration-s", min_duration_s)):
        if value is not None and not events:
            raise click.UsageError(f"expected {name} together with --events, got it alone; add --events")


def _show_log() -> None:
    """Show what the engine logs, such as the device that auto chose and why, on standard error."""
    logger = logging.getLogger("engine")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


def _report_failure(clip: Clip) -> None:
    named = repr(clip.path) in str(clip.error)
    tqdm.write(f"engine: {'' if named else f'{clip.path!r}: '}{clip.error}", file=sys.stderr)

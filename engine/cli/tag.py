"""``engine tag``: recordings to labels with scores."""

from __future__ import annotations

import logging
import math
import sys
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from engine.cli.formats import WRITERS, Selection
from engine.cli.output import open_output
from engine.errors import AudioError
from engine.scan import find_audio

if TYPE_CHECKING:
    from pathlib import Path

    from engine.cli.formats import Writer
    from engine.tagger import Tagger

SOME_FAILED = 3


def _not_nan(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("expected a number, got nan; choose a score")
    return value


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--model", metavar="NAME|PATH", help="A shipped model, or an .onnx file with a card.")
@click.option(
    "--top-k", metavar="K", type=click.IntRange(min=1), help="Print the K best labels.  [default: 3 as text, else all]"
)
@click.option(
    "--threshold", metavar="SCORE", type=float, callback=_not_nan, help="Print only labels that score at least this."
)
@click.option("--format", "format_", type=click.Choice(list(WRITERS)), default="text", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to a new file instead of standard output.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
@click.option("--quiet", is_flag=True, help="No progress bar, no word on the device.")
def tag(
    *,
    inputs: tuple[str, ...],
    model: str | None,
    top_k: int | None,
    threshold: float | None,
    format_: str,
    output: str | None,
    overwrite: bool,
    device: str,
    threads: int | None,
    quiet: bool,
) -> int:
    """Tag recordings: files, folders (searched through) and patterns.

    A recording that cannot be read is reported on standard error and, in JSON, in its place; the rest goes on, and the
    exit code is 3.

    \b
    text   one line per recording with its best labels
    json   one array of objects with the tags of each recording and of its windows
    jsonl  the same objects, one per line, as they come
    csv    one row per window and label: file,start_s,end_s,label,score

    \b
    Examples:
      engine tag examples
      engine tag 'field/**/*.wav' night.flac --top-k 1
      engine tag recordings/ --format csv --threshold 0.5 -o tags.csv
      engine tag recordings/ --format jsonl | head -n 5
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.tagger import Tagger

    watched = sys.stderr.isatty() and not quiet
    if watched:
        _show_log()
    paths = list(find_audio(inputs))
    tagger = Tagger(model, device, threads)
    with open_output(output, overwrite) as stream:
        writer = WRITERS[format_](stream, Selection(top_k, threshold), list(map(str, paths)), tagger.labels)
        # Where the results themselves scroll by on the terminal, they are the progress.
        hidden = not watched or (output is None and sys.stdout.isatty())
        with tqdm(paths, disable=hidden, file=sys.stderr, unit="file", leave=False) as progress:
            failed = sum(not _tag_one(tagger, path, writer) for path in progress)
        writer.close()
    return SOME_FAILED if failed else 0


def _show_log() -> None:
    """Show what the engine logs, such as the device that auto chose and why, on standard error."""
    logger = logging.getLogger("engine")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)


def _tag_one(tagger: Tagger, path: Path, writer: Writer) -> bool:
    """Tag and print one recording; report and return False where it cannot be read."""
    try:
        clip = tagger(path)
    except AudioError as error:
        named = repr(str(path)) in str(error)
        tqdm.write(f"engine: {'' if named else f'{str(path)!r}: '}{error}", file=sys.stderr)
        writer.fail(str(path), error)
        return False
    writer.write(clip)
    return True

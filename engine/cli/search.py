"""``engine search``: sounds that are like an example."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.output import open_output

if TYPE_CHECKING:
    from engine.index import Hit

SOME_FAILED = 3


@click.command()
@click.argument("queries", metavar="[QUERY]...", nargs=-1)
@click.option("--index", "folder", metavar="INDEX", required=True, help="From engine index build, or an archive.")
@click.option("-k", "--top-k", "k", metavar="K", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--offset", metavar="N", type=click.IntRange(min=0), default=0, help="Leave out the first N hits.")
@click.option("--record", metavar="SECONDS", type=float, help="Take the query from the microphone.")
@click.option("--positive", "positives", metavar="FILE", multiple=True, help="More like this; may be repeated.")
@click.option("--negative", "negatives", metavar="FILE", multiple=True, help="Less like this; may be repeated.")
@click.option("--refine", type=click.Choice(["rocchio", "probe"]), default="rocchio", show_default=True)
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only items with one of these.")
@click.option("--without-tag", "without_tags", metavar="TAG", multiple=True, help="No items with one of these.")
@click.option("--path", "paths", metavar="PATTERN", multiple=True, help="Only paths that match one of these.")
@click.option("--without-path", "without_paths", metavar="PATTERN", multiple=True, help="No paths that match these.")
@click.option("--min-duration-s", metavar="SECONDS", type=float, help="Only recordings at least this long.")
@click.option("--max-duration-s", metavar="SECONDS", type=float, help="Only recordings at most this long.")
@click.option("--exclude-same-recording", is_flag=True, help="No hits from the query's own recording.")
@click.option("--per-recording", metavar="N", type=click.IntRange(min=1), help="Hits of one recording at most.")
@click.option("--collapse", metavar="COSINE", type=click.FloatRange(0, 1), help="Join near-duplicates from this on.")
@click.option("--target", metavar="SCORE", type=float, help="Near, but not too near: rank by nearness to this score.")
@click.option("--approximate", is_flag=True, help="Candidates from faiss, ranked exactly.")
@click.option("--model", metavar="PATH", help="Where the model of the index is, if its name is not installed.")
@click.option("--format", "format_", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to a new file instead of standard output.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--copy-to", metavar="FOLDER", help="Cut the hits into WAV files there.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), default=1, show_default=True, help="CPUs to use.")
def search(  # noqa: PLR0913 - one for each option
    *,
    queries: tuple[str, ...],
    folder: str,
    k: int,
    offset: int,
    record: float | None,
    positives: tuple[str, ...],
    negatives: tuple[str, ...],
    refine: str,
    per_recording: int | None,
    collapse: float | None,
    target: float | None,
    approximate: bool,
    model: str | None,
    format_: str,
    output: str | None,
    overwrite: bool,
    copy_to: str | None,
    threads: int,
    **filters: Any,
) -> int:
    """Find what is like a recording.

    \b
    Examples:
      engine search door.wav --index lib.index
      engine search door.wav --index lib.index --per-recording 1 --collapse 0.98 --copy-to found/
      engine search --record 4 --index lib.index --tag doors
      engine search door.wav --index lib.index --positive good.wav --negative bad.wav
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.embedder import Embedder
    from engine.index import Filters, Index

    if record is not None and queries:
        raise click.UsageError("expected a QUERY or --record, got both; leave out one of them")
    if record is None and not queries and not positives:
        raise click.UsageError("expected a QUERY, --record or --positive, got none; name a recording")
    asked: list[Any] = list(queries)
    if record is not None:
        from engine.record import record as from_microphone

        asked = [from_microphone(record)]
    embedder = None if model is None else Embedder(model, threads=threads)
    with Index.open(folder, embedder) as index, open_output(output, overwrite) as stream:
        if approximate and not index.has_approximate:
            recall = index.build_approximate()
            click.echo(f"built the faiss file of {folder}: recall at 10: {recall:.3f}", err=True)
        found = index.search_many(
            asked or [None],
            k,
            offset=offset,
            filters=Filters(**filters),
            positives=positives,
            negatives=negatives,
            refine=refine,
            per_recording=per_recording,
            collapse=collapse,
            target=target,
            approximate=approximate,
            threads=threads,
        )
        names = ["microphone"] if record is not None else [str(query) for query in queries or positives[:1]]
        stream.write(_written(format_, names, found).encode())
        stream.flush()
    return _copy(found, names, copy_to) if copy_to else 0


def _written(format_: str, names: list[str], found: list[list[Hit]]) -> str:
    if format_ == "json":
        values = [
            {"query": name, "hits": [hit.to_dict() for hit in hits]} for name, hits in zip(names, found, strict=True)
        ]
        return json.dumps(values if len(values) > 1 else values[0], indent=2) + "\n"
    text = io.StringIO()
    if format_ == "csv":
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["query", "rank", "path", "start_s", "end_s", "score", "tags", "n_alike"])
        for name, hits in zip(names, found, strict=True):
            for hit in hits:
                place = (f"{hit.start_s:.6f}", f"{hit.end_s:.6f}", f"{hit.score:.6f}")
                table.writerow([name, hit.rank, hit.path, *place, ";".join(hit.tags), hit.n_alike])
        return text.getvalue()
    for name, hits in zip(names, found, strict=True):
        if len(names) > 1:
            text.write(f"{name}\n")
        for hit in hits:
            alike = f"  and {hit.n_alike} alike" if hit.n_alike else ""
            tags = f"  {', '.join(hit.tags)}" if hit.tags else ""
            text.write(f"{hit.rank:4d}  {hit.score:7.4f}  {hit.start_s:8.2f} s  {_shown(hit.path)}{tags}{alike}\n")
    return text.getvalue()


def _shown(path: str) -> str:
    """Return a path as seen from the working directory where it lies below that."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _copy(found: list[list[Hit]], names: list[str], copy_to: str) -> int:
    from engine.index.cuts import copy_hits

    n_failed = 0
    for number, hits in enumerate(found, start=1):
        folder = Path(copy_to) if len(found) == 1 else Path(copy_to) / f"{number:03d}_{Path(names[number - 1]).stem}"
        written, failed = copy_hits(hits, folder)
        n_failed += len(failed)
        for path, why in failed:
            click.echo(f"engine: {why}" if path in why else f"engine: {path!r}: {why}", err=True)
        click.echo(f"{len(written)} files in {folder}", err=True)
    sys.stderr.flush()
    return SOME_FAILED if n_failed else 0

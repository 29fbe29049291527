"""``engine rank``: the sounds of a library in the order of their likeness to a query, such as a vocal imitation."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import click

from engine.cli.formats import printable
from engine.cli.output import open_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.ranker import Ranked, Takes

COLUMNS = ("rank", "n_tied", "score", "path", "start_s", "end_s", "tags")


@click.command()
@click.argument("queries", metavar="[QUERY]...", nargs=-1)
@click.option(
    "--library", metavar="FOLDER", required=True, help="An index, made by engine index build with the same model."
)
@click.option("--record", metavar="SECONDS", type=float, help="Take the query from the microphone.")
@click.option("--model", metavar="NAME|PATH", help="A model of two towers, or an embedder.  [default: the index's own]")
@click.option(
    "--top-k", metavar="K", type=click.IntRange(min=1), default=10, show_default=True, help="Print the K most alike."
)
@click.option(
    "--per-recording",
    metavar="N",
    type=click.IntRange(min=1),
    help="Windows of one recording at most, the best ones.  [default: all]",
)
@click.option(
    "--takes",
    type=click.Choice(["average", "fuse"]),
    default="average",
    show_default=True,
    help="Several queries are takes of one sound: average their embeddings, or fuse their scores.",
)
@click.option(
    "--trim-db",
    metavar="DB",
    type=click.FloatRange(min=0, min_open=True),
    default=40.0,
    show_default=True,
    help="Cut off what lies this far under a query's loudest moment, at its ends.",
)
@click.option("--no-trim", is_flag=True, help="Cut nothing off.")
@click.option(
    "--channel", metavar="N", type=click.IntRange(min=0), help="Take one channel, from 0.  [default: their mean]"
)
@click.option("--format", "format_", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Write to a new file instead of standard output.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
def rank(  # noqa: PLR0913 - one for each option
    *,
    queries: tuple[str, ...],
    library: str,
    record: float | None,
    model: str | None,
    top_k: int,
    per_recording: int | None,
    takes: Takes,
    trim_db: float,
    no_trim: bool,
    channel: int | None,
    format_: str,
    output: str | None,
    overwrite: bool,
    device: str,
    threads: int | None,
) -> None:
    """Rank the sounds of a library by a query, or by several takes of one.

    \b
    Examples:
      engine index build sounds/ -o lib.index --model imitation.onnx
      engine rank hum.wav --library lib.index --model imitation.onnx
      engine rank take1.wav take2.wav take3.wav --library lib.index --takes fuse
      engine rank --record 4 --library lib.index

    A model of two towers compares what it was trained to compare; any other with an embedding ranks by the cosine.
    Equal scores share the mean of their ranks.
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.index import Index
    from engine.ranker import Ranker

    if (record is None) == (not queries):
        raise click.UsageError("expected either a QUERY or --record; give one of them")
    takes_of_query: list[Any] = list(queries)
    if record is not None:
        from engine.record import record as from_microphone

        takes_of_query = [from_microphone(record)]
    with (
        Index.open(library) as index,
        Ranker(model or index.header.model, device, threads) as ranker,
        open_output(output, overwrite) as stream,
    ):
        options = {"takes": takes, "trim_db": None if no_trim else trim_db, "channel": channel}
        ranked = ranker.rank(takes_of_query, index, top_k=top_k, per_recording=per_recording, **options)
        stream.write(FORMATS[format_](ranked).encode())


def _text(ranked: Sequence[Ranked]) -> str:
    lines = []
    for place in ranked:
        tied = f" (with {place.n_tied} more)" if place.n_tied else ""
        tags = f"  {', '.join(map(printable, place.tags))}" if place.tags else ""
        times = f"{place.start_s:.2f}-{place.end_s:.2f} s"
        lines.append(f"{place.rank:g}{tied}  {place.score:.4f}  {printable(place.path)}  {times}{tags}\n")
    return "".join(lines)


def _json(ranked: Sequence[Ranked]) -> str:
    return json.dumps([place.to_dict() for place in ranked], indent=2, ensure_ascii=False) + "\n"


def _csv(ranked: Sequence[Ranked]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(place.to_dict() | {"tags": ";".join(place.tags)} for place in ranked)
    return stream.getvalue()


FORMATS = {"text": _text, "json": _json, "csv": _csv}

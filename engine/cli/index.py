"""``engine index``: a library of sounds that can be searched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from engine.cli.columns import echo_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.index import Change, Index

SOME_FAILED = 3
METRICS = ("cosine", "euclidean", "inner_product")


@click.group()
def index() -> None:
    """Make and keep an index of recordings for engine search.

    \b
    Examples:
      engine index build recordings/ -o lib.index
      engine index update lib.index
      engine index info lib.index
      engine search hum.wav --index lib.index
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)


@index.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FOLDER", required=True, help="The new index.")
@click.option("--model", metavar="NAME|PATH", help="A model with an embedding.")
@click.option("--metric", type=click.Choice(METRICS), default="cosine", show_default=True)
@click.option("--window-s", metavar="SECONDS", type=float, help="Length of a window.  [default: the model's]")
@click.option("--hop-s", metavar="SECONDS", type=float, help="From window to window.  [default: the model's]")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Of all recordings; may be repeated.")
@click.option("--tag-folders", is_flag=True, help="Tag each recording with the name of its folder.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
@click.option("--quiet", is_flag=True, help="No progress.")
def build(  # noqa: PLR0913 - one for each option
    *,
    inputs: tuple[str, ...],
    output: str,
    model: str | None,
    metric: str,
    window_s: float | None,
    hop_s: float | None,
    tags: tuple[str, ...],
    tag_folders: bool,
    device: str,
    threads: int | None,
    quiet: bool,
) -> int:
    """Embed files, folders and patterns into a new index."""
    from engine.embedder import Embedder
    from engine.index import Index

    def tags_of(path: str) -> Sequence[str]:
        return (*tags, Path(path).parent.name) if tag_folders else tags

    with (
        Embedder(model, device, threads) as embedder,
        Index.create(output, embedder, metric, window_s=window_s, hop_s=hop_s) as made,  # type: ignore[arg-type]
    ):
        with _progress(quiet) as bar:
            change = made.add(inputs, tags_of, progress=_counter(bar))
        made.save()
        return _report(change, made)


@index.command()
@click.argument("folder", metavar="INDEX")
@click.argument("inputs", metavar="[INPUT]...", nargs=-1)
@click.option("--prune", is_flag=True, help="Remove recordings that are no longer there.")
@click.option("--model", metavar="PATH", help="Where the model of the index is, if its name is not installed.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
@click.option("--quiet", is_flag=True, help="No progress.")
def update(
    *,
    folder: str,
    inputs: tuple[str, ...],
    prune: bool,
    model: str | None,
    device: str,
    threads: int | None,
    quiet: bool,
) -> int:
    """Embed what is new or has changed in the inputs of an index, and in further ones."""
    from engine.embedder import Embedder
    from engine.index import Index

    with Index.open(folder) as found:
        name = model or found.header.model
    with Embedder(name, device, threads) as embedder, Index.open(folder, embedder) as kept:
        with _progress(quiet) as bar:
            more = kept.add(inputs, progress=_counter(bar)) if inputs else None
            change = kept.update(prune=prune, progress=_counter(bar))
        kept.save()
        return _report(change, kept, more)


@index.command()
@click.argument("folder", metavar="INDEX")
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True)
def remove(*, folder: str, patterns: tuple[str, ...]) -> None:
    """Remove the recordings whose paths match; the files stay."""
    from engine.index import Index

    with Index.open(folder) as kept:
        gone = kept.remove(patterns)
        kept.save()
    click.echo(f"{len(gone)} recordings removed")


@index.command()
@click.argument("folder", metavar="INDEX")
def info(*, folder: str) -> None:
    """Say what an index holds and which model made it."""
    from engine.index import Index

    with Index.open(folder) as found:
        header, items = found.header, found.items
        tags = sorted({tag for row in items["tags"].to_pylist() for tag in row or ()})
        recordings = len(set(items["recording_id"].to_pylist()))
        seconds = sum(row["end_s"] - row["start_s"] for row in items.select(["start_s", "end_s"]).to_pylist())
        echo_columns(
            [
                ("folder", str(found.folder)),
                ("model", f"{header.model} ({header.model_sha256[:12]})"),
                ("items", f"{len(items)} windows of {recordings} recordings, {seconds / 3600:.2f} h"),
                ("vectors", f"{header.size} numbers, {header.metric}"),
                ("version", str(header.version)),
                ("tags", ", ".join(tags) or "none"),
                ("inputs", ", ".join(header.inputs) or "none"),
            ]
        )


@index.command()
@click.argument("folder", metavar="INDEX")
def verify(*, folder: str) -> None:
    """Read every byte of an index and compare it with its hashes."""
    from engine.index import Index

    with Index.open(folder) as found:
        found.verify()
        click.echo(f"{found.folder}: {len(found)} items as they were written")


@index.command()
@click.argument("folder", metavar="INDEX")
def approximate(*, folder: str) -> None:
    """Build the faiss file for very large indexes, and measure how many true neighbours it finds."""
    from engine.index import Index

    with Index.open(folder) as found:
        recall = found.build_approximate()
    click.echo(f"recall at 10: {recall:.3f}")


@index.command()
@click.argument("folder", metavar="INDEX")
@click.option("--to", type=click.Choice(["lancedb"]), required=True)
@click.option("--overwrite", is_flag=True, help="Replace a table of that name.")
@click.argument("uri")
def export(*, folder: str, to: str, overwrite: bool, uri: str) -> None:  # noqa: ARG001 - there is one kind so far
    """Write an index as a table of LanceDB at URI, a folder or an object store."""
    from engine.index import Index

    with Index.open(folder) as found:
        click.echo(f"{found.export_lancedb(uri, overwrite=overwrite)} rows in {uri}")


def _report(change: Change, index: Index, more: Change | None = None) -> int:
    changes = [change] if more is None else [more, change]
    failed = {path: why for one in changes for path, why in one.failed}
    for path, why in failed.items():
        click.echo(f"engine: {why}" if path in why else f"engine: {path!r}: {why}", err=True)
    counts = {name: sum(len(getattr(one, name)) for one in changes) for name in ("added", "changed", "removed")}
    parts = [f"{n} {name}" for name, n in counts.items()]
    if change.missing:
        parts.append(f"{len(change.missing)} no longer there and kept (--prune removes them)")
    parts.append(f"{len(failed)} failed")
    click.echo(f"{index.folder}: {', '.join(parts)}; {len(index)} items")
    return SOME_FAILED if failed else 0


def _progress(quiet: bool) -> tqdm[None]:
    return tqdm(disable=quiet or not sys.stderr.isatty(), file=sys.stderr, unit="file", leave=False)


def _counter(bar: tqdm[None]) -> Callable[[int], object]:
    return lambda n_done: bar.update(n_done - bar.n)

"""``engine teach``: a handful of labelled clips to a tagger of one's own, and which clips to label next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from engine.cli.columns import echo_columns
from engine.cli.formats import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.teach import Failure, LabelFigures, Taught

SOME_FAILED = 3


@click.command()
@click.argument("examples", metavar="EXAMPLES...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE", help="The .onnx file to write; with --review the CSV.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--embedder", metavar="NAME|PATH", help="A model with an embedding.  [default: the shipped one]")
@click.option(
    "--head", type=click.Choice(["linear", "mlp"]), default="linear", show_default=True, help="On the embedding."
)
@click.option(
    "--precision", type=float, metavar="SHARE", default=0.9, show_default=True, help="That thresholds are chosen for."
)
@click.option(
    "--score",
    type=click.Choice(["softmax", "sigmoid"]),
    help="Labels exclude each other, or do not.  [default: softmax where each clip has one]",
)
@click.option(
    "--reduce",
    type=click.Choice(["max", "mean"]),
    help="How windows become a clip's scores.  [default: softmax mean, sigmoid max]",
)
@click.option(
    "--recording", metavar="REGEX", help="Its group in a file's name is the recording that the clip was cut from."
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", default=0, show_default=True, help="Of the folds.")
@click.option("--review", metavar="POOL", multiple=True, help="Propose clips of it to label instead; may be repeated.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many to propose.  [default: 20]")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def teach(
    *,
    examples: tuple[str, ...],
    output: str,
    overwrite: bool,
    review: tuple[str, ...],
    count: int | None,
    quiet: bool,
    **options: Any,
) -> int:
    """Teach new classes from labelled clips: folders named as their labels, or CSV tables.

    A table has the columns file (relative to the table) and label: several labels with ; between them, - for none of
    the sounds, empty for not labelled yet. A column recording or source says which clips belong together; without one,
    clips do whose names end in their place (night_2.00_7.00) or whose content is the same. Figures are of clips whose
    recordings were kept out.

    The result is one ONNX file for engine tag, with its figures in its card. A file that cannot be used is reported on
    standard error, the rest is taught, and the exit code is 3.

    \b
    Examples:
      engine teach clips/ -o mine.onnx
      engine teach clips.csv --precision 0.95 --embedder ./yamnet.onnx -o mine.onnx
      engine teach clips/ --review field/ --count 30 -o todo.csv
      engine teach clips/ todo.csv -o mine.onnx
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    if count is not None and not review:
        raise click.UsageError("expected --count together with --review, got it alone; add --review POOL")
    if not Path(output).resolve().parent.is_dir():
        raise click.ClickException(f"expected a file in an existing folder, got {output!r}; make the folder first")
    if Path(output).exists() and not overwrite:
        raise click.ClickException(f"expected a new file, got {output!r}, which exists; rename it or add --overwrite")
    # disable=None: no bar where nobody watches.
    with tqdm(unit="clip", leave=False, disable=quiet or None, file=sys.stderr) as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        if review:
            return _review(examples, review, output, count, options | {"progress": progress})
        from engine.teach import teach as teach_model

        taught = teach_model(examples, output, overwrite=overwrite, progress=progress, **options)
    return _report(taught)


def _review(
    examples: tuple[str, ...], pool: tuple[str, ...], output: str, count: int | None, options: dict[str, Any]
) -> int:
    from engine.teach import propose, write_proposals

    found = propose(examples, pool, **(options if count is None else options | {"count": count}))
    write_proposals(found.proposals, output)
    _report_failures(found.failures)
    click.echo(f"{output}: {len(found.proposals)} of {found.n_pool} clips to label; fill in the column label")
    return SOME_FAILED if found.failures else 0


def _report(taught: Taught) -> int:
    _report_failures(taught.failures)
    if taught.n_unlabelled:
        click.echo(f"engine: {taught.n_unlabelled} rows of the tables have no label yet and were left out", err=True)
    for warning in taught.warnings:
        click.echo(f"engine: {warning}", err=True)
    metrics, measured = taught.card.metrics, taught.measurement
    heads = ("label", "clips", "recordings", "threshold", "precision", "recall", "average precision")
    rows = [
        (
            printable(label),
            str(metrics["clips"][label]),
            str(metrics["recordings"][label]),
            f"{taught.card.thresholds[label]:.2f}",
            *_figures(None if measured is None else measured.labels[number]),
        )
        for number, label in enumerate(taught.card.labels)
    ]
    echo_columns([heads, *rows])
    if measured is not None:
        low, high = measured.interval
        by_fold = measured.accuracy_by_fold
        what = "accuracy" if taught.card.score == "softmax" else "clips with exactly the right labels"
        click.echo(
            f"{what} {measured.accuracy:.2f}, between {low:.2f} and {high:.2f} with 95 % confidence; "
            f"{min(by_fold):.2f} to {max(by_fold):.2f} over {len(by_fold)} folds; {measured.n_clips} clips of "
            f"{measured.n_recordings} recordings"
        )
    click.echo(f"{taught.path}: {len(taught.card.labels)} labels on {metrics['made_from']['name']}")
    return SOME_FAILED if taught.failures else 0


def _figures(label: LabelFigures | None) -> tuple[str, str, str]:
    if label is None or label.average_precision is None:
        return "-", "-", "-"
    precision = "-"
    if label.precision is not None and label.precision_interval is not None:
        low, high = label.precision_interval
        precision = f"{label.precision:.2f} ({low:.2f} to {high:.2f})"
    return precision, f"{label.recall:.2f}", f"{label.average_precision:.2f}"


def _report_failures(failures: Iterable[Failure]) -> None:
    for failure in failures:
        named = "" if repr(failure.path) in failure.reason else f"{failure.path!r}: "
        click.echo(f"engine: {named}{failure.reason}", err=True)

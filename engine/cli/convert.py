"""``engine models convert``: smaller, faster or self-contained variants of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.cli.columns import echo_columns
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.convert import Conversion, Recording

FATAL, SOME_FAILED = 1, 3


@click.command()
@click.argument("model", metavar="NAME|PATH")
@click.option("--variants", metavar="LIST", required=True, help="Some of int8, fp16 and waveform, with commas.")
@click.option("--calibration", metavar="FOLDER", help="Recordings to calibrate and to measure with; int8 needs them.")
@click.option(
    "--labels-csv", metavar="FILE", help="Columns file,label: accuracy is measured on the recordings named there."
)
@click.option("-o", "--output", metavar="FOLDER", default=".", show_default=True, help="Where the variants go.")
@click.option("--overwrite", is_flag=True, help="Replace variants that exist.")
def convert(
    *, model: str, variants: str, calibration: str | None, labels_csv: str | None, output: str, overwrite: bool
) -> int:
    """Write variants of a model: int8 for CPUs, fp16 for CUDA, waveform for hosts without the engine.

    Each is a model of its own, NAME-VARIANT.onnx, with card and golden check. One that does not agree with the model
    is not written: that is said on standard error, and the exit code is 3, or 1 if there is none at all. Speed is a
    multiple of the original's, for one window on one thread of this CPU: with the front end, and the network alone.

    \b
    Examples:
      engine models convert esc10 --variants waveform -o variants/
      engine models convert esc10 --variants int8,fp16 --calibration recordings/ -o variants/
      engine models convert ./mine.onnx --variants int8 --calibration clips/ --labels-csv clips.csv
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.convert import VARIANTS, convert_model, read_recordings
    from engine.model import Model

    wanted = list(dict.fromkeys(variants.split(",")))
    if unknown := [variant for variant in wanted if variant not in VARIANTS]:
        raise click.BadParameter(f"expected some of {', '.join(VARIANTS)}, got {unknown}", param_hint="--variants")
    if calibration is None and ("int8" in wanted or labels_csv is not None):
        raise click.UsageError("expected --calibration FOLDER, which int8 and --labels-csv need; name recordings")
    recordings: tuple[Recording, ...] = ()
    if calibration is not None:
        recordings = read_recordings(calibration, Model.open(model, "cpu", 1).card, labels_csv)
    written: list[Conversion] = []
    for variant in wanted:
        try:
            written.append(convert_model(model, variant, output, recordings, overwrite=overwrite))
        except EngineError as error:
            click.echo(f"engine: {variant}: {error}", err=True)
    if not written:
        return FATAL
    heads = ("file", "MB", "of original", "speed", "network", "rank correlation", "accuracy drop", "largest difference")
    echo_columns([heads, *map(_row, written)])
    return SOME_FAILED if len(written) < len(wanted) else 0


def _row(done: Conversion) -> tuple[str, ...]:
    found = done.agreement
    correlation, drop = (None, None) if found is None else (found.rank_correlation, found.accuracy_drop)
    return (
        str(done.path),
        f"{done.n_bytes / 1e6:.2f}",
        f"{done.n_bytes / done.original_bytes:.0%}",
        f"{done.speed_ratio:.2f} x",
        "-" if done.network_speed_ratio is None else f"{done.network_speed_ratio:.2f} x",
        "-" if correlation is None else f"{correlation:.4f}",
        "-" if drop is None else f"{drop:.3f}",
        f"{done.largest_difference:.1e}",
    )

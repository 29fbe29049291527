"""``engine plot``: a recording, and what is heard in it, as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import click

from engine.cli.output import open_output
from engine.errors import ConfigError

LONGEST_S = 3600.0  # all of it is held, and a picture has two thousand columns


@click.command()
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", metavar="PNG", required=True, help="A new picture.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--model", metavar="NAME|PATH", help="A shipped model, or an .onnx file with a card.")
@click.option("--threshold", metavar="SCORE", type=float, help="Of events.  [default: the model's]")
@click.option("--window-s", metavar="SECONDS", type=float, help="Length of a window.  [default: the model's]")
@click.option("--hop-s", metavar="SECONDS", type=float, help="From window to window.  [default: the model's]")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def plot(
    *,
    file: str,
    output: str,
    overwrite: bool,
    model: str | None,
    threshold: float | None,
    window_s: float | None,
    hop_s: float | None,
    device: str,
) -> None:
    """Draw a recording: its waveform, the spectrogram that the model sees, and events over one time axis.

    \b
    Example:
      engine plot examples/clock_tick.flac -o clock.png
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.audio import load
    from engine.frontend import LogMel
    from engine.picture import require_matplotlib
    from engine.tagger import Tagger

    require_matplotlib()
    with Tagger(model, device) as tagger, open_output(output, overwrite) as stream:
        clip = tagger(file, window_s=window_s, hop_s=hop_s)
        if clip.duration_s > LONGEST_S:
            raise ConfigError(
                f"expected a recording of at most {LONGEST_S / 3600:g} h to draw, got {clip.duration_s / 3600:.1f} h; "
                "cut it, or draw the activity of an archive with engine archive summary --plot"
            )
        sound = load(file, tagger.card.sample_rate)
        frontend = tagger.card.frontend
        log_mel = None if frontend is None else LogMel(frontend)(sound[0])
        picture = io.BytesIO()
        figure = clip.plot(threshold, title=Path(file).name, sound=sound, log_mel=log_mel)
        figure.savefig(picture, format="png", dpi=110)
        stream.write(picture.getvalue())
    click.echo(f"{len(clip.events(threshold))} events in {output}", err=True)

"""``engine app``: a local page to listen, look and search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


def _path(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    return None if value is None else Path(value)


def _paths(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(map(Path, values))


@click.command()
@click.option("--model", metavar="NAME|PATH", help="A shipped model, or an .onnx file with a card.")
@click.option("--index", metavar="INDEX", callback=_path, help="To search in: from engine index build, or an archive.")
@click.option(
    "--archive",
    "archives",
    metavar="FOLDER",
    multiple=True,
    callback=_paths,
    help="Of an archive run; repeatable.",
)
@click.option(
    "--report", "reports", metavar="FILE", multiple=True, callback=_paths, help="Of engine bench -o; repeatable."
)
@click.option("--port", metavar="N", type=int, default=7860, show_default=True, help="0 is any that is free.")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="0.0.0.0 is all of them.")
@click.option("--token", metavar="TEXT", help="What visitors must know.  [default with --host: made up]")
@click.option("--certfile", metavar="PEM", callback=_path, help="For HTTPS, with --keyfile.")
@click.option("--keyfile", metavar="PEM", callback=_path, help="For HTTPS, with --certfile.")
@click.option("--max-mb", metavar="MB", type=float, default=100.0, show_default=True, help="The largest upload.")
@click.option("--max-minutes", metavar="MIN", type=float, default=10.0, show_default=True, help="The longest upload.")
@click.option("--share-nothing", is_flag=True, help="No sound and no picture of the recordings on this machine.")
@click.option("--device", metavar="DEVICE", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="CPUs to use.  [default: all]")
def app(*, share_nothing: bool, **options: Any) -> None:
    """Open a page in the browser to tag recordings, search sounds by example, and look through archives and models.

    The page is for this machine alone unless --host names another address. Then visitors need a token, which is
    printed with the address, and the microphone needs a certificate: browsers give it to pages over HTTPS only.
    Nothing is sent anywhere, and the page works without a network. Ctrl-C ends it.

    \b
    Examples:
      engine app
      engine app --index lib.index --archive out
      engine app --host 0.0.0.0 --certfile cert.pem --keyfile key.pem
      engine app --index lib.index --host 0.0.0.0 --share-nothing
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.app.server import serve
    from engine.app.settings import AppSettings

    serve(AppSettings(shares_recordings=not share_nothing, **options), click.echo)

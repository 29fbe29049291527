"""``engine models``: which models there are, what they say about themselves, and putting others beside them."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from typing import TYPE_CHECKING

import click

from engine.cli.adopt import adopt
from engine.cli.card_view import card_text
from engine.cli.columns import echo_columns
from engine.cli.convert import convert
from engine.cli.formats import printable
from engine.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.card import ModelCard
    from engine.registry import ModelFile

WIDEST = 100


@click.group()
def models() -> None:
    """List, show, verify and convert models; add others to your own; adopt foreign ones.

    \b
    Examples:
      engine models list
      engine models show esc10
      engine models show ./mine.onnx --json
      engine models verify esc10
      engine models convert esc10 --variants waveform
      engine models add ./mine.onnx --name mine
      engine models fetch https://host/birds.onnx --sha256 0123...
      engine models adopt theirs.onnx --frontend yamnet --labels labels.csv --score sigmoid -o mine.onnx

    A name is searched in the folders of ENGINE_MODELS, then among your own models, then among those that came with
    the engine.
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)


models.add_command(adopt)
models.add_command(convert)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON: name, path, origin, hidden, card and error of each.")
def list_models(as_json: bool) -> None:
    """List the models that are found by name, and where each lies."""
    from engine.registry import installed_models

    found = [(model, *_card_or_error(model)) for model in installed_models()]
    if as_json:
        click.echo(json.dumps([_record(*entry) for entry in found], indent=2, ensure_ascii=False))
        return
    echo_columns([_row(*entry) for entry in found])


@models.command()
@click.argument("name", metavar="[NAME|PATH]", required=False)
@click.option("--json", "as_json", is_flag=True, help="The whole card as JSON.")
@click.option("--schema", is_flag=True, help="The JSON Schema of cards, instead of a card.")
def show(name: str | None, as_json: bool, schema: bool) -> None:
    """Show what a model says about itself: its card."""
    from engine.card_text import schema_text
    from engine.registry import find_model

    if (name is None) != schema:
        raise click.UsageError("expected either the name or path of a model, or --schema; give one of them")
    if name is None:
        click.echo(schema_text(), nl=False)
        return
    path = find_model(name)
    card = _card(path)
    if as_json:
        values = card.to_dict()
        # In the order of the fields, which is that of the documentation.
        click.echo(json.dumps({field.name: values[field.name] for field in fields(card)}, indent=2, ensure_ascii=False))
        return
    click.echo(card_text(card, path, min(WIDEST, shutil.get_terminal_size().columns)))


@models.command()
@click.argument("name", metavar="NAME|PATH")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N.")
def verify(name: str, device: str) -> None:
    """Check that a model is unchanged and computes here what it computed where it was made."""
    from engine.verify import verify_model

    result = verify_model(name, device)
    golden = result.card.golden
    assert golden is not None
    click.echo(
        f"{result.card.name} is intact: outputs within {result.golden_error:.1g} of its golden check, "
        f"{golden.tolerance:g} allowed"
    )


@models.command()
@click.argument("file", metavar="FILE")
@click.option("--name", metavar="NAME", help="Name to find it by.  [default: the one in its card]")
@click.option("--sha256", metavar="HEX", help="What the file's SHA-256 must be.")
@click.option("--overwrite", is_flag=True, help="Replace your model of that name, or stand in front of a shipped one.")
def add(file: str, name: str | None, sha256: str | None, overwrite: bool) -> None:
    """Copy a model to your own, after making sure that it can be used."""
    from engine.install import add_model

    _echo_added(add_model(file, name, sha256, overwrite))


@models.command()
@click.argument("url", metavar="URL")
@click.option("--sha256", metavar="HEX", required=True, help="What the file's SHA-256 must be.")
@click.option("--name", metavar="NAME", help="Name to find it by.  [default: the one in its card]")
@click.option("--overwrite", is_flag=True, help="Replace your model of that name, or stand in front of a shipped one.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def fetch(url: str, sha256: str, name: str | None, overwrite: bool, quiet: bool) -> None:
    """Download a model to your own; a download that was interrupted goes on where it stopped."""
    from tqdm import tqdm

    from engine.install import fetch_model

    # disable=None: no bar where nobody watches.
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=quiet or None) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        added = fetch_model(url, sha256, name, overwrite, progress)
    _echo_added(added)


@models.command()
@click.argument("name", metavar="NAME")
def remove(name: str) -> None:
    """Delete one of your own models."""
    from engine.install import remove_model

    click.echo(f"removed {remove_model(name)}")


def _card(path: Path) -> ModelCard:
    from engine.model import Model

    return Model.open(path, device="cpu", threads=1).card


def _card_or_error(model: ModelFile) -> tuple[ModelCard | None, str | None]:
    try:
        return _card(model.path), None
    except EngineError as error:
        return None, str(error)


def _record(model: ModelFile, card: ModelCard | None, error: str | None) -> dict[str, object]:
    place = {"name": model.name, "path": str(model.path), "origin": model.origin, "hidden": model.hidden}
    return place | {"card": None if card is None else card.to_dict(), "error": error}


def _row(model: ModelFile, card: ModelCard | None, error: str | None) -> tuple[str, ...]:
    place = f"{model.origin}, hidden" if model.hidden else model.origin
    if card is None:
        return model.name, "unusable", "", "", place, error or ""
    rate = "no sound" if card.sample_rate is None else f"{card.sample_rate} Hz"
    return model.name, card.task, f"{len(card.labels)} labels", rate, place, printable(card.licence)


def _echo_added(model: ModelFile) -> None:
    hidden = ", hidden by another model of that name" if model.hidden else ""
    click.echo(f"{model.name} is at {model.path}{hidden}")

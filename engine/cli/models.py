"""``engine models``: the models that are shipped, what they say about themselves, and whether they are intact."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engine.card import ModelCard


@click.group()
def models() -> None:
    """List, show and verify models.

    \b
    Examples:
      engine models list
      engine models show esc10
      engine models show ./mine.onnx --json
      engine models verify esc10
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)


@models.command("list")
def list_models() -> None:
    """List the shipped models."""
    from engine.registry import model_names

    cards = [_card(name) for name in model_names()]
    rows = [
        (
            card.name,
            card.task,
            f"{len(card.labels)} labels",
            "no sound" if card.sample_rate is None else f"{card.sample_rate} Hz",
            card.licence,
        )
        for card in cards
    ]
    _echo_columns(rows)


@models.command()
@click.argument("name", metavar="NAME|PATH")
@click.option("--json", "as_json", is_flag=True, help="The whole card as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show what a model says about itself: its card."""
    card = _card(name)
    values = {field.name: card.to_dict()[field.name] for field in fields(card)}
    if as_json:
        click.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    _echo_columns(_lines(values))


@models.command()
@click.argument("name", metavar="NAME|PATH")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N.")
def verify(name: str, device: str) -> None:
    """Check that a model is unchanged and computes here what it computed where it was made."""
    from engine.verify import verify_model

    result = verify_model(name, device)
    golden = result.card.golden
    tolerance = "" if golden is None else f", {golden.tolerance:g} allowed"
    click.echo(f"{result.card.name} is intact: outputs within {result.golden_error:.1g} of its golden check{tolerance}")


def _card(name: str) -> ModelCard:
    from engine.model import Model

    return Model.open(name, device="cpu", threads=1).card


def _lines(values: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Give a card as (name, value) pairs, nested names joined by dots; the golden check's numbers are left to JSON."""
    for name, value in values.items():
        if name == "golden" or value in (None, "", {}, []):
            continue
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            yield prefix + name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _echo_columns(rows: Iterable[tuple[str, ...]]) -> None:
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

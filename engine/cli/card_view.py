"""A model card as text for a terminal: wrapped lists in aligned columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from engine.card_sections import card_sections
from engine.cli.formats import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from engine.card import ModelCard


def card_text(card: ModelCard, path: Path, width: int) -> str:
    """Return a card as lines of at most ``width`` characters, where words allow it."""
    blocks = []
    for title, rows in card_sections(card, path).items():
        given = [(printable(name), printable(value)) for name, value in rows]
        blocks.append("\n".join([title, *_aligned(given, width)]))
    return "\n\n".join(blocks)


def _aligned(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    column = 2 + max((len(name) + 2 for name, _ in rows if name), default=0)
    for name, value in rows:
        yield from textwrap.wrap(
            value,
            max(width, column + 20),
            initial_indent=f"  {name}".ljust(column),
            subsequent_indent=" " * column,
            break_long_words=False,
            break_on_hyphens=False,
        )

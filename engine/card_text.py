"""The text of a card as it stands in a model: of bounded size and depth, and unchanged since it was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.fingerprint import card_sha256

# Far above what labels, metrics and a golden check need; reading that much takes some 100 MB.
MAX_CHARACTERS = 1 << 22
MAX_DEPTH = 32


def parse_card(text: str) -> tuple[dict[str, Any], bool]:
    """Return the JSON values of a card, and whether they are what its ``card_sha256`` was computed from.

    Raises
    ------
    ModelError
        The text is too long, or no JSON object of finite numbers and whole characters.
    """
    if len(text) > MAX_CHARACTERS:
        raise ModelError(
            f"expected a card of at most {MAX_CHARACTERS} characters, got one of {len(text)}; get the model again"
        )
    try:
        values = json.loads(text)
        _check_json(values)
        # NaN and infinities, which json.loads lets through, end here.
        unchanged = values.get("card_sha256") == card_sha256(values)
    except (AttributeError, RecursionError, ValueError) as error:
        raise ModelError(
            f"expected the card to be a JSON object, got damaged text ({error}); get the model again"
        ) from error
    return values, unchanged


def _check_json(values: object) -> None:
    """Raise a ValueError for what JSON allows and a card may not have: depth without end, and halves of characters."""
    level = [values]
    for _ in range(MAX_DEPTH):
        for value in level:
            if isinstance(value, str):
                value.encode()
        parts = [(*value, *value.values()) if isinstance(value, dict) else value for value in level]
        level = [item for part in parts if isinstance(part, list | tuple) for item in part]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def schema_text() -> str:
    """Return the JSON Schema (draft 2020-12) of a card of the present schema."""
    return Path(__file__).with_name("card_schema.json").read_text(encoding="utf-8")

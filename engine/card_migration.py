"""Cards of older schemas, turned into the present one.

Each schema has one step that turns the JSON values of its cards into those of the schema after it; a card goes through
the steps in order. What a step adds are the values that say what the older engine did. The hash of a card is checked as
it was written, before any step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMA = 3
Values = dict[str, Any]


def is_readable(schema: object) -> bool:
    """Return whether cards of ``schema`` are read, as they are or after migration."""
    return type(schema) is int and (schema == SCHEMA or schema in STEPS)


def migrated(values: Mapping[str, Any]) -> Values:
    """Return the JSON values of a card of any readable schema as those of the present one; the argument stays.

    Values of a wrong type are passed on as they are, for the card to refuse.
    """
    newer = dict(values)
    while newer["schema"] != SCHEMA:
        newer = STEPS[newer["schema"]](newer)
    return newer


def _from_1(values: Values) -> Values:
    """Add what schema 2 brought: context, states, constants, length of a row, padding of frames, scores over time."""
    newer = _with(values, {"frame_hop": None, "frame_length": None}) | {"schema": 2}
    if isinstance(values.get("input"), dict):
        added = {"context": 0, "states": [], "constants": [], "row_s": None, "frame_padding": 0.0}
        newer["input"] = _with(values["input"], added)
    if isinstance(values.get("outputs"), dict):
        newer["outputs"] = _with(values["outputs"], {"frames": None})
    return newer


def _from_2(values: Values) -> Values:
    """Add what schema 3 brought: the query tower, and its part of the golden check."""
    newer = _with(values, {"query": None}) | {"schema": 3}
    if isinstance(values.get("golden"), dict):
        newer["golden"] = _with(values["golden"], {"similarity": None})
    return newer


def _with(values: Values, added: Values) -> Values:
    if early := sorted(added.keys() & values.keys()):
        raise ModelError(
            f"expected a card of an older schema to lack the fields that came later, got it with {early}; remove them, "
            "or state the newer schema"
        )
    return values | added


STEPS: dict[int, Callable[[Values], Values]] = {1: _from_1, 2: _from_2}

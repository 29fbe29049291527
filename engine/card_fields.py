"""Checks on the fields of a model card: what each may hold, and the sentence that says so."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeGuard, get_args

from engine.errors import ModelError

# Of a model: fit for a file, a command line and a table.
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def require(ok: bool, field: str, expected: str, got: object) -> None:
    """Raise a ModelError that names the card's field unless ``ok``."""
    if not ok:
        raise ModelError(f"expected the card field {field!r} to be {expected}, got {shown(got)}; correct the card")


def require_choice(value: object, literal: Any, field: str) -> None:
    """Raise a ModelError unless ``value`` is one of the words of a ``Literal``."""
    words = get_args(literal)
    require(value in words, field, " or ".join(map(repr, words)), value)


def exactly_the_fields(cls: type, values: object, where: str) -> dict[str, Any]:
    """Return ``values`` as a dict that has exactly the fields of the dataclass ``cls``; ModelError otherwise."""
    if not isinstance(values, Mapping):
        raise ModelError(f"expected {where} to be a JSON object, got {type(values).__name__}; correct the card")
    known = [field.name for field in fields(cls)]
    if unknown := sorted(str(name) for name in values if name not in known):
        raise ModelError(f"expected the fields {known} in {where}, got unknown {shown(unknown)}; remove or rename them")
    if missing := [name for name in known if name not in values]:
        raise ModelError(f"expected the fields {known} in {where}, got it without {missing}; add them")
    return dict(values)


def shown(value: object) -> str:
    """Return ``value`` as a message shows it: cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def as_tuple(part: object, attribute: str, field: str) -> tuple[Any, ...]:
    """Turn a sequence attribute of a frozen dataclass into a tuple (JSON knows only lists), and return it."""
    value = getattr(part, attribute)
    require(isinstance(value, Sequence) and not isinstance(value, str | bytes), field, "a list", value)
    object.__setattr__(part, attribute, tuple(value))
    return tuple(value)


def as_tuple_of(part: object, attribute: str, kind: type, field: str) -> tuple[Any, ...]:
    """Do as ``as_tuple`` does, and require that every element is a ``kind``."""
    values = as_tuple(part, attribute, field)
    require(all(isinstance(value, kind) for value in values), field, f"a list of {kind.__name__}", values)
    return values


def is_text(value: object) -> bool:
    """Return whether ``value`` is text that is not empty."""
    return isinstance(value, str) and value.strip() != ""


def is_distinct_text(values: tuple[Any, ...]) -> bool:
    """Return whether every value is text and none comes twice."""
    return all(map(is_text, values)) and len(set(values)) == len(values)


def is_matching(value: object, pattern: str) -> bool:
    """Return whether ``value`` is text that the regular expression ``pattern`` matches from end to end."""
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether ``value`` is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_count(value: object) -> TypeGuard[int]:
    """Return whether ``value`` is a positive whole number."""
    return is_whole(value) and value > 0


def is_number(value: object) -> bool:
    """Return whether ``value`` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max

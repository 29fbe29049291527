"""Command-line fields to a recipe's frozen configuration, strictly."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ConfigT = TypeVar("ConfigT")


def parse_fields(config: type[ConfigT], arguments: Sequence[str]) -> ConfigT:
    """Build a configuration from ``--field=value`` arguments; fields not named keep their defaults.

    A name may have dashes where the field has underscores.

    Parameters
    ----------
    config : type
        A dataclass whose fields are int, float, bool, str, or a tuple of one of them (written with commas).
    arguments : sequence of str

    Raises
    ------
    ConfigError
        For an argument of another form, an unknown or repeated field, or a value of the wrong type.
    """
    types = get_type_hints(config)
    known = [field.name for field in fields(config)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not (argument.startswith("--") and equals):
            raise ConfigError(f"expected --field=value, got {argument!r}; write the value after an equals sign")
        if name not in known:
            raise ConfigError(f"expected one of the fields {', '.join(known)}, got {name!r}; remove or rename it")
        if name in values:
            raise ConfigError(f"expected --{name} once, got it again as {text!r}; keep one of them")
        values[name] = _parse(name, types[name], text)
    return config(**values)


def from_values(config: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a configuration from the JSON values that a run stored.

    Raises
    ------
    ConfigError
        When they are not exactly the configuration's fields, as in a run of another version.
    """
    known = {field.name for field in fields(config)}  # type: ignore[arg-type]
    if differing := sorted(known ^ values.keys()):
        raise ConfigError(f"expected a run with this version's fields, got others in {differing}; begin a new run")
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _parse(name: str, kind: Any, text: str) -> Any:
    if get_origin(kind) is tuple:
        return tuple(_parse(name, get_args(kind)[0], part) for part in text.split(",") if part)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        value = kind(text)
    except (KeyError, ValueError):
        value = math.nan
    if isinstance(value, float) and not math.isfinite(value):
        words = {bool: "true or false", int: "a whole number", float: "a finite number"}
        raise ConfigError(f"expected {words[kind]} for --{name}, got {text!r}; change it")
    return value

"""The parts a model card is made of, each of which refuses values that make no sense."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from engine.errors import ModelError

MAX_SAMPLE_RATE = 1_000_000

InputKind = Literal["log_mel", "waveform", "embedding"]

# The axes that carry an input's content; "batch" and "channel" may stand beside them with length one.
CONTENT_AXES: dict[InputKind, tuple[str, ...]] = {
    "log_mel": ("time", "mel"),
    "waveform": ("time",),
    "embedding": ("time", "feature"),
}


@dataclass(frozen=True)
class ModelInput:
    """What the network is fed.

    Attributes
    ----------
    name : str
        The input's name in the graph.
    kind : str
        "log_mel" (the card's front end runs first), "waveform" (mono samples) or "embedding" (rows of features).
    axes : tuple of str
        The input's axes in order: ("batch", "time", "mel") for log-mel; "channel" where the graph has such an axis.
    sample_rate : int or None
        In Hz; given for kind "waveform" only, where no front end says it.
    """

    name: str
    kind: InputKind
    axes: tuple[str, ...]
    sample_rate: int | None = None

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.name), "input.name", "a name", self.name)
        require_choice(self.kind, InputKind, "input.kind")
        content = CONTENT_AXES[self.kind]
        axes = as_tuple(self, "axes", "input.axes")
        right = is_distinct_text(axes) and set(content) <= set(axes) <= {*content, "batch", "channel"}
        require(right, "input.axes", f"{content} in any order, 'batch' and 'channel' where they exist", axes)
        if self.kind == "waveform":
            right = is_count(self.sample_rate) and (self.sample_rate or 0) <= MAX_SAMPLE_RATE
            require(right, "input.sample_rate", f"a rate from 1 to {MAX_SAMPLE_RATE} Hz", self.sample_rate)
        else:
            require(self.sample_rate is None, "input.sample_rate", f"null for kind {self.kind!r}", self.sample_rate)


@dataclass(frozen=True)
class ModelOutput:
    """One output of the network.

    Attributes
    ----------
    name : str
        The output's name in the graph.
    axes : tuple of str
        ("batch", "label") for scores, ("batch", "feature") for embeddings; "batch" may be absent.
    """

    name: str
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.name), "outputs.name", "a name", self.name)
        axes = as_tuple(self, "axes", "outputs.axes")
        right = is_distinct_text(axes) and set(axes) - {"batch"} in ({"label"}, {"feature"})
        require(right, "outputs.axes", "('batch', 'label') for scores or ('batch', 'feature') for embeddings", axes)


@dataclass(frozen=True)
class ModelOutputs:
    """The network's outputs that the engine reads: scores, embedding or both."""

    scores: ModelOutput | None = None
    embedding: ModelOutput | None = None

    def __post_init__(self) -> None:
        """Refuse bad values."""
        for name, axis in (("scores", "label"), ("embedding", "feature")):
            output = getattr(self, name)
            right = output is None or (isinstance(output, ModelOutput) and axis in output.axes)
            require(right, f"outputs.{name}", f"an output with the axis {axis!r}, or null", output)
        require(bool(self.scores or self.embedding), "outputs", "scores, an embedding or both", "neither")


@dataclass(frozen=True)
class Golden:
    """What the model gives for a synthetic clip of one window, recorded when the model was made.

    Attributes
    ----------
    clip : str
        The name of the clip's formula in ``engine.golden``.
    scores : tuple of float, one per label, or None where the model gives none
    embedding : tuple of float, embedding_size of them, or None where the model gives none
    tolerance : float
        The largest absolute difference that another machine may show.
    """

    clip: str
    scores: tuple[float, ...] | None
    embedding: tuple[float, ...] | None
    tolerance: float

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.clip), "golden.clip", "the name of a formula", self.clip)
        for name in ("scores", "embedding"):
            if getattr(self, name) is not None:
                values = as_tuple(self, name, f"golden.{name}")
                require(all(map(is_number, values)), f"golden.{name}", "finite numbers", values)
        right = is_number(self.tolerance) and self.tolerance > 0
        require(right, "golden.tolerance", "a positive number", self.tolerance)


def require(ok: bool, field: str, expected: str, got: object) -> None:
    """Raise a ModelError that names the card's field unless ``ok``."""
    if not ok:
        shown = repr(got)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise ModelError(f"expected the card field {field!r} to be {expected}, got {shown}; correct the card")


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
        raise ModelError(f"expected the fields {known} in {where}, got unknown {unknown}; remove or rename them")
    if missing := [name for name in known if name not in values]:
        raise ModelError(f"expected the fields {known} in {where}, got it without {missing}; add them")
    return dict(values)


def as_tuple(part: object, attribute: str, field: str) -> tuple[Any, ...]:
    """Turn a sequence attribute of a frozen dataclass into a tuple (JSON knows only lists), and return it."""
    value = getattr(part, attribute)
    require(isinstance(value, Sequence) and not isinstance(value, str | bytes), field, "a list", value)
    object.__setattr__(part, attribute, tuple(value))
    return tuple(value)


def is_text(value: object) -> bool:
    """Return whether ``value`` is text that is not empty."""
    return isinstance(value, str) and value.strip() != ""


def is_distinct_text(values: tuple[Any, ...]) -> bool:
    """Return whether every value is text and none comes twice."""
    return all(map(is_text, values)) and len(set(values)) == len(values)


def is_matching(value: object, pattern: str) -> bool:
    """Return whether ``value`` is text that the regular expression ``pattern`` matches from end to end."""
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_count(value: object) -> bool:
    """Return whether ``value`` is a positive whole number."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value: object) -> bool:
    """Return whether ``value`` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max

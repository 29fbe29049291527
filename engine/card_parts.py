"""The parts a model card is made of, each of which refuses values that make no sense."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from engine.card_fields import (
    as_tuple,
    as_tuple_of,
    exactly_the_fields,
    is_count,
    is_distinct_text,
    is_number,
    is_text,
    is_whole,
    require,
    require_choice,
)

MAX_SAMPLE_RATE = 1_000_000
# 1.7 hours at 44.1 kHz, 1 GiB of float32: a damaged card must not claim the machine's memory.
MAX_WINDOW = 1 << 28
# 64 MiB of float32.
MAX_ELEMENTS = 1 << 24

InputKind = Literal["log_mel", "waveform", "embedding"]
ConstantType = Literal["int64", "int32", "float32", "bool"]

# The axes that carry an input's content; "batch" and "channel" may stand beside them with length one.
CONTENT_AXES: dict[InputKind, tuple[str, ...]] = {
    "log_mel": ("time", "mel"),
    "waveform": ("time",),
    "embedding": ("time", "feature"),
}
LARGEST: dict[ConstantType, float] = {"int64": 2**63 - 1, "int32": 2**31 - 1, "float32": 3.4028234663852886e38}


@dataclass(frozen=True)
class ModelState:
    """What a network remembers from one window to the next.

    Attributes
    ----------
    name : str
        A float32 input of the graph; zeros for the first window of each recording.
    output : str
        The output of the graph that is this input for the window after.
    shape : tuple of int
        Of the input; every axis has a length.
    """

    name: str
    output: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.name), "input.states.name", "a name", self.name)
        require(is_text(self.output), "input.states.output", "a name", self.output)
        _check_shape(self, "input.states.shape")


@dataclass(frozen=True)
class ModelConstant:
    """An input that is the same for every window, such as the sample rate that some graphs ask for.

    Attributes
    ----------
    name : str
        The input's name in the graph.
    dtype : str
        "int64", "int32", "float32" or "bool".
    shape : tuple of int
        () for a single number.
    value : int, float or bool
        Every element of the input.
    """

    name: str
    dtype: ConstantType
    shape: tuple[int, ...]
    value: float

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.name), "input.constants.name", "a name", self.name)
        require_choice(self.dtype, ConstantType, "input.constants.dtype")
        _check_shape(self, "input.constants.shape")
        if self.dtype == "bool":
            right = isinstance(self.value, bool)
        else:
            right = is_number(self.value) if self.dtype == "float32" else is_whole(self.value)
            right = right and abs(self.value) <= LARGEST[self.dtype]
        require(right, "input.constants.value", f"a value of type {self.dtype}", self.value)


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
    context : int
        Samples of the recording before a window that are fed in front of it, zeros before the recording starts; kind
        "waveform" only.
    states : tuple of ModelState
    constants : tuple of ModelConstant
    row_s : float or None
        Seconds from one row to the next, where known; kind "embedding" only.
    frame_padding : float
        What fills missing log-mel frames; with the card's ``pad`` "frames" only.
    """

    name: str
    kind: InputKind
    axes: tuple[str, ...]
    sample_rate: int | None = None
    context: int = 0
    states: tuple[ModelState, ...] = ()
    constants: tuple[ModelConstant, ...] = ()
    row_s: float | None = None
    frame_padding: float = 0.0

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
            right = is_whole(self.context) and 0 <= self.context <= MAX_WINDOW
            require(right, "input.context", f"a whole number from 0 to {MAX_WINDOW}", self.context)
        else:
            require(self.sample_rate is None, "input.sample_rate", f"null for kind {self.kind!r}", self.sample_rate)
            right = is_whole(self.context) and self.context == 0
            require(right, "input.context", f"0 for kind {self.kind!r}", self.context)
        if self.kind == "embedding":
            right = self.row_s is None or (is_number(self.row_s) and self.row_s > 0)
            require(right, "input.row_s", "a positive number of seconds or null", self.row_s)
        else:
            require(self.row_s is None, "input.row_s", f"null for kind {self.kind!r}", self.row_s)
        right = is_number(self.frame_padding) and abs(self.frame_padding) <= LARGEST["float32"]
        require(right, "input.frame_padding", "a float32 number", self.frame_padding)
        states = as_tuple_of(self, "states", ModelState, "input.states")
        constants = as_tuple_of(self, "constants", ModelConstant, "input.constants")
        names = (self.name, *(part.name for part in (*states, *constants)))
        require(len(set(names)) == len(names), "input", "of inputs whose names differ from each other", names)
        outputs = tuple(state.output for state in states)
        require(len(set(outputs)) == len(outputs), "input.states", "of outputs that differ from each other", outputs)

    @classmethod
    def from_dict(cls, values: object) -> ModelInput:
        """Build the part from JSON values; every field must be there and no other, else ModelError."""
        part = exactly_the_fields(cls, values, "'input'")
        for name, kind in (("states", ModelState), ("constants", ModelConstant)):
            require(isinstance(part[name], list | tuple), f"input.{name}", "a list", part[name])
            part[name] = tuple(kind(**exactly_the_fields(kind, item, f"'input.{name}'")) for item in part[name])
        return cls(**part)


@dataclass(frozen=True)
class ModelOutput:
    """One output of the network.

    Attributes
    ----------
    name : str
        The output's name in the graph.
    axes : tuple of str
        ("batch", "label") for scores, ("batch", "time", "label") for frames, ("batch", "feature") for embeddings, which
        may have "time" as well; in any order, and "batch" may be absent.
    """

    name: str
    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.name), "outputs.name", "a name", self.name)
        axes = as_tuple(self, "axes", "outputs.axes")
        right = is_distinct_text(axes) and set(axes) - {"batch", "time"} in ({"label"}, {"feature"})
        require(right, "outputs.axes", "'label' or 'feature', 'batch' and 'time' where they exist", axes)


@dataclass(frozen=True)
class ModelOutputs:
    """The network's outputs that the engine reads, at least one.

    Attributes
    ----------
    scores : ModelOutput or None
        One score per label and window.
    embedding : ModelOutput or None
        One vector per window; over an axis "time" the engine takes the mean.
    frames : ModelOutput or None
        Scores over time inside a window.
    """

    scores: ModelOutput | None = None
    embedding: ModelOutput | None = None
    frames: ModelOutput | None = None

    def __post_init__(self) -> None:
        """Refuse bad values."""
        wanted = {
            "scores": ({"label"}, "the axis 'label' and none of time"),
            "embedding": ({"feature"}, "the axis 'feature'"),
            "frames": ({"time", "label"}, "the axes 'time' and 'label'"),
        }
        for name, (axes, words) in wanted.items():
            output = getattr(self, name)
            right = output is None or (isinstance(output, ModelOutput) and axes <= set(output.axes))
            right = right and not (name == "scores" and output is not None and "time" in output.axes)
            require(right, f"outputs.{name}", f"an output with {words}, or null", output)
        require(any(getattr(self, name) for name in wanted), "outputs", "scores, frames or an embedding", "none")

    @property
    def with_labels(self) -> bool:
        """Whether there are scores of any kind, per window or per frame."""
        return self.scores is not None or self.frames is not None

    @classmethod
    def from_dict(cls, values: object) -> ModelOutputs:
        """Build the part from JSON values; every field must be there and no other, else ModelError."""
        part = exactly_the_fields(cls, values, "'outputs'")
        for name, output in part.items():
            if output is not None:
                part[name] = ModelOutput(**exactly_the_fields(ModelOutput, output, f"'outputs.{name}'"))
        return cls(**part)


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
    similarity : float or None
        Of the clip as a query to itself as a reference; for two towers only.
    """

    clip: str
    scores: tuple[float, ...] | None
    embedding: tuple[float, ...] | None
    tolerance: float
    similarity: float | None = None

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse bad values."""
        require(is_text(self.clip), "golden.clip", "the name of a formula", self.clip)
        for name in ("scores", "embedding"):
            if getattr(self, name) is not None:
                values = as_tuple(self, name, f"golden.{name}")
                require(all(map(is_number, values)), f"golden.{name}", "finite numbers", values)
        right = is_number(self.tolerance) and self.tolerance > 0
        require(right, "golden.tolerance", "a positive number", self.tolerance)
        right = self.similarity is None or is_number(self.similarity)
        require(right, "golden.similarity", "a finite number or null", self.similarity)

    @classmethod
    def from_dict(cls, values: object) -> Golden:
        """Build the part from JSON values; every field must be there and no other, else ModelError."""
        return cls(**exactly_the_fields(cls, values, "'golden'"))


def _check_shape(part: ModelState | ModelConstant, field: str) -> None:
    shape = as_tuple(part, "shape", field)
    right = len(shape) <= 8 and all(map(is_count, shape)) and math.prod(shape) <= MAX_ELEMENTS
    require(right, field, f"positive whole numbers, at most 8 and {MAX_ELEMENTS} elements", shape)

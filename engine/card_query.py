"""The part of a card that a network of two towers adds: its query tower, and the similarity between the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.card_fields import exactly_the_fields, is_count, is_text, require
from engine.card_parts import MAX_WINDOW, ModelInput, ModelOutput
from engine.errors import ConfigError, ModelError
from engine.frontend import FrontendConfig


@dataclass(frozen=True, kw_only=True)
class QueryTower:
    """How queries are heard and compared. The fields of the card itself are those of the reference tower.

    The network is one graph with two inputs. It is cut where the towers end: at ``embedding`` and at the card's
    ``outputs.embedding``, which together are all that ``similarity`` is computed from.

    Attributes
    ----------
    frontend : FrontendConfig or None
        For an input of kind "log_mel"; None for a waveform.
    input : ModelInput
        Without states and constants.
    embedding : ModelOutput
        One vector per window, with a batch axis.
    embedding_size : int
        It may differ from the references'.
    window : int
        Length of a window in samples at the query tower's rate. A longer query is cut into windows without overlap.
    similarity : str
        The output's name in the graph: shape (batch,), the larger the more alike. One query embedding is broadcast over
        a batch of reference embeddings.
    """

    frontend: FrontendConfig | None
    input: ModelInput
    embedding: ModelOutput
    embedding_size: int
    window: int
    similarity: str

    def __post_init__(self) -> None:
        """Refuse values that are wrong or contradict each other."""
        require(isinstance(self.input, ModelInput), "query.input", "a ModelInput", self.input)
        kind = self.input.kind
        require(kind != "embedding", "query.input.kind", "'log_mel' or 'waveform'", kind)
        without = not (self.input.states or self.input.constants or self.input.frame_padding)
        require(without, "query.input", "without states, constants and frame_padding", self.input.name)
        right = isinstance(self.frontend, FrontendConfig) if kind == "log_mel" else self.frontend is None
        require(right, "query.frontend", "given exactly for a log_mel input", self.frontend)
        check_tower_output(self.embedding, "query.embedding")
        require(is_count(self.embedding_size), "query.embedding_size", "a positive whole number", self.embedding_size)
        right = is_count(self.window) and self.window <= MAX_WINDOW
        right = right and (self.frontend is None or self.frontend.n_frames(self.window) > 0)
        require(right, "query.window", f"a whole number from one frame's length to {MAX_WINDOW}", self.window)
        require(is_text(self.similarity), "query.similarity", "a name", self.similarity)

    @classmethod
    def from_dict(cls, values: object) -> QueryTower:
        """Build the part from JSON values; every field must be there and no other, else ModelError."""
        part = exactly_the_fields(cls, values, "'query'")
        part["input"] = ModelInput.from_dict(part["input"])
        part["embedding"] = ModelOutput(**exactly_the_fields(ModelOutput, part["embedding"], "'query.embedding'"))
        if part["frontend"] is not None:
            part["frontend"] = read_frontend(part["frontend"], "query.frontend")
        return cls(**part)


def check_tower_output(output: object, field: str) -> None:
    """Raise a ModelError unless ``output`` gives a vector for each window of a batch, as the head takes them."""
    right = isinstance(output, ModelOutput) and output.axes == ("batch", "feature")
    require(right, field, "an output with the axes 'batch' and 'feature', in this order", output)


def read_frontend(values: object, field: str) -> FrontendConfig:
    """Return the front end of a card's JSON values; ModelError for settings that cannot be used."""
    require(isinstance(values, Mapping), field, "an object or null", values)
    assert isinstance(values, Mapping)
    try:
        return FrontendConfig.from_dict(values)
    except (ConfigError, OverflowError, TypeError, ValueError) as error:
        # The sentence quotes the value, whose length is the card's.
        reason = str(error) if len(str(error)) <= 800 else str(error)[:797] + "..."
        raise ModelError(f"expected usable settings in the card field {field!r}; {reason}") from error

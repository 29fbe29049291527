"""The model card: everything a model needs to be used rightly, stored inside its .onnx file as JSON.

The card is one JSON object under the metadata key ``engine_card``. Two SHA-256 hashes protect it: ``card_sha256`` over
the card without its hashes, ``model_sha256`` over the serialised model without its card.

Migration rule: a card states its schema. The hash of a card is checked as it was written; then an older card is turned
into one of the present schema, whose new fields say what the older engine did. Cards are written in the present schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from engine.card_fields import (
    NAME_PATTERN,
    as_tuple,
    exactly_the_fields,
    is_count,
    is_distinct_text,
    is_matching,
    is_number,
    is_text,
    require,
    require_choice,
    shown,
)
from engine.card_migration import SCHEMA, is_readable, migrated
from engine.card_parts import MAX_WINDOW, Golden, ModelConstant, ModelInput, ModelOutput, ModelOutputs, ModelState
from engine.card_query import QueryTower, check_tower_output, read_frontend
from engine.card_text import parse_card
from engine.errors import ModelError
from engine.fingerprint import METADATA_KEY, canonical_json, card_sha256, model_sha256, without_card
from engine.frontend import FrontendConfig

if TYPE_CHECKING:
    import onnx

__all__ = [
    "Golden",
    "ModelCard",
    "ModelConstant",
    "ModelInput",
    "ModelOutput",
    "ModelOutputs",
    "ModelState",
    "QueryTower",
    "read_card",
    "write_card",
]

Task = Literal["tag", "embed", "rank"]
ScoreKind = Literal["sigmoid", "softmax", "distance"]
Pad = Literal["zeros", "repeat", "none", "frames"]
Reduce = Literal["max", "mean"]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything a model needs to be used rightly. Its mappings are to be read, never changed.

    Attributes
    ----------
    name : str
        A short name of letters, digits, '.', '_' and '-', for example "esc10".
    task : str
        "tag", "embed" or "rank".
    labels : tuple of str
        Readable words in the order of the scores; empty for a model without scores.
    score : str or None
        What the scores are: "sigmoid" (labels are independent), "softmax" (labels exclude each other) or "distance";
        None for a model without scores. The network applies the function itself.
    frontend : FrontendConfig or None
        For an input of kind "log_mel"; None for the others.
    input : ModelInput
    outputs : ModelOutputs
    window, hop : int
        Length of a window and distance between two starts, in samples at the model's rate (in rows for an input of
        kind "embedding"); ``hop`` is at most ``window``.
    pad : str
        How a last window that is not full is filled: "zeros", "repeat" (its own audio again), "none" (left short) or,
        for log-mel, "frames" (left short, and the frames that are missing behind the front end are set to
        ``input.frame_padding``).
    reduce : str
        How the scores of the windows become the clip's: "max" or "mean".
    frame_hop, frame_length : int or None
        Given exactly where ``outputs.frames`` is, in samples (in rows for kind "embedding"): frame i of a window covers
        ``frame_length`` from ``i * frame_hop`` behind the window's start.
    embedding_size : int or None
    embedding_normalised : bool
        Whether embeddings have Euclidean length one.
    thresholds : Mapping from label to float
        Decision thresholds; may be empty.
    threshold_method : str
        How the thresholds were chosen; empty exactly when there are none.
    query : QueryTower or None
        For a network of two towers, which compares queries with references: all other fields are those of its reference
        tower, and ``pad`` and ``embedding_normalised`` hold for both. It gives no scores.
    training_data, licence, attribution, commit : str
        Where the weights come from and on which terms they may be used.
    metrics : Mapping from str to JSON value
        Measured figures.
    golden : Golden or None
        The check that ``engine models verify`` repeats.
    model_sha256, card_sha256 : str
        64 hexadecimal digits, filled in by ``write_card``; empty before. A migrated card keeps those it came with.
    schema : int
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    score: ScoreKind | None
    frontend: FrontendConfig | None
    input: ModelInput
    outputs: ModelOutputs
    window: int
    hop: int
    pad: Pad
    reduce: Reduce
    embedding_size: int | None
    embedding_normalised: bool
    frame_hop: int | None = None
    frame_length: int | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    threshold_method: str = ""
    query: QueryTower | None = None
    training_data: str
    licence: str
    attribution: str
    commit: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    golden: Golden | None = None
    model_sha256: str = ""
    card_sha256: str = ""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Turn lists into tuples and refuse values that are wrong or contradict each other."""
        _check_fields(self)
        _check_times(self)
        _check_outputs(self)
        _check_thresholds(self)
        _check_query(self)

    @property
    def sample_rate(self) -> int | None:
        """The rate in Hz that the model works at; None for an input of kind "embedding"."""
        return self.input.sample_rate if self.frontend is None else self.frontend.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; ``from_dict`` reads them back."""
        frontend = None if self.frontend is None else self.frontend.to_dict()
        values: dict[str, Any] = asdict(self) | {"frontend": frontend}
        if self.query is not None and self.query.frontend is not None:
            values["query"]["frontend"] = self.query.frontend.to_dict()
        plain: dict[str, Any] = json.loads(canonical_json(values))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelCard:
        """Build a card from ``to_dict``'s values; every field must be there and no other, else ModelError."""
        card = exactly_the_fields(cls, values, "the card")
        card["input"] = ModelInput.from_dict(card["input"])
        card["outputs"] = ModelOutputs.from_dict(card["outputs"])
        if card["golden"] is not None:
            card["golden"] = Golden.from_dict(card["golden"])
        if card["frontend"] is not None:
            card["frontend"] = read_frontend(card["frontend"], "frontend")
        if card["query"] is not None:
            card["query"] = QueryTower.from_dict(card["query"])
        return cls(**card)


def write_card(model: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """Return a copy of ``model`` that carries ``card`` with both hashes filled in; an older card is replaced.

    Raises
    ------
    ModelError
        The model keeps weights in other files.
    """
    card = replace(card, model_sha256=model_sha256(model), card_sha256=card_sha256(card.to_dict()))
    carrier = without_card(model)
    carrier.metadata_props.add(key=METADATA_KEY, value=canonical_json(card.to_dict()))
    return carrier


def read_card(metadata: Mapping[str, str]) -> ModelCard:
    """Return the card in a model's metadata, in the present schema.

    Raises
    ------
    ModelError
        There is no card, it is damaged, it was changed after it was written, or this engine does not know its schema.
    """
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"expected a model with a card (metadata key {METADATA_KEY!r}), got one without; add one with "
            "'engine models adopt', or export the model with training.export, which does"
        )
    values, unchanged = parse_card(metadata[METADATA_KEY])
    schema = values.get("schema")
    if not is_readable(schema):
        raise ModelError(
            f"expected a card of schema 1 to {SCHEMA}, which this engine reads, got schema {shown(schema)}; use the "
            "sound-engine version that wrote it or a newer one, or export the model again"
        )
    if not unchanged:
        raise ModelError(
            "expected the card as it was written, got one whose content does not fit its card_sha256: the card was "
            "changed; get the model again, or write a card of your own with engine.card.write_card"
        )
    return ModelCard.from_dict(migrated(values))


def _check_fields(card: ModelCard) -> None:
    require(card.schema == SCHEMA, "schema", str(SCHEMA), card.schema)
    require(
        is_matching(card.name, NAME_PATTERN),
        "name",
        "a short name of letters, digits, '.', '_' and '-'",
        card.name,
    )
    require_choice(card.task, Task, "task")
    require_choice(card.pad, Pad, "pad")
    require_choice(card.reduce, Reduce, "reduce")
    require(isinstance(card.input, ModelInput), "input", "a ModelInput", card.input)
    require(isinstance(card.outputs, ModelOutputs), "outputs", "ModelOutputs", card.outputs)
    if card.input.kind == "log_mel":
        require(isinstance(card.frontend, FrontendConfig), "frontend", "given for a log_mel input", card.frontend)
    else:
        require(card.frontend is None, "frontend", f"null for an input of kind {card.input.kind!r}", card.frontend)
    require(
        isinstance(card.embedding_normalised, bool), "embedding_normalised", "true or false", card.embedding_normalised
    )
    for name in ("threshold_method", "training_data", "licence", "attribution", "commit"):
        require(isinstance(getattr(card, name), str), name, "text", getattr(card, name))
    for name in ("model_sha256", "card_sha256"):
        require(
            is_matching(getattr(card, name), r"([0-9a-f]{64})?"), name, "64 hexadecimal digits", getattr(card, name)
        )
    try:
        right = isinstance(card.metrics, Mapping)
        object.__setattr__(card, "metrics", json.loads(canonical_json(card.metrics)))
    except (RecursionError, TypeError, ValueError):
        right = False
    require(right, "metrics", "an object of finite JSON values", card.metrics)
    require(card.golden is None or isinstance(card.golden, Golden), "golden", "a Golden or null", card.golden)


def _check_times(card: ModelCard) -> None:
    right = is_count(card.window) and card.window <= MAX_WINDOW
    right = right and (card.frontend is None or card.frontend.n_frames(card.window) > 0)
    require(right, "window", f"a whole number from one frame's length to {MAX_WINDOW}", card.window)
    require(is_count(card.hop) and card.hop <= card.window, "hop", "a whole number from 1 to the window", card.hop)
    require(card.pad != "frames" or card.input.kind == "log_mel", "pad", "'frames' for a log_mel input only", card.pad)
    right = card.pad == "frames" or card.input.frame_padding == 0
    require(right, "input.frame_padding", "0 unless 'pad' is 'frames'", card.input.frame_padding)
    for name in ("frame_hop", "frame_length"):
        value = getattr(card, name)
        if card.outputs.frames is None:
            require(value is None, name, "null without outputs.frames", value)
        else:
            require(is_count(value) and value <= card.window, name, "a whole number from 1 to the window", value)


def _check_outputs(card: ModelCard) -> None:
    labels = as_tuple(card, "labels", "labels")
    require(is_distinct_text(labels), "labels", "words that are not empty and differ from each other", labels)
    if not card.outputs.with_labels:
        require(not labels, "labels", "an empty list for a model without scores", labels)
        require(card.score is None, "score", "null for a model without scores", card.score)
    else:
        require(bool(labels), "labels", "one label per score", labels)
        require_choice(card.score, ScoreKind, "score")
    require(
        card.task != "tag" or card.outputs.with_labels, "outputs.scores", "given for 'tag', or outputs.frames", None
    )
    require(card.task != "embed" or card.outputs.embedding is not None, "outputs.embedding", "given for 'embed'", None)
    if card.outputs.embedding is None:
        require(card.embedding_size is None, "embedding_size", "null without an embedding", card.embedding_size)
    else:
        require(is_count(card.embedding_size), "embedding_size", "a positive whole number", card.embedding_size)
    if card.golden is not None:
        for name, size in (("scores", len(labels)), ("embedding", card.embedding_size or 0)):
            values, expected = getattr(card.golden, name), f"{size} values" if size else "null, as the output"
            require(len(values or ()) == size if size else values is None, f"golden.{name}", expected, values)
        right = (card.golden.similarity is None) == (card.query is None)
        require(right, "golden.similarity", "given exactly where there is a query tower", card.golden.similarity)


def _check_thresholds(card: ModelCard) -> None:
    right = isinstance(card.thresholds, Mapping)
    require(right and all(map(is_number, card.thresholds.values())), "thresholds", "finite numbers", card.thresholds)
    object.__setattr__(card, "thresholds", dict(card.thresholds))
    unknown = sorted(map(str, set(card.thresholds) - set(card.labels)))
    require(not unknown, "thresholds", "given for labels of the model", unknown)
    require(
        is_text(card.threshold_method) == bool(card.thresholds),
        "threshold_method",
        "given exactly where there are thresholds",
        card.threshold_method,
    )


def _check_query(card: ModelCard) -> None:
    query = card.query
    if query is None:
        return
    require(isinstance(query, QueryTower), "query", "a QueryTower or null", query)
    require(card.task == "rank", "task", "'rank' for two towers", card.task)
    require(not card.outputs.with_labels, "outputs.scores", "null for two towers, and outputs.frames", "given")
    check_tower_output(card.outputs.embedding, "outputs.embedding")
    require(card.input.kind != "embedding", "input.kind", "'log_mel' or 'waveform' for two towers", card.input.kind)
    require(card.pad != "frames", "pad", "another than 'frames' for two towers", card.pad)
    alone = not (card.input.states or card.input.constants)
    require(alone, "input", "without states and constants for two towers", card.input.name)
    assert card.outputs.embedding is not None
    names = (card.input.name, query.input.name, card.outputs.embedding.name, query.embedding.name, query.similarity)
    require(len(set(names)) == len(names), "query", "of inputs and outputs whose names differ from each other", names)

"""The model card: everything a model needs to be used rightly, stored inside its .onnx file as JSON.

The card is one JSON object under the metadata key ``engine_card``. Two SHA-256 hashes protect it: ``card_sha256`` over
the card without its hashes, ``model_sha256`` over the serialised model without its card.

Migration rule: a card states its schema version. This module reads schema 1; when schema 2 comes, a reader of both
checks the hash of a card as it was written and then turns the older fields into its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from engine.card_parts import (
    Golden,
    ModelInput,
    ModelOutput,
    ModelOutputs,
    as_tuple,
    exactly_the_fields,
    is_count,
    is_distinct_text,
    is_matching,
    is_number,
    is_text,
    require,
    require_choice,
)
from engine.errors import ConfigError, ModelError
from engine.fingerprint import METADATA_KEY, canonical_json, card_sha256, model_sha256, without_card
from engine.frontend import FrontendConfig

if TYPE_CHECKING:
    import onnx

__all__ = ["Golden", "ModelCard", "ModelInput", "ModelOutput", "ModelOutputs", "read_card", "write_card"]

SCHEMA = 1
# 1.7 hours at 44.1 kHz, 1 GiB of float32: a damaged card must not claim the machine's memory.
MAX_WINDOW = 1 << 28

Task = Literal["tag", "embed", "rank"]
ScoreKind = Literal["sigmoid", "softmax", "distance"]
Pad = Literal["zeros", "repeat", "none"]
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
        How a last window that is not full is filled: "zeros", "repeat" (its own audio again) or "none" (left short).
    reduce : str
        How the scores of the windows become the clip's: "max" or "mean".
    embedding_size : int or None
    embedding_normalised : bool
        Whether embeddings have Euclidean length one.
    thresholds : Mapping from label to float
        Decision thresholds; may be empty.
    threshold_method : str
        How the thresholds were chosen; empty exactly when there are none.
    training_data, licence, attribution, commit : str
        Where the weights come from and on which terms they may be used.
    metrics : Mapping from str to JSON value
        Measured figures.
    golden : Golden or None
        The check that ``engine models verify`` repeats.
    model_sha256, card_sha256 : str
        64 hexadecimal digits, filled in by ``write_card``; empty before.
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
    thresholds: Mapping[str, float] = field(default_factory=dict)
    threshold_method: str = ""
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
        _check_outputs(self)
        _check_thresholds(self)

    @property
    def sample_rate(self) -> int | None:
        """The rate in Hz that the model works at; None for an input of kind "embedding"."""
        return self.input.sample_rate if self.frontend is None else self.frontend.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; ``from_dict`` reads them back."""
        frontend = None if self.frontend is None else self.frontend.to_dict()
        values: dict[str, Any] = json.loads(canonical_json(asdict(self) | {"frontend": frontend}))
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelCard:
        """Build a card from ``to_dict``'s values; every field must be there and no other, else ModelError."""
        card = exactly_the_fields(cls, values, "the card")
        card["input"] = ModelInput(**exactly_the_fields(ModelInput, card["input"], "'input'"))
        outputs = exactly_the_fields(ModelOutputs, card["outputs"], "'outputs'")
        for name, output in outputs.items():
            if output is not None:
                outputs[name] = ModelOutput(**exactly_the_fields(ModelOutput, output, f"'outputs.{name}'"))
        card["outputs"] = ModelOutputs(**outputs)
        if card["golden"] is not None:
            card["golden"] = Golden(**exactly_the_fields(Golden, card["golden"], "'golden'"))
        if card["frontend"] is not None:
            card["frontend"] = _read_frontend(card["frontend"])
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
    """Return the card in a model's metadata.

    Raises
    ------
    ModelError
        There is no card, it is damaged, it was changed after it was written, or its schema is another one.
    """
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"expected a model with a card (metadata key {METADATA_KEY!r}), got one without; add one with "
            "engine.card.write_card, or export the model with training.export, which does"
        )
    values, digest = _parse(metadata[METADATA_KEY])
    schema = values.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise ModelError(
            f"expected a card of schema {SCHEMA}, the one this engine reads, got schema {schema!r}; use the "
            "sound-engine version that wrote it or a newer one, or export the model again"
        )
    if values.get("card_sha256") != digest:
        raise ModelError(
            "expected the card as it was written, got one whose content does not fit its card_sha256: the card was "
            "changed; get the model again, or write a card of your own with engine.card.write_card"
        )
    return ModelCard.from_dict(values)


def _parse(text: str) -> tuple[dict[str, Any], str]:
    try:
        values = json.loads(text)
        # NaN and infinities, which json.loads lets through, end here.
        digest = card_sha256(values)
    except (AttributeError, RecursionError, ValueError) as error:
        raise ModelError(
            f"expected the card to be a JSON object, got damaged text ({error}); get the model again"
        ) from error
    return values, digest


def _read_frontend(values: object) -> FrontendConfig:
    require(isinstance(values, Mapping), "frontend", "an object or null", values)
    assert isinstance(values, Mapping)
    try:
        return FrontendConfig.from_dict(values)
    except (ConfigError, OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"expected usable settings in the card field 'frontend'; {error}") from error


def _check_fields(card: ModelCard) -> None:
    require(card.schema == SCHEMA, "schema", str(SCHEMA), card.schema)
    require(
        is_matching(card.name, r"[A-Za-z0-9][A-Za-z0-9._-]*"),
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
    right = is_count(card.window) and card.window <= MAX_WINDOW
    right = right and (card.frontend is None or card.frontend.n_frames(card.window) > 0)
    require(right, "window", f"a whole number from one frame's length to {MAX_WINDOW}", card.window)
    require(is_count(card.hop) and card.hop <= card.window, "hop", "a whole number from 1 to the window", card.hop)
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
    except (TypeError, ValueError):
        right = False
    require(right, "metrics", "an object of finite JSON values", card.metrics)
    require(card.golden is None or isinstance(card.golden, Golden), "golden", "a Golden or null", card.golden)


def _check_outputs(card: ModelCard) -> None:
    labels = as_tuple(card, "labels", "labels")
    require(is_distinct_text(labels), "labels", "words that are not empty and differ from each other", labels)
    if card.outputs.scores is None:
        require(not labels, "labels", "an empty list for a model without scores", labels)
        require(card.score is None, "score", "null for a model without scores", card.score)
    else:
        require(bool(labels), "labels", "one label per score", labels)
        require_choice(card.score, ScoreKind, "score")
    require(card.task != "tag" or card.outputs.scores is not None, "outputs.scores", "given for the task 'tag'", None)
    require(card.task != "embed" or card.outputs.embedding is not None, "outputs.embedding", "given for 'embed'", None)
    if card.outputs.embedding is None:
        require(card.embedding_size is None, "embedding_size", "null without an embedding", card.embedding_size)
    else:
        require(is_count(card.embedding_size), "embedding_size", "a positive whole number", card.embedding_size)
    if card.golden is not None:
        for name, size in (("scores", len(labels)), ("embedding", card.embedding_size)):
            values, output = getattr(card.golden, name), getattr(card.outputs, name)
            expected = "null, as the output" if output is None else f"{size} values"
            require(values is None if output is None else len(values or ()) == size, f"golden.{name}", expected, values)


def _check_thresholds(card: ModelCard) -> None:
    right = isinstance(card.thresholds, Mapping)
    require(right and all(map(is_number, card.thresholds.values())), "thresholds", "finite numbers", card.thresholds)
    object.__setattr__(card, "thresholds", dict(card.thresholds))
    unknown = sorted(map(str, set(card.thresholds) - set(card.labels)))
    require(not unknown, "thresholds", f"given for labels of the model {card.labels}", unknown)
    require(
        is_text(card.threshold_method) == bool(card.thresholds),
        "threshold_method",
        "given exactly where there are thresholds",
        card.threshold_method,
    )

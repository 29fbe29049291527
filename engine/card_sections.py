"""A model card in sections for people: units, and only what the model has."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from engine.card import ModelCard, ModelInput, ModelOutput
    from engine.frontend import FrontendConfig

    Rows = Iterator[tuple[str, str]]

SCORES = {
    "sigmoid": "sigmoid: labels are independent of each other",
    "softmax": "softmax: labels exclude each other",
    "distance": "distances",
}
PADS = {
    "zeros": "filled with zeros",
    "repeat": "filled with its own audio again",
    "none": "left short",
    "frames": "left short, its missing frames set to {}",
}
REDUCES = {"max": "the largest of its windows'", "mean": "the mean of its windows'"}


def card_sections(card: ModelCard, path: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the sections of a card by title, each with rows of a name, which may be empty, and a value."""
    sections: dict[str, Rows] = {
        f"{card.name}, a model to {card.task}": _origin(card, path),
        f"Labels ({len(card.labels)})": iter([("", ", ".join(card.labels))]),
        "Rows" if card.sample_rate is None else "Sound": _windows(card),
        "Front end": _front_end(card.frontend),
        "Network": _network(card),
        "Query tower": _query(card),
        "Front end of queries": _front_end(None if card.query is None else card.query.frontend),
        "Thresholds": _thresholds(card),
        "Metrics": _metrics(card.metrics),
        "Integrity": _integrity(card),
        "Attribution": iter([("", card.attribution)]),
    }
    given = {title: [(name, value) for name, value in rows if value] for title, rows in sections.items()}
    return {title: rows for title, rows in given.items() if rows}


def _origin(card: ModelCard, path: Path) -> Rows:
    yield "file", str(path)
    yield "training data", card.training_data
    yield "licence", card.licence
    yield "commit", card.commit


def _windows(card: ModelCard) -> Rows:
    def length(count: int | None) -> str:
        if count is None:
            return ""
        if card.sample_rate is None:
            seconds = "" if card.input.row_s is None else f" ({count * card.input.row_s:g} s)"
            return f"{count} rows{seconds}"
        return f"{count / card.sample_rate:g} s ({count} samples)"

    yield "rate", f"{card.sample_rate} Hz" if card.sample_rate is not None else ""
    yield "window", length(card.window)
    yield "hop", length(card.hop)
    yield "context", length(card.input.context or None)
    yield "last window", PADS[card.pad].format(f"{card.input.frame_padding:g}")
    yield "frame", length(card.frame_length)
    yield "frame hop", length(card.frame_hop)
    if card.score is not None:
        yield "scores", SCORES[card.score]
        yield "of a clip", REDUCES[card.reduce]


def _front_end(config: FrontendConfig | None) -> Rows:
    """Give the settings that every front end has, and of the others those that differ from the default."""
    for field in fields(config) if config is not None else ():
        value = getattr(config, field.name)
        if field.default is MISSING or value != field.default:
            yield field.name, _summary(value) if isinstance(value, tuple) else str(value)


def _port(output: ModelOutput | None) -> str:
    return "" if output is None else f"{output.name} ({', '.join(output.axes)})"


def _input(given: ModelInput) -> str:
    return f"{given.name} ({', '.join(given.axes)}), {given.kind}"


def _network(card: ModelCard) -> Rows:
    yield "input", _input(card.input)
    for state in card.input.states:
        yield "state", f"{state.name} {list(state.shape)}, next from {state.output}"
    for constant in card.input.constants:
        yield "constant", f"{constant.name} {list(constant.shape)}, always {constant.dtype} {constant.value}"
    yield "scores", _port(card.outputs.scores)
    yield "frames", _port(card.outputs.frames)
    if card.outputs.embedding is not None:
        length = " of length one" if card.embedding_normalised else ""
        yield "embedding", f"{_port(card.outputs.embedding)}, {card.embedding_size} numbers{length}"


def _query(card: ModelCard) -> Rows:
    tower = card.query
    if tower is None:
        return
    rate = tower.input.sample_rate if tower.frontend is None else tower.frontend.sample_rate
    assert rate is not None
    yield "rate", f"{rate} Hz"
    yield "window", f"{tower.window / rate:g} s ({tower.window} samples)"
    yield "input", _input(tower.input)
    yield "embedding", f"{_port(tower.embedding)}, {tower.embedding_size} numbers"
    yield "similarity", tower.similarity


def _thresholds(card: ModelCard) -> Rows:
    yield "method", card.threshold_method
    given = [label for label in card.labels if label in card.thresholds]
    yield "values", ", ".join(f"{label} {card.thresholds[label]:.4g}" for label in given)


def _metrics(values: Mapping[str, Any], prefix: str = "") -> Rows:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _metrics(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
            yield prefix + name, f"{len(value)} rows, which --json shows"
        else:
            items = value if isinstance(value, list) else [value]
            yield prefix + name, ", ".join(f"{i:.4g}" if isinstance(i, float) else str(i) for i in items)


def _integrity(card: ModelCard) -> Rows:
    if card.golden is None:
        yield "golden check", "none"
    else:
        yield "golden check", f"{card.golden.clip}, {card.golden.tolerance:g} allowed"
        for name in ("scores", "embedding"):
            values = getattr(card.golden, name)
            yield name, "" if values is None else _summary(values)
        if card.golden.similarity is not None:
            yield "similarity", f"{card.golden.similarity:.4g}"
    yield "model_sha256", card.model_sha256
    yield "card_sha256", card.card_sha256


def _summary(values: Sequence[float]) -> str:
    return f"{len(values)} values from {min(values):.4g} to {max(values):.4g}"

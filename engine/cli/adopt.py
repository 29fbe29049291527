"""``engine models adopt``: write a card into a foreign ONNX model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.adopt import State
    from engine.card import ModelCard
    from engine.frontend import FrontendConfig


@click.command()
@click.argument("model", metavar="MODEL.onnx")
@click.option("-o", "--output", required=True, metavar="FILE", help="The .onnx file to write.")
@click.option("--overwrite", is_flag=True, help="Let --output replace a file.")
@click.option("--frontend", metavar="PRESET|FILE", help="For log-mel input: a preset's name, or its settings as JSON.")
@click.option("--sample-rate", type=click.IntRange(1), metavar="HZ", help="For waveform input.")
@click.option("--kind", type=click.Choice(["embedding"]), help="For input that is rows of a foreign embedding.")
@click.option("--row-s", type=float, metavar="SECONDS", help="For those rows: from one to the next.")
@click.option("--input-axes", metavar="AXES", help="Such as batch,channel,time,mel.  [default: from the shape]")
@click.option("--labels", metavar="FILE", help="CSV with a column display_name or label, or one label per line.")
@click.option("--label", multiple=True, help="A label; once for each, in the order of the scores.")
@click.option("--score", type=click.Choice(["sigmoid", "softmax", "distance"]), help="What the scores are.")
@click.option("--activation", type=click.Choice(["sigmoid", "softmax"]), help="Append it, for a model of logits.")
@click.option("--scores", metavar="NAME", help="Output with the scores.  [default: the one as wide as the labels]")
@click.option("--embedding", metavar="NAME", help="Output with the embedding.")
@click.option("--frames", metavar="NAME", help="Output with scores over time.")
@click.option("--scores-axes", metavar="AXES", help="Such as batch,label.  [default: from the shape]")
@click.option("--embedding-axes", metavar="AXES", help="Such as batch,time,feature.  [default: from the shape]")
@click.option("--frames-axes", metavar="AXES", help="Such as batch,time,label.  [default: from the shape]")
@click.option("--frame-hop", type=click.IntRange(1), metavar="SAMPLES", help="From one of the frames to the next.")
@click.option("--frame-length", type=click.IntRange(1), metavar="SAMPLES", help="Of one of the frames.")
@click.option("--normalised/--not-normalised", default=None, help="Embeddings of length one.  [default: measured]")
@click.option("--window", type=click.IntRange(1), metavar="SAMPLES", help="Or rows.  [default: what the graph fixes]")
@click.option("--window-s", type=float, metavar="SECONDS", help="The same in seconds.")
@click.option("--hop", type=click.IntRange(1), metavar="SAMPLES", help="Or rows.  [default: the window]")
@click.option("--hop-s", type=float, metavar="SECONDS", help="The same in seconds.")
@click.option("--context", type=click.IntRange(0), metavar="SAMPLES", help="Fed in front of each window.")
@click.option("--pad", type=click.Choice(["zeros", "repeat", "none", "frames"]), help="How a short window is filled.")
@click.option("--frame-padding", type=float, metavar="VALUE", help="What fills log-mel frames, for --pad frames.")
@click.option("--reduce", type=click.Choice(["max", "mean"]), help="How windows become the recording's scores.")
@click.option("--state", multiple=True, metavar="IN=OUT[:SHAPE]", help="Carried over windows, such as h=h_out:2,1,64.")
@click.option("--constant", multiple=True, metavar="IN=VALUE", help="Input that is always the same, such as sr=16000.")
@click.option("--threshold", multiple=True, metavar="[LABEL=]SCORE", help="For every label, or for one of them.")
@click.option("--threshold-method", metavar="TEXT", help="How the thresholds were chosen.")
@click.option("--name", help="[default: the output's file name]")
@click.option("--task", type=click.Choice(["tag", "embed", "rank"]), help="[default: tag with labels, else embed]")
@click.option("--licence", metavar="TEXT", help="Of the weights.")
@click.option("--attribution", metavar="TEXT", help="Whom to name.")
@click.option("--training-data", metavar="TEXT", help="What the weights were trained on.")
@click.option("--commit", metavar="TEXT", help="The version of the code or weights.")
@click.option("--metric", multiple=True, metavar="NAME=NUMBER", help="A measured figure.")
def adopt(model: str, output: str, overwrite: bool, **options: Any) -> None:
    """Write a card into an ONNX model from elsewhere, so that the engine runs it.

    What is not stated is derived from the graph, and printed. The model is run before anything is written.

    \b
    Examples:
      engine models adopt yamnet.onnx --frontend yamnet --labels yamnet_class_map.csv \\
          --score sigmoid -o adopted.onnx
      engine models adopt silero_vad.onnx --sample-rate 16000 --window 512 --context 64 \\
          --state state=stateN --constant sr=16000 --label speech --score sigmoid -o vad.onnx
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.adopt import Facts, adopt_model

    stated = _facts(options)
    card = adopt_model(model, output, Facts(**stated), overwrite=overwrite)
    for name, value in _derived(card, stated):
        click.echo(f"{name:<21} {value}")
    click.echo(f"{output}: {card.name} runs, and its golden check is recorded")


def _facts(options: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that the options state."""
    stated = {name: value for name, value in options.items() if value not in (None, ())}
    for name in ("input_axes", "scores_axes", "embedding_axes", "frames_axes"):
        if name in stated:
            stated[name] = tuple(axis.strip() for axis in stated[name].split(","))
    if "frontend" in stated:
        stated["frontend"] = _frontend(stated["frontend"])
    stated["labels"] = _labels(stated.pop("labels", None), stated.pop("label", ()))
    if "normalised" in stated:
        stated["embedding_normalised"] = stated.pop("normalised")
    for name in ("window", "hop"):
        if (seconds := stated.pop(f"{name}_s", None)) is not None:
            stated[name] = _samples(name, seconds, stated)
    if "state" in stated:
        stated["states"] = tuple(map(_state, stated.pop("state")))
    for option, fact in (("constant", "constants"), ("metric", "metrics")):
        if option in stated:
            stated[fact] = dict(_assignment(option, text) for text in stated.pop(option))
    if "threshold" in stated:
        thresholds = dict(_assignment("threshold", text, named=False) for text in stated.pop("threshold"))
        stated["thresholds"] = dict.fromkeys(stated["labels"], thresholds.pop("")) if "" in thresholds else {}
        stated["thresholds"] |= thresholds
    return stated


def _derived(card: ModelCard, stated: dict[str, Any]) -> list[tuple[str, object]]:
    """Return what of a card was not stated, as names and values."""
    values: dict[str, object] = {
        "kind": card.input.kind,
        "input_axes": f"{card.input.name}: {','.join(card.input.axes)}",
        "window": card.window,
        "hop": card.hop,
        "pad": card.pad,
        "reduce": card.reduce,
        "name": card.name,
        "task": card.task,
        "licence": card.licence,
        "attribution": card.attribution,
        "training_data": card.training_data,
    }
    for state in card.input.states:
        values[f"state {state.name}"] = f"{state.output}: {','.join(map(str, state.shape))}"
    for kind in ("scores", "frames", "embedding"):
        if (found := getattr(card.outputs, kind)) is not None:
            values[f"{kind}_axes"] = f"{found.name}: {','.join(found.axes)}"
    if card.embedding_size is not None:
        values |= {"embedding_size": card.embedding_size, "embedding_normalised": card.embedding_normalised}
    return [(name, value) for name, value in values.items() if name not in stated]


def _frontend(text: str) -> FrontendConfig:
    from engine.errors import ConfigError
    from engine.frontend import PRESETS, FrontendConfig, preset

    if text in PRESETS or not Path(text).exists():
        return preset(text)
    try:
        return FrontendConfig.from_dict(json.loads(Path(text).read_text("utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"expected the settings of a front end as JSON in {text!r}; {error}") from error


def _labels(file: str | None, given: tuple[str, ...]) -> tuple[str, ...]:
    from engine.labels import read_labels

    if file is not None and given:
        raise click.UsageError("expected --labels or --label, got both; leave one out")
    return given if file is None else read_labels(file)


def _samples(name: str, seconds: float, stated: dict[str, Any]) -> int:
    rate = stated["frontend"].sample_rate if "frontend" in stated else stated.get("sample_rate")
    if stated.get("row_s"):
        rate = 1 / stated["row_s"]
    if name in stated or not rate:
        raise click.UsageError(
            f"expected --{name}, or --{name}-s with a front end, a sample rate or --row-s, got "
            f"{'both' if name in stated else 'seconds alone'}; state one length and what it is measured by"
        )
    samples: int = round(seconds * rate)
    return samples


def _state(text: str) -> State:
    from engine.adopt import State

    name, _, rest = text.partition("=")
    output, colon, shape = rest.rpartition(":")
    lengths = shape.split(",") if colon else []
    if not (name and rest and all(length.isdecimal() for length in lengths)):
        raise click.BadParameter(f"expected INPUT=OUTPUT or INPUT=OUTPUT:2,1,64, got {text!r}", param_hint="--state")
    return State(name, output if colon else rest, tuple(map(int, lengths)) if colon else None)


def _assignment(option: str, text: str, named: bool = True) -> tuple[str, float]:
    """Return name and number of ``NAME=NUMBER``; an empty name for a number alone, where that is allowed."""
    name, _, number = text.rpartition("=")
    words = {"true": True, "false": False}
    try:
        value = words[number] if number in words else float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (named and not name):
        raise click.BadParameter(
            f"expected {'NAME=NUMBER' if named else 'NUMBER or LABEL=NUMBER'}, got {text!r}", param_hint=f"--{option}"
        )
    return name, value

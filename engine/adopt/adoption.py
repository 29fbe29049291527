"""The steps from a foreign ONNX file to a model of the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.adopt.graph import append_activation, fix_batch, load_graph, serialised
from engine.adopt.inputs import derive_input, derive_window, trial_feed
from engine.adopt.outputs import derive_outputs, is_normalised
from engine.adopt.smoke import check_outputs
from engine.card import ModelCard, ModelOutput, ModelOutputs, write_card
from engine.errors import ConfigError, ModelError
from engine.model import Model
from engine.session import Session
from engine.verify import record_golden, verify_model

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

    from engine.adopt.facts import Facts
    from engine.card_parts import ModelInput

# Of a value, or absolutely: sums in another order differ by far less, windows that were mixed up by far more.
BATCH_TOLERANCE = 1e-3


def adopt_model(
    model: str | os.PathLike[str], output: str | os.PathLike[str], facts: Facts, *, overwrite: bool = False
) -> ModelCard:
    """Write a foreign ONNX model with a card, and return the card.

    What the facts leave open is derived from the graph and from what it gives for one window of a synthetic clip. A
    graph that leaves its batch axis free and does not compute the same for two windows as for one, which happens where
    a size was fixed at its export, is told to take one. Then the model is run through the engine: its outputs must be
    finite, the same twice, and of the kind that the card says.

    Parameters
    ----------
    model : path
        An .onnx file; weights in other files beside it are taken into the new one.
    output : path
        The .onnx file to write, by temporary name and rename.
    facts : Facts
    overwrite : bool
        Whether ``output`` may exist.

    Raises
    ------
    ConfigError
        The output exists, or the facts contradict each other.
    ModelError
        The file is no usable model, the facts do not fit it or are not enough, or its outputs are not what they say.
    """
    path = Path(output)
    if path.exists() and not overwrite:
        raise ConfigError(f"expected a new file, got {str(path)!r}, which exists; rename it or allow overwriting")
    if not path.parent.is_dir():
        raise ConfigError(f"expected a file in an existing folder, got {str(path)!r}; make the folder first")
    graph = load_graph(Path(model))
    trial = _run_trial(facts, graph)
    outputs = trial.outputs
    if facts.activation is not None:
        outputs = _activated(graph, outputs, facts)
    card = _card(facts, trial, outputs, facts.name or path.stem)
    card = record_golden(graph, card)
    finished = serialised(write_card(graph, card))
    check_outputs(Model(Session(finished, device="cpu", threads=1), card))
    temporary = path.with_name(f".{path.stem}.part.onnx")
    try:
        temporary.write_bytes(finished)
        written = verify_model(temporary).card
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return written


@dataclass(frozen=True)
class Trial:
    """What one window of a synthetic clip showed: the card's input, window and outputs, and the values they gave."""

    described: ModelInput
    window: int
    outputs: ModelOutputs
    values: Mapping[str, NDArray[Any]]


def _run_trial(facts: Facts, graph: onnx.ModelProto) -> Trial:
    session = Session(serialised(graph), device="cpu", threads=1)
    described = derive_input(facts, session.inputs)
    window = derive_window(facts, described, session.inputs)
    names = [port.name for port in session.outputs if port.name not in {state.output for state in described.states}]
    feed = trial_feed(facts, described, window, session)
    values = dict(zip(names, session.run(names, feed), strict=True))
    trial = Trial(described, window, derive_outputs(facts, values), values)
    if "batch" in described.axes and not described.states and not _takes_batches(session, feed, trial):
        fix_batch(graph, described.name, described.axes)
    return trial


def _takes_batches(session: Session, feed: dict[str, NDArray[Any]], trial: Trial) -> bool:
    """Return whether two windows in one call give what one window gives."""
    described, outputs = trial.described, trial.outputs
    read = [output for output in (outputs.scores, outputs.frames, outputs.embedding) if output is not None]
    twice = np.repeat(feed[described.name], 2, axis=described.axes.index("batch"))
    try:
        found = session.run([output.name for output in read], feed | {described.name: twice})
    except ModelError:
        return False
    for output, value in zip(read, found, strict=True):
        if "batch" not in output.axes:
            return False
        expected = np.repeat(trial.values[output.name], 2, axis=output.axes.index("batch"))
        if value.shape != expected.shape or not np.allclose(
            value, expected, rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE
        ):
            return False
    return True


def _activated(graph: onnx.ModelProto, outputs: ModelOutputs, facts: Facts) -> ModelOutputs:
    assert facts.activation is not None
    given = {"scores": outputs.scores, "frames": outputs.frames}
    if not outputs.with_labels:
        raise ConfigError("expected scores or frames for the activation, got a model without; leave the activation out")
    return replace(
        outputs,
        **{
            kind: ModelOutput(append_activation(graph, logits.name, logits.axes, facts.activation), logits.axes)
            for kind, logits in given.items()
            if logits is not None
        },
    )


def _card(facts: Facts, trial: Trial, outputs: ModelOutputs, name: str) -> ModelCard:
    score = facts.score or facts.activation
    if facts.labels and score is None:
        raise ConfigError(
            "expected to be told what the scores are, sigmoid, softmax or distance, got nothing; state the score, or "
            "an activation for a model that gives logits"
        )
    embedding, size, normalised = trial.outputs.embedding, None, False
    if embedding is not None:
        value = trial.values[embedding.name]
        size = value.shape[embedding.axes.index("feature")]
        stated = facts.embedding_normalised
        normalised = is_normalised(embedding, value) if stated is None else stated
    thresholds = facts.thresholds
    if thresholds is None or isinstance(thresholds, int | float):
        thresholds = {} if thresholds is None else dict.fromkeys(facts.labels, float(thresholds))
    return ModelCard(
        name=name,
        task=facts.task or ("tag" if outputs.with_labels else "embed"),
        labels=facts.labels,
        score=score,
        frontend=facts.frontend,
        input=trial.described,
        outputs=outputs,
        window=trial.window,
        hop=facts.hop or trial.window,
        pad=facts.pad,
        # A label that is heard in one window is heard in the recording; shares of one whole are averaged.
        reduce=facts.reduce or ("mean" if score == "softmax" else "max"),
        embedding_size=size,
        embedding_normalised=normalised,
        frame_hop=facts.frame_hop,
        frame_length=facts.frame_length or facts.frame_hop,
        thresholds=thresholds,
        threshold_method=facts.threshold_method if thresholds else "",
        training_data=facts.training_data,
        licence=facts.licence,
        attribution=facts.attribution,
        commit=facts.commit,
        metrics=facts.metrics,
    )

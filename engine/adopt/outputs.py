"""From what a graph gave for one window and the facts to the card's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.adopt.axes import OUTPUT_LAYOUTS, guess_axes
from engine.card import ModelOutput, ModelOutputs
from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.adopt.facts import Facts

# How far from one the squared lengths of embeddings may be that are called normalised: float32 rounding.
LENGTH_TOLERANCE = 1e-4


def derive_outputs(facts: Facts, values: Mapping[str, NDArray[Any]]) -> ModelOutputs:
    """Return the card's outputs.

    Parameters
    ----------
    facts : Facts
    values : Mapping from str to ndarray
        What the graph gave for one window, without its states.

    Raises
    ------
    ModelError
        The graph has no such outputs, or it is not clear which ones are meant.
    """
    names = {"scores": facts.scores, "frames": facts.frames, "embedding": facts.embedding}
    if not any(names.values()):
        names |= _only_output(facts, values)
    stated = {"scores": facts.scores_axes, "frames": facts.frames_axes, "embedding": facts.embedding_axes}
    return ModelOutputs(
        **{kind: _output(kind, name, stated[kind], facts, values) for kind, name in names.items() if name is not None}
    )


def is_normalised(output: ModelOutput, value: NDArray[Any]) -> bool:
    """Return whether every embedding in an output has length one."""
    squares = np.square(value, dtype=np.float64).sum(axis=output.axes.index("feature"))
    return bool(np.all(np.abs(squares - 1) <= LENGTH_TOLERANCE))


def _only_output(facts: Facts, values: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    if facts.labels:
        kind, wanted = "scores", f"one whose width is the number of labels, {len(facts.labels)}"
        fitting = [name for name, value in values.items() if value.size == value.shape[-1] == len(facts.labels)]
    else:
        kind, wanted = "embedding", "a single one"
        fitting = list(values)
    if len(fitting) != 1:
        shapes = {name: value.shape for name, value in values.items()}
        raise ModelError(
            f"expected among the outputs {wanted}, for one window they have the shapes {shapes}; state the names of "
            "the scores, the frames or the embedding"
        )
    return {kind: fitting[0]}


def _output(
    kind: str, name: str, stated: tuple[str, ...] | None, facts: Facts, values: Mapping[str, NDArray[Any]]
) -> ModelOutput:
    if name not in values:
        raise ModelError(f"expected the output {name!r} in the graph, it has {sorted(values)}; correct the name")
    shape = values[name].shape
    sizes = {"batch": 1, "label": len(facts.labels)}
    axes = stated or guess_axes(f"the output {name!r}", shape, OUTPUT_LAYOUTS[kind], sizes, f"{kind}_axes")
    if len(axes) != len(shape):
        raise ModelError(
            f"expected one axis for each of the output {name!r}, which has the shape {shape} for one window, got "
            f"{axes}; correct the stated axes"
        )
    return ModelOutput(name, axes)

"""Whether an adopted model gives what its card promises, on sounds that need no recordings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ModelError
from engine.golden import synthetic_clip
from engine.verify import GOLDEN_CLIP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from engine.model import Model
    from engine.results import Clip

SUM_TOLERANCE = 1e-3


def check_outputs(model: Model) -> None:
    """Run a model on a synthetic clip, on silence and on loud noise, or such rows; each is two and a half windows long.

    Raises
    ------
    ModelError
        It fails, gives NaN or other bits for the same sound, or its scores are not of the kind that its card says.
    """
    for values in _sounds(model):
        first, second = _run(model, values), _run(model, values)
        if any(not np.array_equal(a, b) for a, b in zip(_values(first), _values(second), strict=True)):
            raise ModelError(
                "expected the same outputs for the same sound, got others: the graph draws random numbers; export it "
                "in evaluation mode"
            )
        for heard in first.windows:
            scores = heard.scores if heard.frames is None else heard.frames.scores
            if scores.size:
                _check_scores(scores, model.card.score)


def _sounds(model: Model) -> Iterator[NDArray[np.float32]]:
    length = model.card.window * 5 // 2
    shape = (length,) if model.n_features is None else (length, model.n_features)
    n_values = math.prod(shape)
    yield synthetic_clip(GOLDEN_CLIP, n_values, model.card.sample_rate or n_values).reshape(shape)
    yield np.zeros(shape, np.float32)
    yield np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _run(model: Model, values: NDArray[np.float32]) -> Clip:
    if model.card.input.kind == "embedding":
        return model.rows(values, model.card.input.row_s or 1.0)
    return model((values, model.sample_rate))


def _values(clip: Clip) -> Iterator[NDArray[np.float32]]:
    for window in clip.windows:
        yield window.scores
        if window.embedding is not None:
            yield window.embedding
        if window.frames is not None:
            yield window.frames.scores


def _check_scores(scores: NDArray[np.float32], kind: str | None) -> None:
    low, high = float(scores.min()), float(scores.max())
    if kind in ("sigmoid", "softmax") and not 0 <= low <= high <= 1:
        raise ModelError(
            f"expected {kind} scores from 0 to 1, got some from {low:.4g} to {high:.4g}: these are logits; have the "
            "sigmoid or softmax appended as activation"
        )
    total = scores.sum(axis=-1, dtype=np.float64)
    if kind == "softmax" and np.any(np.abs(total - 1) > SUM_TOLERANCE):
        raise ModelError(
            f"expected softmax scores that sum to 1, got a sum of {float(total.flat[np.abs(total - 1).argmax()]):.4g}; "
            "state the score as sigmoid, or have the softmax appended as activation"
        )

"""From a graph's inputs and the facts to the card's input and window."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from engine.adopt.axes import INPUT_LAYOUTS, guess_axes
from engine.card_parts import CONTENT_AXES, MAX_WINDOW, ConstantType, InputKind, ModelConstant, ModelInput, ModelState
from engine.errors import ConfigError, ModelError
from engine.frontend import LogMel
from engine.golden import synthetic_clip
from engine.structure import PORT_TYPES
from engine.verify import GOLDEN_CLIP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from engine.adopt.facts import Facts
    from engine.session import Port, Session


def derive_input(facts: Facts, inputs: Sequence[Port]) -> ModelInput:
    """Return the card's input.

    Raises
    ------
    ConfigError
        The facts contradict each other, or do not say what kind of input it is.
    ModelError
        They do not fit the graph's inputs, or leave one of them out.
    """
    kind = _kind(facts)
    ports = {port.name: port for port in inputs}
    named = [*(state.name for state in facts.states), *facts.constants]
    for name in named:
        if name not in ports:
            raise ModelError(f"expected the input {name!r} in the graph, it has {sorted(ports)}; correct the name")
    left = sorted(ports.keys() - named)
    if len(left) != 1:
        raise ModelError(
            f"expected one input for the sound and every other one stated as a state or a constant, got {left} "
            "left for it; state those that are not the sound"
        )
    name = left[0]
    axes = facts.input_axes or guess_axes(
        f"the input {name!r}", ports[name].shape, INPUT_LAYOUTS[kind], _known_lengths(facts, kind), "input_axes"
    )
    if len(axes) != len(ports[name].shape):
        raise ModelError(
            f"expected one axis for each of the input {name!r}, whose shape is {ports[name].shape}, got {axes}; "
            "correct the stated axes"
        )
    return ModelInput(
        name,
        kind,
        axes,
        facts.sample_rate,
        facts.context,
        tuple(ModelState(state.name, state.output, state.shape or _fixed(ports[state.name])) for state in facts.states),
        tuple(_constant(ports[name], value) for name, value in facts.constants.items()),
        facts.row_s,
        facts.frame_padding,
    )


def derive_window(facts: Facts, described: ModelInput, inputs: Sequence[Port]) -> int:
    """Return the card's window: as stated, or the shortest that gives the length that the graph fixes.

    Raises
    ------
    ModelError
        It is neither stated nor fixed, or no length that a window can have.
    """
    window = facts.window
    if window is None:
        shape = next(port.shape for port in inputs if port.name == described.name)
        time = shape[described.axes.index("time")]
        if not isinstance(time, int):
            raise ModelError(
                f"expected the window to be stated, the graph takes an input {described.name!r} of any length; state "
                "the length that the model was trained on"
            )
        window = time - facts.context if facts.frontend is None else facts.frontend.n_samples(time)
    if not 1 <= window <= MAX_WINDOW:
        raise ModelError(f"expected a window of 1 to {MAX_WINDOW} samples or rows, got {window}; state another one")
    return window


def trial_feed(facts: Facts, described: ModelInput, window: int, session: Session) -> dict[str, NDArray[np.generic]]:
    """Return one window of a synthetic clip, as the graph takes it, with its states and constants."""
    axes = described.axes
    content = _content(facts, described, window, session)
    order = [CONTENT_AXES[described.kind].index(axis) for axis in axes if axis in CONTENT_AXES[described.kind]]
    content = content.transpose(order)
    for position, axis in enumerate(axes):
        if axis in ("batch", "channel"):
            content = np.expand_dims(content, position)
    states = {state.name: np.zeros(state.shape, np.float32) for state in described.states}
    constants = {
        constant.name: np.full(constant.shape, constant.value, constant.dtype) for constant in described.constants
    }
    return {described.name: np.ascontiguousarray(content)} | states | constants


def _content(facts: Facts, described: ModelInput, window: int, session: Session) -> NDArray[np.float32]:
    if described.kind == "embedding":
        shape = next(port.shape for port in session.inputs if port.name == described.name)
        features = shape[described.axes.index("feature")]
        if not isinstance(features, int) or window * features > MAX_WINDOW:
            raise ModelError(
                f"expected the graph to fix how many features a row of {described.name!r} has, {MAX_WINDOW} in a "
                f"window at most, its shape is {shape}; export it with that axis fixed"
            )
        return synthetic_clip(GOLDEN_CLIP, window * features, window * features).reshape(window, features)
    if facts.frontend is not None:
        return LogMel(facts.frontend)(synthetic_clip(GOLDEN_CLIP, window, facts.frontend.sample_rate))
    assert facts.sample_rate is not None
    clip = synthetic_clip(GOLDEN_CLIP, window, facts.sample_rate)
    return np.pad(clip, (facts.context, 0))


def _kind(facts: Facts) -> InputKind:
    derived: InputKind | None = None
    if facts.frontend is not None:
        derived = "log_mel"
    elif facts.sample_rate is not None:
        derived = "waveform"
    kind = facts.kind or derived
    if kind is None:
        raise ConfigError(
            "expected to be told what the model takes, got neither a front end (log-mel) nor a sample rate (waveform) "
            "nor the kind 'embedding'; state one of them"
        )
    if kind not in get_args(InputKind) or kind not in (derived, "embedding") or (facts.frontend and facts.sample_rate):
        raise ConfigError(
            f"expected a front end for the kind log_mel, a sample rate for waveform and neither for embedding, got "
            f"kind {kind!r} with front end {'given' if facts.frontend else None}, sample rate {facts.sample_rate}; "
            "leave out what does not belong"
        )
    return kind


def _known_lengths(facts: Facts, kind: InputKind) -> Mapping[str, int | None]:
    time = facts.window
    if facts.window is not None and facts.frontend is not None:
        time = facts.frontend.n_frames(facts.window)
    elif facts.window is not None and kind == "waveform":
        time = facts.window + facts.context
    mel = None if facts.frontend is None else facts.frontend.n_mels
    return {"batch": 1, "channel": 1, "time": time, "mel": mel}


def _fixed(port: Port) -> tuple[int, ...]:
    return tuple(length if isinstance(length, int) else 1 for length in port.shape)


def _constant(port: Port, value: float) -> ModelConstant:
    types = {PORT_TYPES[name]: name for name in get_args(ConstantType)}
    if port.type not in types:
        raise ModelError(
            f"expected the constant input {port.name!r} to be of one of the types {', '.join(types.values())}, it is "
            f"{port.type}; export the model with one of them"
        )
    dtype = types[port.type]
    if dtype.startswith("int") and float(value).is_integer():
        value = int(value)
    return ModelConstant(port.name, dtype, _fixed(port), bool(value) if dtype == "bool" else value)

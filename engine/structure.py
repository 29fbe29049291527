"""Whether a network has the shape that its card describes: checked when a model is opened, before any audio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from engine.card_fields import shown
from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.card import ModelCard
    from engine.session import Port

# The runtime's words for the element types that a card names.
PORT_TYPES = {
    "float32": "tensor(float)",
    "int64": "tensor(int64)",
    "int32": "tensor(int32)",
    "bool": "tensor(bool)",
}


class Found(NamedTuple):
    """An input or output that the network has: what to call it in a message, and its shape."""

    what: str
    shape: tuple[int | str | None, ...]


def check_structure(card: ModelCard, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Raise a ModelError unless the network's inputs and outputs are those of the card.

    Names, element types, numbers of axes and the lengths of fixed axes are compared: the width of the scores with the
    labels, of the input with the front end. Axes that the file leaves free are checked when the network runs.
    """
    states, constants = card.input.states, card.input.constants
    fed = {card.input.name, *(state.name for state in states), *(constant.name for constant in constants)}
    if unfed := sorted(port.name for port in inputs if port.name not in fed):
        raise ModelError(
            f"expected a network whose inputs are {shown(sorted(fed))}, as its card says, got also {shown(unfed)}; "
            "export it without them, or add them to the card's states or constants"
        )
    sizes = {"batch": 1, "channel": 1, "label": len(card.labels), "feature": card.embedding_size, "time": None}
    _check_axes(_find("input", card.input.name, inputs), card.input.axes, sizes | _input_sizes(card))
    for output in (card.outputs.scores, card.outputs.frames, card.outputs.embedding):
        if output is not None:
            _check_axes(_find("output", output.name, outputs), output.axes, sizes)
    for state in states:
        _check_shape(_find("input", state.name, inputs), state.shape)
        _check_shape(_find("output", state.output, outputs), state.shape)
    for constant in constants:
        _check_shape(_find("input", constant.name, inputs, constant.dtype), constant.shape)


def _input_sizes(card: ModelCard) -> dict[str, int | None]:
    """Return the lengths that the input's own axes have for one full window; None for one that may be any."""
    if card.frontend is not None:
        return {"mel": card.frontend.n_mels, "time": card.frontend.n_frames(card.window)}
    return {"time": card.input.context + card.window, "feature": None}


def _find(kind: Literal["input", "output"], name: str, ports: Sequence[Port], dtype: str = "float32") -> Found:
    what = f"{kind} {shown(name)}"
    port = next((port for port in ports if port.name == name), None)
    if port is None:
        names = shown(sorted(port.name for port in ports))
        raise ModelError(f"expected the {what} that the card names, the network has {names}; correct the card")
    if port.type != PORT_TYPES[dtype]:
        raise ModelError(f"expected {what} to be of type {dtype}, got {shown(port.type)}; export the model in {dtype}")
    return Found(what, port.shape)


def _check_axes(found: Found, axes: tuple[str, ...], sizes: Mapping[str, int | None]) -> None:
    if len(found.shape) != len(axes):
        raise ModelError(
            f"expected {found.what} to have the card's axes {axes}, the network's has the shape {shown(found.shape)}; "
            "correct the card"
        )
    for axis, length in zip(axes, found.shape, strict=True):
        wanted = sizes[axis]
        if isinstance(length, int) and wanted is not None and length != wanted:
            raise ModelError(
                f"expected the axis {axis!r} of {found.what} to have the length {wanted}, as follows from the card, "
                f"the network has {length}; correct the card, or export the model with that axis free"
            )


def _check_shape(found: Found, wanted: tuple[int, ...]) -> None:
    fits = len(found.shape) == len(wanted) and all(
        not isinstance(length, int) or length == size for length, size in zip(found.shape, wanted, strict=True)
    )
    if not fits:
        raise ModelError(
            f"expected {found.what} to have the card's shape {wanted}, the network's has {shown(found.shape)}; "
            "correct the card"
        )

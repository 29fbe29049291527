"""Whether a network has the shape that its card describes: checked when a model is opened, before any audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.card import ModelCard
    from engine.session import Port


def check_structure(card: ModelCard, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Raise a ModelError unless the network's inputs and outputs are those of the card.

    Names, element types, numbers of axes and the lengths of fixed axes are compared: the width of the scores with the
    labels, of the input with the front end. Axes that the file leaves free are checked when the network runs.
    """
    if unfed := sorted(port.name for port in inputs if port.name != card.input.name):
        raise ModelError(
            f"expected a network whose only input is {card.input.name!r}, as its card says, got also {unfed}; "
            "export it without them"
        )
    sizes = {"batch": 1, "channel": 1, "label": len(card.labels), "feature": card.embedding_size}
    _check_port("input", card.input.name, card.input.axes, inputs, sizes | _input_sizes(card))
    for output in (card.outputs.scores, card.outputs.embedding):
        if output is not None:
            _check_port("output", output.name, output.axes, outputs, sizes)


def _input_sizes(card: ModelCard) -> dict[str, int | None]:
    """Return the lengths that the input's own axes have for one full window; None for one that may be any."""
    if card.frontend is not None:
        return {"mel": card.frontend.n_mels, "time": card.frontend.n_frames(card.window)}
    return {"time": card.window, "feature": None}


def _check_port(
    kind: str, name: str, axes: tuple[str, ...], ports: Sequence[Port], sizes: Mapping[str, int | None]
) -> None:
    port = next((port for port in ports if port.name == name), None)
    if port is None:
        raise ModelError(
            f"expected the {kind} {name!r} that the card names, the network has {sorted(p.name for p in ports)}; "
            "correct the card"
        )
    if port.type != "tensor(float)":
        raise ModelError(
            f"expected {kind} {name!r} to be of type float32, got {port.type}; export the model in float32"
        )
    if len(port.shape) != len(axes):
        raise ModelError(
            f"expected {kind} {name!r} to have the card's axes {axes}, the network's has the shape {port.shape}; "
            "correct the card"
        )
    for axis, length in zip(axes, port.shape, strict=True):
        wanted = sizes[axis]
        if isinstance(length, int) and wanted is not None and length != wanted:
            raise ModelError(
                f"expected the axis {axis!r} of {kind} {name!r} to have the length {wanted}, as follows from the card, "
                f"the network has {length}; correct the card, or export the model with that axis free"
            )

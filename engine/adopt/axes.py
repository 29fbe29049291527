"""Which axis of an input or output is which, as far as its shape says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.card_parts import InputKind

# The orders that are met in the field.
INPUT_LAYOUTS: Mapping[InputKind, tuple[str, ...]] = {
    "waveform": ("time", "batch time", "batch channel time", "batch time channel"),
    "log_mel": (
        *("time mel", "mel time", "batch time mel", "batch mel time"),
        *("batch channel time mel", "batch channel mel time", "batch time mel channel", "batch mel time channel"),
    ),
    "embedding": ("time feature", "feature time", "batch time feature", "batch feature time"),
}
OUTPUT_LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "scores": ("label", "batch label"),
    "frames": ("time label", "label time", "batch time label", "batch label time"),
    "embedding": ("feature", "batch feature", "time feature", "batch time feature", "batch feature time"),
}


def guess_axes(
    what: str, shape: Sequence[int | str | None], layouts: Sequence[str], sizes: Mapping[str, int | None], option: str
) -> tuple[str, ...]:
    """Return the one order of axes that fits a shape.

    Parameters
    ----------
    what : str
        What messages call the input or output.
    shape : sequence
        Numbers for fixed axes, anything else for free ones.
    layouts : sequence of str
        Orders to choose from.
    sizes : Mapping from axis to int or None
        Known lengths; None, or an axis that is not there, may have any.
    option : str
        The name under which the axes can be stated, for the message.

    Raises
    ------
    ModelError
        No order fits, or several fit equally well.
    """
    fitting = list(_fitting(shape, layouts, sizes))
    if not fitting:
        known = {axis: size for axis, size in sizes.items() if size is not None}
        raise ModelError(
            f"expected {what} to have axes in one of the orders {', '.join(layouts)} with the lengths {known}, got the "
            f"shape {tuple(shape)}; correct what is stated, or state the order as {option}"
        )
    best = max(known for known, _ in fitting)
    found = [axes for known, axes in fitting if known == best]
    if len(found) > 1:
        orders = " and ".join(",".join(axes) for axes in found)
        raise ModelError(
            f"expected {what} to have a shape that tells its axes apart, {tuple(shape)} fits {orders}; state the order "
            f"as {option}"
        )
    return found[0]


def _fitting(
    shape: Sequence[int | str | None], layouts: Sequence[str], sizes: Mapping[str, int | None]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Give each order that fits, with how many of its axes have a known length that the shape confirms."""
    for layout in layouts:
        axes = tuple(layout.split())
        if len(axes) != len(shape):
            continue
        lengths = dict(zip(axes, shape, strict=True))
        if not isinstance(lengths.get("mel", 0), int):
            continue  # a free axis is hardly that of the bands, and a guess would swap them with time
        pairs = [(sizes.get(axis), length) for axis, length in lengths.items()]
        if all(size is None or not isinstance(length, int) or size == length for size, length in pairs):
            yield sum(size is not None and size == length for size, length in pairs), axes

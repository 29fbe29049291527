"""The int8 variant: 8 bits where that pays, with ranges seen on real recordings, and a gate on what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.convert.agreement import agreement, clips_of
from engine.convert.candidate import open_candidate
from engine.convert.quantizer import Quantizer, feeds_of
from engine.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from engine.card import ModelCard
    from engine.convert.agreement import Agreement
    from engine.convert.recordings import Recording

LARGEST_ACCURACY_DROP = 0.01
SMALLEST_CORRELATION = 0.99
MIN_RECORDINGS = 16
CALIBRATION_WINDOWS = 128
# Bounds of the search for layers that hurt.
SEARCH_RECORDINGS, SEARCH_WINDOWS, MAX_SEARCHED = 16, 16, 64


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """An int8 network that passed.

    Attributes
    ----------
    model : ModelProto
    agreement : Agreement
        With the original, on recordings that were not calibrated with.
    layers : int
        How many compute in 8 bits.
    left_out : int
        How many more could, and stay in float32 because they cost too much.
    """

    model: onnx.ModelProto
    agreement: Agreement
    layers: int
    left_out: int


def to_int8(model: onnx.ModelProto, card: ModelCard, recordings: Sequence[Recording]) -> Quantized:
    """Quantise a model, calibrated on every other recording and measured on the rest.

    Where too much is lost, the layers that hurt most by themselves stay in float32: one, two, four ... up to half.

    Parameters
    ----------
    model : ModelProto
    card : ModelCard
        Of a model that takes sound.
    recordings : sequence of Recording
        At least 16.

    Raises
    ------
    ConfigError
        Too few recordings.
    ModelError
        The model has no layer that gains, or it loses more than one point of accuracy or comes below a rank correlation
        of 0.99 (a cosine, for a model without labels), whatever is left out.
    """
    if len(recordings) < MIN_RECORDINGS:
        raise ConfigError(
            f"expected at least {MIN_RECORDINGS} recordings to calibrate and measure int8 with, got {len(recordings)}; "
            "name a folder with more"
        )
    calibration, held_out = recordings[::2], recordings[1::2]
    quantizer = Quantizer(model, feeds_of(model, card, calibration, CALIBRATION_WINDOWS))
    layers = quantizer.layers
    if not layers:
        raise ModelError(
            f"expected a model with convolutions or large matrices, {card.name!r} has none that 8 bits make faster; "
            "leave int8 out"
        )
    original = clips_of(open_candidate(model, card), held_out)
    order: list[str] = []
    count = 0
    while True:
        chosen = [layer for layer in layers if layer not in order[:count]]
        variant = quantizer.quantized(chosen)
        found = agreement(held_out, original, clips_of(open_candidate(variant, card), held_out))
        if passes(found):
            return Quantized(variant, found, len(chosen), count)
        count = 2 * count or 1
        if count > len(layers) // 2:
            raise ModelError(f"expected int8 to keep what {card.name!r} finds, {_loss(found)}; it was not written")
        order = order or _most_harmful_first(model, card, layers, calibration[:SEARCH_RECORDINGS])


def passes(found: Agreement) -> bool:
    """Return whether a variant agrees with the original as far as an int8 variant must."""
    correlation = found.embedding_cosine if found.rank_correlation is None else found.rank_correlation
    return (correlation or 0.0) >= SMALLEST_CORRELATION and (found.accuracy_drop or 0.0) <= LARGEST_ACCURACY_DROP


def _most_harmful_first(
    model: onnx.ModelProto, card: ModelCard, layers: Sequence[str], recordings: Sequence[Recording]
) -> list[str]:
    """Return the layers in the order of what each does to the outputs when it alone is in 8 bits."""
    quantizer = Quantizer(model, feeds_of(model, card, recordings, SEARCH_WINDOWS))
    original = clips_of(open_candidate(model, card), recordings)
    harm = {}
    for layer in layers[:MAX_SEARCHED]:
        clips = clips_of(open_candidate(quantizer.quantized([layer]), card), recordings)
        harm[layer] = agreement(recordings, original, clips).mean_difference
    return sorted(harm, key=harm.__getitem__, reverse=True)


def _loss(found: Agreement) -> str:
    if found.rank_correlation is None:
        return f"got embeddings of cosine {found.embedding_cosine:.3f}, {SMALLEST_CORRELATION} is needed"
    return (
        f"got an accuracy drop of {found.accuracy_drop or 0.0:.3f} and a rank correlation of "
        f"{found.rank_correlation:.3f}, {LARGEST_ACCURACY_DROP} and {SMALLEST_CORRELATION} are allowed"
    )

"""The fp16 variant: weights and sums in 16-bit floats, for CUDA; inputs and outputs stay in 32."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from engine.convert.agreement import agreement, clips_of
from engine.convert.candidate import open_candidate
from engine.convert.recordings import synthetic_recordings
from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from engine.card import ModelCard
    from engine.convert.agreement import Agreement
    from engine.convert.recordings import Recording

# What 11 bits of mantissa come to after some dozens of layers; of the largest value where that is above 1.
TOLERANCE = 0.02


def to_float16(
    model: onnx.ModelProto, card: ModelCard, recordings: Sequence[Recording] = ()
) -> tuple[onnx.ModelProto, Agreement]:
    """Return a model in 16-bit floats, and how far it agrees with the original.

    Parameters
    ----------
    model : ModelProto
    card : ModelCard
        Of a model that takes sound.
    recordings : sequence of Recording
        What to compare on; made-up ones if there are none.

    Raises
    ------
    ModelError
        The runtime's converter cannot convert the model, or the variant's outputs are more than 0.02 off.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with warnings.catch_warnings():
        # Weights beyond the range of 16 bits are cut with a warning; what that does is measured below.
        warnings.simplefilter("ignore")
        try:
            variant: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True)
        except Exception as error:
            raise ModelError(
                f"expected a model that onnxruntime can bring to 16-bit floats, {card.name!r} is none: {error}; leave "
                "fp16 out"
            ) from error
    heard = recordings or synthetic_recordings(card)
    original = clips_of(open_candidate(model, card), heard)
    found = agreement(heard, original, clips_of(open_candidate(variant, card), heard))
    if not found.largest_difference <= TOLERANCE:
        raise ModelError(
            f"expected fp16 to keep the outputs of {card.name!r} within {TOLERANCE}, got a difference of "
            f"{found.largest_difference:.2g}; it was not written"
        )
    return variant, found

"""A model in, a file with one of its variants out: measured, with a card and a golden check of its own, or nothing."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine import _kernels
from engine.card import ModelCard, write_card
from engine.convert.agreement import agreement, clips_of
from engine.convert.candidate import open_candidate, with_golden
from engine.convert.float16 import to_float16
from engine.convert.int8 import to_int8
from engine.convert.speed import network_speed_ratio, window_speed_ratio
from engine.convert.waveform import to_waveform
from engine.convert.waveform_parity import check_waveform
from engine.errors import ConfigError
from engine.model import Model
from engine.registry import find_model
from engine.verify import GOLDEN_TOLERANCE, verify_model

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import onnx

    from engine.convert.agreement import Agreement
    from engine.convert.recordings import Recording

# How far another machine may come: where 8 or 16 bits round, a last digit that differs becomes a step.
ROUNDED_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Conversion:
    """A variant that was written.

    Attributes
    ----------
    variant : str
    path : Path
    card : ModelCard
        Its own; ``metrics`` has what was measured and what it was made from.
    n_bytes, original_bytes : int
        Sizes of the files.
    speed_ratio : float
        How many times faster than the original it takes one window on one thread of this CPU, front end included.
    network_speed_ratio : float or None
        The same for the network alone; None for the waveform variant, whose network includes the front end.
    agreement : Agreement or None
        With the original, on recordings; None where there were none.
    largest_difference : float
        From the original's outputs, as part of the largest where that is above 1.
    """

    variant: str
    path: Path
    card: ModelCard
    n_bytes: int
    original_bytes: int
    speed_ratio: float
    network_speed_ratio: float | None
    agreement: Agreement | None
    largest_difference: float


class _Made(NamedTuple):
    model: onnx.ModelProto
    card: ModelCard
    agreement: Agreement | None
    largest_difference: float
    tolerance: float
    notes: dict[str, Any]


def convert_model(
    model: str | os.PathLike[str] | None,
    variant: str,
    folder: str | os.PathLike[str],
    recordings: Sequence[Recording] = (),
    *,
    overwrite: bool = False,
) -> Conversion:
    """Write ``NAME-VARIANT.onnx`` beside or instead of a model, if it agrees with that model.

    Parameters
    ----------
    model : str, path or None
        As for ``Tagger``; a model that takes sound.
    variant : str
        "int8": 8-bit weights and activations, for CPUs with dot-product instructions (VNNI); needs 16 recordings.
        "fp16": 16-bit floats, for CUDA.
        "waveform": the front end inside the graph, for hosts that have onnxruntime only.
    folder : path
        Is made where it does not exist.
    recordings : sequence of Recording, optional
        What to calibrate and to measure with; see ``read_recordings``.
    overwrite : bool
        Replace a file of that name.

    Raises
    ------
    ConfigError
        An unknown variant, a file that exists, too few recordings, or a model that takes no sound or has two towers.
    ModelError
        No such model, one that the variant cannot be made from, or a variant that loses more than is allowed. Nothing
        is written then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = convert_model("esc10", "waveform", folder)
    ...     print(written.path.name, written.card.input.kind)
    esc10-waveform.onnx waveform
    """
    import onnx

    if variant not in VARIANTS:
        raise ConfigError(f"expected a variant among {', '.join(VARIANTS)}, got {variant!r}; choose one of them")
    path = find_model(model)
    card = Model.open(path, "cpu", 1).card
    if card.sample_rate is None:
        raise ConfigError(f"expected a model that takes sound, {card.name!r} takes embeddings; choose another model")
    if card.query is not None:
        raise ConfigError(f"expected a model of one tower, {card.name!r} has two; choose another model")
    target = Path(folder) / f"{card.name}-{variant}.onnx"
    if target.exists() and not overwrite:
        raise ConfigError(f"expected a new file, got {str(target)!r}, which exists; rename it or allow to overwrite it")
    original = onnx.load(path)
    made = VARIANTS[variant](original, card, recordings)
    ratio = window_speed_ratio((original, card), (made.model, made.card))
    network_ratio = None
    if made.card.input == card.input:
        network_ratio = network_speed_ratio((original, card), (made.model, made.card))
    described = _described(made, card, {"speed_ratio": ratio, "network_speed_ratio": network_ratio})
    written = _written(target, made, replace(described, name=target.stem))
    return Conversion(
        variant=variant,
        path=target,
        card=written,
        n_bytes=target.stat().st_size,
        original_bytes=path.stat().st_size,
        speed_ratio=ratio,
        network_speed_ratio=network_ratio,
        agreement=made.agreement,
        largest_difference=made.largest_difference,
    )


def _described(made: _Made, card: ModelCard, speeds: dict[str, float | None]) -> ModelCard:
    """Return the variant's card: what it was made from, and what was measured of it."""
    import onnxruntime

    measured = {
        "made_from": {"name": card.name, "model_sha256": card.model_sha256, "metrics": card.metrics},
        **speeds,
        "speed_measured_on": f"{platform.machine()} {_kernels.isa()}, 1 thread, onnxruntime {onnxruntime.__version__}",
        "largest_difference": made.largest_difference,
        "agreement": None if made.agreement is None else asdict(made.agreement),
        **made.notes,
    }
    return replace(made.card, metrics=measured, model_sha256="", card_sha256="")


def _written(target: Path, made: _Made, card: ModelCard) -> ModelCard:
    """Write by temporary name and rename, what the engine verifies only; return the card as written."""
    carrier = write_card(made.model, with_golden(made.model, card, made.tolerance))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.part.onnx")
    try:
        temporary.write_bytes(carrier.SerializeToString())
        written = verify_model(temporary).card
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _int8(model: onnx.ModelProto, card: ModelCard, recordings: Sequence[Recording]) -> _Made:
    made = to_int8(model, card, recordings)
    found = made.agreement
    notes = {"layers_in_8_bits": made.layers, "layers_left_out": made.left_out}
    return _Made(made.model, card, found, found.largest_difference, ROUNDED_TOLERANCE, notes)


def _fp16(model: onnx.ModelProto, card: ModelCard, recordings: Sequence[Recording]) -> _Made:
    variant, found = to_float16(model, card, recordings)
    return _Made(variant, card, found if recordings else None, found.largest_difference, ROUNDED_TOLERANCE, {})


def _waveform(model: onnx.ModelProto, card: ModelCard, recordings: Sequence[Recording]) -> _Made:
    variant = to_waveform(model, card)
    difference = check_waveform((model, card), variant, recordings)
    found = None
    if recordings:
        clips = (clips_of(open_candidate(*pair), recordings) for pair in ((model, card), variant))
        found = agreement(recordings, *clips)
    assert card.frontend is not None
    return _Made(*variant, found, difference, GOLDEN_TOLERANCE, {"front_end": card.frontend.to_dict()})


VARIANTS: dict[str, Callable[[onnx.ModelProto, ModelCard, Sequence[Recording]], _Made]] = {
    "int8": _int8,
    "fp16": _fp16,
    "waveform": _waveform,
}

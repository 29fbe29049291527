"""Whether a waveform variant computes what the model it was made from computes; it is not written otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.convert.candidate import open_candidate
from engine.convert.recordings import synthetic_recordings, uneven_noise
from engine.errors import ModelError
from engine.frontend import LogMel
from engine.network import Network
from engine.results import Frames
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import onnx
    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.convert.recordings import Recording
    from engine.network import WindowOutputs
    from engine.results import Window

# Of outputs, per unit of the largest value above 1.
TOLERANCE = 1e-4
BATCHES = (1, 2, 5)


def check_waveform(
    original: tuple[onnx.ModelProto, ModelCard],
    variant: tuple[onnx.ModelProto, ModelCard],
    recordings: Iterable[Recording] = (),
) -> float:
    """Return the largest difference between the outputs of two models, as part of the largest value above 1.

    Both hear the recordings and some made-up ones through the engine, in several windows and in less than one. Then
    both networks are run by themselves on batches, and on lengths other than the card's where the original takes those.

    Raises
    ------
    ModelError
        The difference is above 1e-4.
    """
    model, other = open_candidate(*original), open_candidate(*variant)
    rate = model.sample_rate
    heard = (*recordings, *synthetic_recordings(model.card))
    found = max(
        _of_windows(a, b)
        for clip in (recording.samples for recording in heard)
        for a, b in zip(model((clip, rate)).windows, other((clip, rate)).windows, strict=True)
    )
    found = max(found, _of_batches(original, variant))
    if not found <= TOLERANCE:
        raise ModelError(
            f"expected the waveform variant of {model.card.name!r} to give its outputs within {TOLERANCE:g}, got a "
            f"difference of {found:.2g}; it was not written, use the model with the engine's front end"
        )
    return found


def _of_batches(original: tuple[onnx.ModelProto, ModelCard], variant: tuple[onnx.ModelProto, ModelCard]) -> float:
    network, other = (_network(model, card) for model, card in (original, variant))
    card = original[1]
    assert card.frontend is not None
    front_end = LogMel(card.frontend, warn_empty=False)
    lengths = [card.window]
    if network.fixed_time is None:
        lengths += [2 * card.window // 3 + 1, card.window + 3 * card.frontend.hop_length // 2 + 1]
    found = 0.0
    for length in lengths:
        for size in BATCHES if network.takes_batches else BATCHES[:1]:
            batch = [uneven_noise(length, seed) for seed in range(size)]
            try:
                expected = network.run([front_end(clip) for clip in batch], network.initial_state())
            except ModelError:
                if length == card.window:
                    raise
                continue  # a length that the network itself does not take
            got = other.run(batch, other.initial_state())
            found = max(found, *map(_of_windows, expected, got))
    return found


def _network(model: onnx.ModelProto, card: ModelCard) -> Network:
    return Network(Session(model.SerializeToString(), device="cpu", threads=1), card)


def _of_windows(a: Window | WindowOutputs, b: Window | WindowOutputs) -> float:
    return max(_difference(x, y) for x, y in zip(_values(a), _values(b), strict=True))


def _values(window: Window | WindowOutputs) -> Sequence[NDArray[np.float32] | None]:
    frames = window.frames
    return window.scores, window.embedding, frames.scores if isinstance(frames, Frames) else frames


def _difference(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None) -> float:
    if a is None or b is None or not a.size:
        return 0.0
    return float(np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(a))))

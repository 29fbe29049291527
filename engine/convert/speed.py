"""How many times faster a variant is than the model it was made from, on one thread of this CPU."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from engine.convert.candidate import open_candidate
from engine.convert.quantizer import feeds_of
from engine.convert.recordings import Recording, uneven_noise
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from engine.card import ModelCard

    Candidate = tuple[onnx.ModelProto, ModelCard]

TURNS = 60


def window_speed_ratio(original: Candidate, variant: Candidate) -> float:
    """Return the ratio for one window through the engine, front end included."""
    return speed_ratio(_listening(*original), _listening(*variant))


def network_speed_ratio(original: Candidate, variant: Candidate) -> float:
    """Return the ratio for one window through the network alone; both take the same input."""
    (feeds,) = feeds_of(*original, [_one_window(original[1])], 1)
    sessions = [Session(model.SerializeToString(), device="cpu", threads=1) for model, _ in (original, variant)]
    names = [port.name for port in sessions[0].outputs]
    slow, fast = ((lambda session=session: session.run(names, feeds)) for session in sessions)
    return speed_ratio(slow, fast)


def speed_ratio(slow: Callable[[], object], fast: Callable[[], object]) -> float:
    """Return the shortest time of ``slow`` in terms of the shortest of ``fast``; they take turns.

    The shortest, because what else a machine does only makes calls longer, and long calls more often.
    """
    turns = [(_seconds(slow), _seconds(fast)) for _ in range(TURNS)]
    return min(turn[0] for turn in turns) / min(turn[1] for turn in turns)


def _listening(model: onnx.ModelProto, card: ModelCard) -> Callable[[], object]:
    opened, samples = open_candidate(model, card), _one_window(card).samples
    return lambda: opened((samples, opened.sample_rate))


def _one_window(card: ModelCard) -> Recording:
    return Recording(None, uneven_noise(card.window), None)


def _seconds(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before

"""A variant before it has a file: opened through the engine, as a user will open it, and its golden check recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engine.card import read_card, write_card
from engine.model import Model
from engine.session import Session
from engine.verify import record_golden

if TYPE_CHECKING:
    import onnx

    from engine.card import ModelCard


def open_candidate(model: onnx.ModelProto, card: ModelCard) -> Model:
    """Open a model on one thread of the CPU, without its golden check."""
    carrier = write_card(model, replace(card, golden=None))
    session = Session(carrier.SerializeToString(), device="cpu", threads=1)
    return Model(session, read_card(session.metadata))


def with_golden(model: onnx.ModelProto, card: ModelCard, tolerance: float) -> ModelCard:
    """Return ``card`` with what ``model`` gives recorded; ``tolerance`` is per unit of the largest value above 1."""
    recorded = record_golden(model, card)
    assert recorded.golden is not None
    golden = recorded.golden
    scale = max(1.0, *map(abs, (*(golden.scores or ()), *(golden.embedding or ()))))
    return replace(recorded, golden=replace(golden, tolerance=tolerance * scale))

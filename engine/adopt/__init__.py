"""Foreign models: a card is written into an ONNX file that was made for something else."""

from __future__ import annotations

from engine.adopt.adoption import adopt_model
from engine.adopt.facts import Facts, State

__all__ = ["Facts", "State", "adopt_model"]

"""Variants of a model, each a whole model with its own card: int8, fp16, and with the front end inside the graph."""

from __future__ import annotations

from engine.convert.recordings import Recording, read_recordings
from engine.convert.variants import VARIANTS, Conversion, convert_model

__all__ = ["VARIANTS", "Conversion", "Recording", "convert_model", "read_recordings"]

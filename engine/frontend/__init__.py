"""Waveform to log-mel, in C++: configuration, whole clips."""

from __future__ import annotations

from engine.frontend.config import FrontendConfig
from engine.frontend.log_mel import LogMel

__all__ = ["FrontendConfig", "LogMel"]

"""Waveform to log-mel, in C++: configurations and presets, whole clips, banks, streams, spectra and cepstra."""

from __future__ import annotations

from engine.frontend.bank import LogMelBank
from engine.frontend.config import FrontendConfig
from engine.frontend.log_mel import LogMel
from engine.frontend.presets import PRESETS, preset
from engine.frontend.spectra import MFCC, stft
from engine.frontend.stream import LogMelStream

__all__ = ["MFCC", "PRESETS", "FrontendConfig", "LogMel", "LogMelBank", "LogMelStream", "preset", "stft"]

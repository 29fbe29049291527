"""Recording, with a stand-in for the microphone."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from engine.errors import AudioError, ConfigError
from engine.record import record


class PortAudioError(Exception):
    """As sounddevice has it."""


def microphone(monkeypatch, rec):
    module = types.SimpleNamespace(rec=rec, wait=lambda: None, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_samples_are_mono_and_as_long_as_asked(monkeypatch):
    asked = {}

    def rec(n_frames, **options):
        asked.update(options, n_frames=n_frames)
        return np.arange(n_frames, dtype=np.float32)[:, None]

    microphone(monkeypatch, rec)
    samples, rate = record(0.5, 8000)
    assert (samples.shape, rate) == ((4000,), 8000)
    assert samples[-1] == 3999
    assert asked == {"n_frames": 4000, "samplerate": 8000, "channels": 1, "dtype": "float32"}


def test_no_microphone_is_one_sentence(monkeypatch):
    def rec(*_arguments, **_options):
        raise PortAudioError("no default input device")

    microphone(monkeypatch, rec)
    with pytest.raises(AudioError, match=r"microphone.*no default input device"):
        record(1.0)


def test_no_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigError, match="pip install 'sound-engine\\[record\\]'"):
        record(1.0)


def test_no_time_is_refused():
    with pytest.raises(ConfigError, match="more than 0 seconds"):
        record(0)

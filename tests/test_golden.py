from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from engine.errors import ModelError
from engine.golden import synthetic_clip

CLIP = "bursts-chirp-clicks"


def slow_clip(n_samples, sample_rate):
    """The formula in Python's unbounded integers, one sample at a time."""
    state, phase, samples = 1, 0, []
    for k in range(n_samples):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        segment = k * 8 // n_samples
        noise = ((state >> 48) - 2**15) >> (1 + segment // 2) if segment % 2 == 0 else 0
        phase = (phase + (k * 2**31) // n_samples) % 2**32
        turn = (phase >> 16) - 2**15
        chirp = (turn * (2**15 - abs(turn)) >> 13) >> 2
        click = 2**14 if k % (sample_rate // 4) == 0 else 0
        samples.append(min(max(noise + chirp + click, -(2**15)), 2**15 - 1) / 2**15)
    return np.array(samples, np.float32)


@pytest.mark.parametrize("n_samples", [1, 2, 7, 8, 9, 4000, 16001])
def test_equals_the_formula_in_plain_integers(n_samples):
    np.testing.assert_array_equal(synthetic_clip(CLIP, n_samples, 16000), slow_clip(n_samples, 16000))


def test_reaches_every_band_and_all_of_time():
    clip = synthetic_clip(CLIP, 80_000, 16000).astype(np.float64)
    bands = np.square(np.abs(np.fft.rfft(clip))).reshape(-1)[:40_000].reshape(32, -1).mean(axis=1)
    tenths = np.square(clip).reshape(50, -1).mean(axis=1)
    assert bands.min() > bands.max() / 10
    assert tenths.min() > 1e-3


def test_survives_a_16_bit_file_unchanged():
    clip = synthetic_clip(CLIP, 8000, 8000)
    file = io.BytesIO()
    soundfile.write(file, clip, 8000, format="WAV", subtype="PCM_16")
    file.seek(0)
    np.testing.assert_array_equal(soundfile.read(file, dtype="float32")[0], clip)


def test_unknown_formula_is_refused():
    with pytest.raises(ModelError, match="bursts-chirp-clicks"):
        synthetic_clip("whistle", 8000, 8000)

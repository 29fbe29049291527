"""How two front ends are compared: the signals, the measure of the error, and what is tolerated of whom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.audio import load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.frontend import FrontendConfig

# Of the loudest band of the same frame, as a power. A float32 transform leaves rounding noise of about 1e-7 of the
# frame's largest magnitude in every bin, so that bands further down hold noise in any float32 implementation.
DEPTH_DB = 80.0

# Largest difference of a log-mel value, in the unit of the configuration's logarithm, before any normalisation.
TOLERANCE = {
    "float64 oracle": 1e-3,
    "float64 transcription": 1e-3,
    "kaldi-native-fbank": 2e-3,  # computes in float32 itself: two roundings meet
    # Fed float64. Sums of magnitudes collect the noise of all quiet bins of a band, where those of powers do not.
    "librosa": 4e-3,
    "torch.stft": 2e-3,  # fed float64
    "torchlibrosa": 1e-3,  # float32, its transform as a convolution
    "transformers": 2e-3,  # fed float64; rounds its spectra to float32
    # Of spectrograms, relative to the frame's largest value.
    "scipy.signal.ShortTimeFFT": 2e-6,
    "torch.stft spectrogram": 2e-6,
}


def synthetic(sample_rate: int, n_samples: int | None = None) -> NDArray[np.float32]:
    """Return a sweep over the whole band, two tones, noise, a click and half a second of silence; 2 s by default."""
    n = 2 * sample_rate if n_samples is None else n_samples
    t = np.arange(n) / sample_rate
    sweep = 0.2 * np.sin(2 * np.pi * t * t * sample_rate / 8)
    tones = 0.2 * np.sin(2 * np.pi * 440 * t) + 0.05 * np.sin(2 * np.pi * 3100 * t)
    x = sweep + tones + 0.01 * np.random.default_rng(7).standard_normal(n)
    x[n // 3 :][:1] += 0.4
    x[(t > 1.4) & (t < 1.9)] = 0.0
    return x.astype(np.float32)


def recordings(shared_data: Path, sample_rate: int) -> list[NDArray[np.float32]]:
    """Return two real recordings at the given rate: the first of the set, and the first of another class."""
    clips = sorted((shared_data / "esc10_dev").rglob("*.ogg"))
    first_of_class = {path.stem.rpartition("-")[2]: path for path in reversed(clips)}
    return [load(path, sample_rate)[0] for path in sorted(first_of_class.values())[:2]]


def log_mel_error(config: FrontendConfig, got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference before normalisation by mean and std, in the unit of the configuration's logarithm.

    Both sides are raised to ``DEPTH_DB`` below the loudest band of their frame first.
    """
    assert got.shape == expected.shape
    if got.size == 0:
        return 0.0
    depth = DEPTH_DB / 10 * math.log(10)  # nepers of power
    if config.spectrum == "magnitude":
        depth /= 2
    depth *= {"ln": 1.0, "log10": 1 / math.log(10), "dB": 10 / math.log(10)}[config.log]
    if config.log == "dB" and config.spectrum == "magnitude":
        depth *= 2
    std = np.asarray(1.0 if config.std is None else config.std)
    floor = expected.max(axis=1, keepdims=True) - depth / std
    if config.zscore:
        floor = expected.min()
    return float((np.abs(np.maximum(got, floor) - np.maximum(expected, floor)) * std).max())


def spectrogram_error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference relative to the largest value of the same frame."""
    assert got.shape == expected.shape
    largest = np.maximum(np.abs(expected).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return float((np.abs(got - expected) / largest).max(initial=0.0))

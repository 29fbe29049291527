"""Recordings in disguise: another pitch and tempo, through a poor channel, in noise; heavy enough to be hard to find.

They stand in for queries of another domain than the references. They are no imitations: all detail of the sound is
there, only bent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEMITONES = 7.0  # either way
STRETCH = 1.6  # at most, and its inverse
SNR_DB = (0.0, 12.0)
N_BANDS = 6
BAND_DB = 15.0  # deviation of the channel's bands
WINDOW_S = 0.06


def disguise(samples: NDArray[np.float32], sample_rate: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a recording in disguise.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float32
    sample_rate : int
        In Hz.
    generator : Generator
        Draws pitch, tempo, channel and noise.

    Returns
    -------
    ndarray, shape (n,), float32
        New, at a peak of one unless silent; up to 1.6 times longer or shorter.
    """
    pitch = 2 ** (generator.uniform(-SEMITONES, SEMITONES) / 12)
    tempo = STRETCH ** generator.uniform(-1, 1)
    # Read faster it is higher and shorter; stretched back it is only higher.
    wave = soxr.resample(samples.astype(np.float64), sample_rate * pitch, sample_rate)
    wave = stretched(wave, round(len(samples) * tempo), sample_rate)
    wave = through_channel(wave, sample_rate, generator)
    level, snr_db = np.sqrt(np.mean(np.square(wave))), generator.uniform(*SNR_DB)
    wave = wave + generator.normal(0, max(level, 1e-12) * 10 ** (-snr_db / 20), len(wave))
    return (wave / max(np.abs(wave).max(), 1e-9)).astype(np.float32)


def stretched(wave: NDArray[np.float64], length: int, sample_rate: int) -> NDArray[np.float64]:
    """Return a wave of another length at the same pitch, by overlapping windows of 60 ms that are read elsewhere."""
    size = max(4, round(WINDOW_S * sample_rate)) // 2 * 2
    hop, window = size // 2, np.hanning(size + 1)[:-1]
    n = -(-length // hop) + 1  # the first one begins half a window before the wave
    padded = np.pad(wave, (hop, size))
    starts = np.minimum((np.arange(n) * hop * len(wave) / length).astype(int), len(wave))
    made = np.zeros((n + 1) * hop)
    for i, start in enumerate(starts):
        made[i * hop : i * hop + size] += window * padded[start : start + size]
    return made[hop : hop + length] if len(made) >= hop + length else np.pad(made[hop:], (0, length + hop - len(made)))


def through_channel(wave: NDArray[np.float64], sample_rate: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a wave without what lies under 100 to 400 Hz and over 2 to 5 kHz, its bands between louder or softer."""
    frequencies = np.fft.rfftfreq(len(wave), 1 / sample_rate)
    low, high = generator.uniform(100, 400), generator.uniform(2000, 5000)
    points = np.geomspace(low, high, N_BANDS)
    gain_db = np.interp(np.log(np.maximum(frequencies, 1)), np.log(points), generator.normal(0, BAND_DB, N_BANDS))
    gain = np.where((frequencies >= low) & (frequencies <= high), 10 ** (gain_db / 20), 0.0)
    return np.fft.irfft(np.fft.rfft(wave) * gain, len(wave))

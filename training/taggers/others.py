"""Sounds of no label, made by formula or put together from spoken words: what a tagger must not be sure of.

Rain is noise too, and so are waves and a far helicopter: stationary noise of any colour teaches the network that such
sounds need more than a spectrum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from engine import LogMel
from engine.audio import load
from training.features import MelPower, before_window_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from engine import FrontendConfig

    Signal = NDArray[np.float64]

PEAK = 0.5


def other_sounds(
    frontend: FrontendConfig,
    seconds: float,
    seed: int,
    *,
    n_noises: int,
    n_tones: int,
    n_tunes: int,
    words: Sequence[Path] = (),
    n_speeches: int = 0,
) -> MelPower:
    """Return mel power of noises, tones, tunes and, where there are words, of speech made of them.

    Parameters
    ----------
    frontend : FrontendConfig
    seconds : float
        Length of each.
    seed : int
    n_noises, n_tones, n_tunes, n_speeches : int
    words : sequence of Path
        Recordings of a word each.
    """
    rate = frontend.sample_rate
    n = round(seconds * rate)
    generator = np.random.default_rng(seed)
    log_mel = LogMel(before_window_steps(frontend))

    def sounds() -> Iterator[Signal]:
        yield from (noise(n, rate, generator) for _ in range(n_noises))
        yield from (tone(n, rate, generator) for _ in range(n_tones))
        yield from (tune(n, rate, generator) for _ in range(n_tunes))
        if words:
            yield from (speech(n, rate, words, generator) for _ in range(n_speeches))

    power = [10 ** (log_mel(sound.astype(np.float32)) / 10) for sound in sounds()]
    frames = torch.from_numpy(np.stack(power).astype(np.float32))
    return MelPower(frames, torch.full((len(frames),), frames.shape[1]))


def noise(n: int, rate: int, generator: Generator) -> Signal:
    """Return stationary Gaussian noise whose power falls (or rises) with the frequency by a random exponent."""
    exponent = generator.uniform(-1.0, 2.5)  # 0 white, 1 pink, 2 brown
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / rate), 20.0)
    spectrum = np.fft.rfft(generator.standard_normal(n)) * frequency ** (-exponent / 2)
    return _levelled(np.fft.irfft(spectrum, n))


def tone(n: int, rate: int, generator: Generator) -> Signal:
    """Return a steady tone of several harmonics: mains hum, a whistle, a machine."""
    frequency = np.exp(generator.uniform(np.log(40.0), np.log(3000.0)))
    slope = generator.uniform(0.3, 2.0)
    return _levelled(_harmonics(n, rate, frequency, int(generator.integers(1, 12)), slope, generator))


def tune(n: int, rate: int, generator: Generator) -> Signal:
    """Return notes and chords of one instrument in a major scale, sometimes with a drum."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, -5, -12])
    root, beat_s = generator.uniform(110.0, 330.0), generator.uniform(0.12, 0.8)
    slope, decay_s = generator.uniform(0.5, 2.0), generator.uniform(0.1, 1.5)
    made, start_s = np.zeros(n), 0.0
    while (start := round(start_s * rate)) < n:
        time = np.arange(n - start) / rate
        envelope = np.minimum(time / 0.01, 1.0) * np.exp(-time / decay_s)
        for _ in range(int(generator.integers(1, 4))):
            frequency = root * 2 ** (generator.choice(scale) / 12)
            made[start:] += envelope * _harmonics(n - start, rate, frequency, 7, slope, generator)
        start_s += beat_s * generator.choice([0.5, 1.0, 1.0, 2.0])
    if generator.random() < 0.4:
        hit = round(0.15 * rate)
        for start in range(0, n - hit, round(beat_s * rate)):
            burst = generator.standard_normal(hit) * np.exp(-np.arange(hit) / (0.03 * rate))
            made[start : start + hit] += 0.7 * np.abs(made).max() * burst
    return _levelled(made)


def speech(n: int, rate: int, words: Sequence[Path], generator: Generator) -> Signal:
    """Return words one after the other, half a second to 1.6 s apart, over faint noise."""
    made = np.zeros(n + rate)
    start = int(generator.integers(0, rate))
    while start < n:
        word = load(words[int(generator.integers(len(words)))], rate)[0][: len(made) - start]
        made[start : start + len(word)] += _levelled(word)
        start += int(generator.uniform(0.5, 1.6) * rate)
    return made[:n] + generator.standard_normal(n) * 10 ** generator.uniform(-6.0, -3.0)


def _harmonics(n: int, rate: int, frequency: float, count: int, slope: float, generator: Generator) -> Signal:
    time = np.arange(n) / rate
    made = np.zeros(n)
    for k in range(1, count + 1):
        if k * frequency < rate / 2:
            made += k**-slope * np.sin(2 * np.pi * k * frequency * time + generator.uniform(0, 2 * np.pi))
    return made


def _levelled(sound: NDArray[np.floating]) -> Signal:
    loudest = np.abs(sound).max()
    return np.asarray(sound, np.float64) * (PEAK / loudest if loudest > 0 else 0.0)

"""Synthesise a small library of sounds to search in: python examples/make_library.py FOLDER.

Sixteen kinds of sounds in folders of their names, eight of each, two seconds at 44.1 kHz, mono, 16-bit WAV: 128 files,
always the same. Within a kind pitch, tempo and colour differ. The models follow A. Farnell, Designing Sound (MIT Press,
2010), and for strings K. Karplus and A. Strong, Digital Synthesis of Plucked-String and Drum Timbres (Computer Music
Journal, 1983).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
from scipy.signal import butter, lfilter, sosfilt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Signal = NDArray[np.float64]

SAMPLE_RATE = 44_100  # Hz
DURATION_S = 2.0
N = round(DURATION_S * SAMPLE_RATE)
N_OF_EACH = 8
PEAK = 0.7
T = np.arange(N) / SAMPLE_RATE


def tone(hz: Signal | float) -> Signal:
    """Return a sine whose frequency may change, shape (N,)."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hz, N)) / SAMPLE_RATE)


def band(x: Signal, low_hz: float, high_hz: float) -> Signal:
    """Return what of ``x`` lies between two frequencies."""
    sos = butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(sosfilt(sos, x))


def repeated(sound: Signal, every_s: float, first_s: float = 0.1) -> Signal:
    """Return a sound again and again."""
    made = np.zeros(N)
    for start_s in np.arange(first_s, DURATION_S, every_s):
        start = round(start_s * SAMPLE_RATE)
        part = sound[: N - start]
        made[start : start + len(part)] += part
    return made


def whistle_up(rng: Generator) -> Signal:
    """Whistle that rises by an octave."""
    return tone(rng.uniform(600, 1200) * 2 ** (T / DURATION_S)) + 0.02 * rng.standard_normal(N)


def whistle_down(rng: Generator) -> Signal:
    """Whistle that falls by an octave."""
    return tone(rng.uniform(1200, 2400) * 2 ** (-T / DURATION_S)) + 0.02 * rng.standard_normal(N)


def siren(rng: Generator) -> Signal:
    """Siren that goes up and down."""
    return np.tanh(2 * tone(rng.uniform(600, 900) * 2 ** (0.5 * np.sin(2 * np.pi * rng.uniform(0.8, 2.5) * T))))


def beeps(rng: Generator) -> Signal:
    """Alarm clock: short tones at a steady tempo."""
    length = round(0.08 * SAMPLE_RATE)
    beep = np.sign(tone(rng.uniform(1500, 3000)))[:length] * np.hanning(length)
    return repeated(beep, rng.uniform(0.15, 0.4))


def bell(rng: Generator) -> Signal:
    """Struck bell: partials that are not harmonic and fade, the high ones sooner."""
    base_hz = rng.uniform(250, 700)
    partials = ((0.5, 1.0), (1.0, 0.8), (1.19, 0.7), (1.56, 0.5), (2.0, 0.6), (2.74, 0.3), (4.07, 0.2))
    return np.sum([gain * np.exp(-T * (1 + ratio)) * tone(ratio * base_hz) for ratio, gain in partials], axis=0)


def plucked_string(rng: Generator) -> Signal:
    """Plucked string: noise in a loop that loses a little treble on each round (Karplus and Strong)."""
    period = round(SAMPLE_RATE / rng.uniform(110, 440))
    excitation = np.zeros(N)
    excitation[:period] = rng.uniform(-1, 1, period)
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1, -0.498, -0.498
    return np.asarray(lfilter([1.0], loop, excitation))


def drum(rng: Generator) -> Signal:
    """Drum: a tone that sinks while it fades, struck at a steady tempo."""
    beat = np.exp(-9 * T) * tone(rng.uniform(60, 120) * (1 + 1.5 * np.exp(-40 * T)))
    return repeated(beat + 0.2 * np.exp(-200 * T) * rng.standard_normal(N), rng.uniform(0.35, 0.7))


def shaker(rng: Generator) -> Signal:
    """Shaker: short bursts of bright noise."""
    burst = np.exp(-30 * T) * band(rng.standard_normal(N), rng.uniform(4000, 6000), 12_000)
    return repeated(burst, rng.uniform(0.12, 0.25))


def clicks(rng: Generator) -> Signal:
    """Geiger counter: clicks at random."""
    hits = (rng.uniform(0, 1, N) < rng.uniform(10, 40) / SAMPLE_RATE).astype(float)
    return band(hits, rng.uniform(1500, 3000), 8000) + 0.001 * rng.standard_normal(N)


def mains_hum(rng: Generator) -> Signal:
    """Hum of a transformer: the mains and its harmonics."""
    base_hz = rng.choice([50.0, 60.0])
    return np.sum([rng.uniform(0.2, 1) / k * tone(2 * k * base_hz) for k in range(1, 12)], axis=0)


def wind(rng: Generator) -> Signal:
    """Wind: low noise that swells."""
    swell = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.3, 1.0) * T + rng.uniform(0, 6))
    return swell * band(rng.standard_normal(N), 100, rng.uniform(400, 900))


def steam(rng: Generator) -> Signal:
    """Steam that escapes: bright noise, steady."""
    return band(rng.standard_normal(N), rng.uniform(2000, 4000), rng.uniform(9000, 14_000))


def engine_idle(rng: Generator) -> Signal:
    """Engine at idle: a pulse for each stroke, and the noise of the exhaust."""
    strokes = (0.5 + 0.5 * np.cos(2 * np.pi * rng.uniform(18, 35) * T)) ** 12
    return strokes * (band(rng.standard_normal(N), 60, 800) + 0.8) - 0.8 * np.mean(strokes)


def bird(rng: Generator) -> Signal:
    """Bird: fast chirps that fall."""
    length = round(rng.uniform(0.06, 0.12) * SAMPLE_RATE)
    t = T[:length]
    chirp = np.sin(2 * np.pi * (rng.uniform(4000, 6000) * t - 12_000 * t**2)) * np.hanning(length)
    return repeated(chirp, rng.uniform(0.12, 0.3))


def drops(rng: Generator) -> Signal:
    """Water that drops: the bubble that each encloses rings higher as it nears the surface."""
    drop = np.exp(-25 * T) * tone(rng.uniform(500, 1000) * (1 + 3 * T))
    return repeated(drop, rng.uniform(0.3, 0.6))


def laser(rng: Generator) -> Signal:
    """Toy laser: a tone that falls at once."""
    shot = np.exp(-8 * T) * np.sign(tone(150 + rng.uniform(2000, 4000) * np.exp(-12 * T)))
    return repeated(shot, rng.uniform(0.4, 0.7))


KINDS: tuple[Callable[[Generator], Signal], ...] = (
    *(whistle_up, whistle_down, siren, beeps, bell, plucked_string, drum, shaker, clicks, mains_hum, wind, steam),
    *(engine_idle, bird, drops, laser),
)


def main() -> None:
    """Write every sound below the folder of the command line."""
    folder = Path(sys.argv[1])
    for seed, kind in enumerate(KINDS):
        place = folder / kind.__name__
        place.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        for number in range(1, N_OF_EACH + 1):
            sound = kind(rng)
            # A few milliseconds in and out, so that nothing clicks.
            sound = sound * np.minimum(1, np.minimum(T, DURATION_S - T) / 0.005)
            samples = np.round(sound * (PEAK * 32_767 / np.abs(sound).max())).astype(np.int16)
            sf.write(place / f"{kind.__name__}_{number}.wav", samples, SAMPLE_RATE)


if __name__ == "__main__":
    main()

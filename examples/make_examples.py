"""Synthesise the example clips from simple physics: python examples/make_examples.py [FOLDER].

Each clip is five seconds at 44.1 kHz, mono, 16-bit FLAC, and always the same: every one of them is made with seed 1. No
recording goes into them, and they go into no training set. The models follow A. Farnell, Designing Sound (MIT Press,
2010): find what moves, and let impacts, turbulence and resonances make the sound.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
from scipy.signal import fftconvolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

    Signal = NDArray[np.float64]

SEED = 1
SAMPLE_RATE = 44_100  # Hz
DURATION_S = 5.0
N = round(DURATION_S * SAMPLE_RATE)


def clock_tick(rng: Generator) -> Signal:
    """Two beats a second of a pendulum clock: the pallets of the anchor strike in turn, and the case answers.

    A beat is heard as the unlocking of one pallet and, 14 ms later and louder, the drop of the escape wheel on the
    other. Both excite the same modes, panels of wood below about 1.5 kHz and brass above, each in its own proportion.
    """
    n_modes = 40
    modes_hz = np.geomspace(250, 9_000, n_modes) * rng.uniform(0.95, 1.05, n_modes)
    decays_s = 0.018 * (modes_hz / 400) ** -0.5 * rng.lognormal(0, 0.3, n_modes)
    beat_s, unlock_s = 0.5, 0.014
    strikes = []
    for _pallet in range(2):
        strike = resonance(modes_hz, decays_s, gains=10 ** (rng.normal(0, 5, n_modes) / 20))
        add(strike, 3 * noise_burst(rng, decay_s=0.0012))
        strikes.append(strike)
    dry = np.zeros(N)
    for beat, start_s in enumerate(np.arange(0.21, DURATION_S, beat_s)):
        force = 1 + 0.05 * rng.standard_normal()
        add(dry, 0.18 * force * strikes[(beat + 1) % 2], start_s - unlock_s)
        add(dry, force * strikes[beat % 2], start_s)
    wet = fftconvolve(dry, living_room(rng))[:N]
    room_tone = shaped_noise(rng, {20: 0, 100: -12, 1_000: -32, 8_000: -48, 16_000: -60})
    return mix((dry / np.abs(dry).max(), 0), (wet / np.abs(wet).max(), -24), (room_tone, -62))


def rain(rng: Generator) -> Signal:
    """Steady rain on wet ground: drops fall everywhere alike, so many are far and few are near.

    A drop is a click as it hits, longer the larger it is, and a faint ring of the bubble that it encloses, whose
    frequency is 3.26 m/s over its radius (Minnaert, 1933). Pressure falls with distance; beyond ten metres the drops
    merge into a steady wash.
    """
    drops_per_s, listener_height_m, radius_m, n_sizes = 2_500, 1.2, 10.0, 32
    dry = np.zeros(N)
    for size in rng.uniform(0, 1, n_sizes):
        impact = noise_burst(rng, decay_s=0.0004 + 0.0012 * size)
        bubble_hz = 3.26 / rng.uniform(0.5e-3, 2.2e-3)
        bubble = resonance(np.array([bubble_hz]), np.array([12 / bubble_hz]), gains=np.array([0.6 * rng.uniform()]))
        n_drops = rng.poisson(drops_per_s * DURATION_S / n_sizes)
        distance_m = np.hypot(listener_height_m, radius_m * np.sqrt(rng.uniform(0, 1, n_drops)))
        momentum = (0.3 + size) * rng.lognormal(0, 0.4, n_drops)
        hits = np.zeros(N)
        np.add.at(hits, rng.integers(0, N, n_drops), momentum / distance_m)
        dry += fftconvolve(hits, impact)[:N] + fftconvolve(hits, bubble)[:N]
    drops = filtered(dry, {60: -30, 300: -12, 1_000: -3, 3_000: 0, 6_000: -2, 12_000: -10, 18_000: -24})
    wash = shaped_noise(rng, {40: 2, 150: 0, 500: -3, 1_500: 0, 5_000: -3, 10_000: -10, 16_000: -22})
    return mix((drops / rms(drops), 0), (wash, -3))


def helicopter(rng: Generator) -> Signal:
    """Light helicopter hovering 150 m away: two blades at 394 turns a minute beat the air 13 times a second.

    Each passing blade gives a short pressure pulse and sweeps its wake past the listener, so that the noise of the
    turbulence swells and fades with it; the air on the way swallows the treble. The tail rotor hums at 85 Hz and the
    gears of the turbine whine above.
    """
    blade_hz = 2 * 394 / 60
    tail_hz = 2 * 2_550 / 60
    gust = np.exp(0.15 * slow_wander(rng, 0.7))
    phase = np.cumsum(blade_hz * (1 + 0.001 * slow_wander(rng, 0.5))) / SAMPLE_RATE
    # A raised cosine to a power is a train of smooth pulses, one per turn of the phase. The 12th power is 12 ms wide,
    # the 120th 4 ms, as when a blade meets the vortex that the one before it has left.
    turn = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    passing = turn**12
    slap = filtered(np.gradient(turn**120), {10: -8, 30: 0, 150: 0, 600: -14, 2_000: -40})
    wake = shaped_noise(rng, {15: -10, 60: 0, 250: -4, 800: -13, 2_500: -26, 6_000: -44, 12_000: -70})
    tail = np.sum([np.sin(2 * np.pi * k * tail_hz / blade_hz * phase) / k for k in range(1, 17)], axis=0)
    whine = np.sum([np.sin(2 * np.pi * f / blade_hz * phase) for f in (1_180, 2_360, 3_910)], axis=0)
    beating = 0.5 + 0.5 * passing
    return gust * mix((slap / rms(slap), 0), (wake * beating / rms(beating), -3), (tail / rms(tail), -3), (whine, -22))


def sea_waves(rng: Generator) -> Signal:
    """Surf on a sandy beach: a wave rises, breaks and runs out over the sand, another follows.

    The breaker is a burst of turbulence that brightens as it grows; its low rumble leads, and the hiss of millions of
    bursting bubbles lags behind and dies away slowly.
    """
    t = np.arange(N) / SAMPLE_RATE
    rumble, body, hiss = np.full((3, N), 0.12)
    for break_s, height in ((0.1, 0.55), (2.6, 1.0)):
        rumble += height * swell(t - break_s, rise_s=0.55, fall_s=0.7)
        body += height * swell(t - break_s - 0.15, rise_s=0.45, fall_s=0.9)
        hiss += height**1.5 * swell(t - break_s - 0.45, rise_s=0.4, fall_s=1.5)
    splash = np.exp(0.25 * slow_wander(rng, 8.0))
    return splash * mix(
        (rumble * shaped_noise(rng, {30: -12, 80: 0, 300: -2, 800: -14, 2_500: -34}), 0),
        (body * shaped_noise(rng, {100: -16, 400: -2, 900: 0, 2_500: -7, 6_000: -20, 12_000: -36}), 0),
        (hiss * shaped_noise(rng, {800: -22, 2_500: -5, 5_000: 0, 9_000: -4, 15_000: -16}), -13),
    )


def crackling_fire(rng: Generator) -> Signal:
    """Wood fire: steam bursts the fibres, one crack often sets off the next, and the flames roar softly below.

    Cracks come in clusters, their sizes spread over four orders of magnitude in energy; each is a click of about a
    millisecond, and some ring in the log.
    """
    cracks = np.zeros(N)
    for cluster_s in rng.uniform(0, DURATION_S, rng.poisson(9 * DURATION_S)):
        followers_s = cluster_s + np.cumsum(rng.exponential(0.03, rng.geometric(0.35)))
        for start_s in followers_s:
            size = np.exp(1.1 * rng.standard_normal())
            click = noise_burst(rng, decay_s=0.0007 * rng.uniform(0.5, 2) * size**0.3)
            log_hz = rng.uniform(700, 3_500)
            ring = resonance(np.array([log_hz]), np.array([5 / log_hz]), gains=np.array([rng.uniform(0, 1.5)]))
            add(cracks, size * click, start_s)
            add(cracks, size * ring, start_s)
    cracks = filtered(cracks, {80: -24, 500: -6, 1_500: 0, 9_000: 0, 16_000: -12})
    flames = np.exp(0.5 * slow_wander(rng, 5.0)) * shaped_noise(rng, {20: -6, 50: 0, 150: -8, 500: -26, 2_000: -44})
    steam = shaped_noise(rng, {200: -16, 1_000: -4, 4_000: 0, 9_000: -4, 16_000: -18})
    return mix((cracks / rms(cracks), 0), (flames / rms(flames), -8), (steam, -20))


CLIPS: Mapping[str, tuple[Callable[[Generator], Signal], float]] = {
    "clock_tick": (clock_tick, 0.35),
    "rain": (rain, 0.6),
    "helicopter": (helicopter, 0.8),
    "sea_waves": (sea_waves, 0.7),
    "crackling_fire": (crackling_fire, 0.8),
}
"""Name of the clip, which is its label with underscores -> its model and the peak it is written with."""


def resonance(modes_hz: Signal, decays_s: Signal, gains: Signal) -> Signal:
    """Return the impulse response of damped modes: the sum of ``gain * exp(-t / decay) * sin(2 pi f t)``."""
    t = np.arange(round(7 * decays_s.max() * SAMPLE_RATE)) / SAMPLE_RATE
    response: Signal = gains @ (np.exp(-t / decays_s[:, None]) * np.sin(2 * np.pi * modes_hz[:, None] * t))
    return response


def noise_burst(rng: Generator, decay_s: float) -> Signal:
    """Return white noise that decays exponentially: an impact with no pitch."""
    t = np.arange(round(7 * decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    return np.exp(-t / decay_s) * rng.standard_normal(t.size)


def living_room(rng: Generator) -> Signal:
    """Return the impulse response of a furnished room: diffuse, 60 dB down after 0.35 s, treble absorbed."""
    t = np.arange(round(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(t.size) * 10 ** (-3 * t / 0.35)
    return filtered(tail, {100: -6, 400: 0, 3_000: -3, 10_000: -14})


def swell(t: Signal, rise_s: float, fall_s: float) -> Signal:
    """Return an envelope that peaks at 1 about ``rise_s`` after t = 0, and then falls slowly."""
    x = np.maximum(t, 0)
    shape = (1 - np.exp(-((x / rise_s) ** 2))) * np.exp(-np.maximum(x - rise_s, 0) / fall_s)
    return shape / float(shape.max())


def slow_wander(rng: Generator, cutoff_hz: float) -> Signal:
    """Return a random drift of unit variance with nothing above ``cutoff_hz``."""
    spectrum = np.fft.rfft(rng.standard_normal(N))
    spectrum[np.fft.rfftfreq(N, 1 / SAMPLE_RATE) > cutoff_hz] = 0
    spectrum[0] = 0
    drift = np.fft.irfft(spectrum, N)
    return drift / float(drift.std())


def shaped_noise(rng: Generator, curve_db: Mapping[float, float]) -> Signal:
    """Return Gaussian noise of unit level whose spectrum follows ``curve_db`` (Hz -> dB)."""
    noise = filtered(rng.standard_normal(N), curve_db)
    return noise / rms(noise)


def filtered(x: Signal, curve_db: Mapping[float, float]) -> Signal:
    """Return ``x`` with the zero-phase gain ``curve_db`` (Hz -> dB), linear in between on a logarithmic axis.

    Beyond its ends the curve falls by 24 dB per octave.
    """
    hz, db = np.array(sorted(curve_db.items()), dtype=float).T
    octave = np.log2(np.maximum(np.fft.rfftfreq(x.size, 1 / SAMPLE_RATE), 1.0))
    ends = np.log2(hz)
    outside = np.maximum(ends[0] - octave, 0) + np.maximum(octave - ends[-1], 0)
    gain_db = np.interp(octave, ends, db) - 24 * outside
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (gain_db / 20), x.size)


def add(x: Signal, sound: Signal, start_s: float = 0.0) -> None:
    """Add ``sound`` to ``x`` in place from ``start_s`` on; what would not fit is cut off."""
    start = round(start_s * SAMPLE_RATE)
    part = sound[: max(x.size - start, 0)]
    x[start : start + part.size] += part


def rms(x: Signal) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(x))))


def mix(*parts: tuple[Signal, float]) -> Signal:
    """Return the sum of the signals, each with its gain in dB."""
    total: Signal = np.sum([x * 10 ** (gain_db / 20) for x, gain_db in parts], axis=0)
    return total


def synthesise(name: str) -> NDArray[np.int16]:
    """Return one clip as 16-bit samples, shape (n_samples,)."""
    model, peak = CLIPS[name]
    x = model(np.random.default_rng(SEED))
    samples: NDArray[np.int16] = np.round(x * (peak * 32_767 / np.abs(x).max())).astype(np.int16)
    return samples


def main() -> None:
    """Write every clip into the folder of the command line, or beside this file."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name in CLIPS:
        sf.write(folder / f"{name}.flac", synthesise(name), SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()

"""The synthetic clip that a model's golden check runs on: a formula instead of stored samples.

Integer arithmetic throughout, so that every machine makes the same bits, and every sample is a multiple of 2**-15, so
that the clip survives a 16-bit file unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Knuth's 64-bit linear congruential generator (MMIX): x' = a x + c mod 2**64.
LCG_A, LCG_C, LCG_SEED = 6364136223846793005, 1442695040888963407, 1
BURSTS = 8


def synthetic_clip(name: str, n_samples: int, sample_rate: int) -> NDArray[np.float32]:
    """Return the clip that a golden check was recorded with.

    Parameters
    ----------
    name : str
        One of ``CLIPS``.
    n_samples : int
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray, shape (n_samples,), float32
        In [-1, 1), multiples of 2**-15.

    Raises
    ------
    ModelError
        This engine knows no such formula.

    Examples
    --------
    >>> synthetic_clip("bursts-chirp-clicks", 16000, 16000)[:3] * 2**15
    array([13867.,   306.,  4855.], dtype=float32)
    """
    if name not in CLIPS:
        raise ModelError(
            f"expected a golden clip among {sorted(CLIPS)}, got {name!r}; "
            "use a newer sound-engine, or export the model again"
        )
    return (CLIPS[name](n_samples, sample_rate) / 2**15).astype(np.float32)


def _bursts_chirp_clicks(n_samples: int, sample_rate: int) -> NDArray[np.int64]:
    """Noise bursts of falling level (every band), a chirp from 0 Hz to Nyquist (all of time), four clicks a second."""
    position = np.arange(n_samples, dtype=np.int64)
    # Eight segments, every other one noise; each burst half as loud as the one before.
    segment = position * BURSTS // n_samples
    noise = np.where(segment % 2 == 0, _noise(n_samples) >> (1 + segment // 2), 0)
    clicks = np.where(position % max(sample_rate // 4, 1) == 0, 1 << 14, 0)
    mixed: NDArray[np.int64] = noise + (_chirp(n_samples) >> 2) + clicks
    return mixed.clip(-(1 << 15), (1 << 15) - 1)


def _noise(n_samples: int) -> NDArray[np.int64]:
    """Return white noise in [-2**15, 2**15): the upper 16 bits of the generator."""
    # x_k = a^k x_0 + c (1 + a + ... + a^(k-1)), with unsigned products and sums that wrap at 2**64.
    powers = np.multiply.accumulate(np.full(n_samples, LCG_A, np.uint64))
    sums = np.add.accumulate(powers) - powers + np.uint64(1)
    state = powers * np.uint64(LCG_SEED) + sums * np.uint64(LCG_C)
    return (state >> np.uint64(48)).astype(np.int64) - (1 << 15)


def _chirp(n_samples: int) -> NDArray[np.int64]:
    """Return a linear sweep from 0 Hz to half the sample rate in [-2**15, 2**15], each half-wave a parabola."""
    # One turn is 2**32; sample k advances by k / (2 n) turns.
    phase = np.add.accumulate((np.arange(n_samples, dtype=np.int64) << 31) // max(n_samples, 1)) & 0xFFFFFFFF
    turn = (phase >> 16) - (1 << 15)
    # With t = turn / 2**15 in [-1, 1): 4 t (1 - |t|), as whole numbers.
    wave: NDArray[np.int64] = turn * ((1 << 15) - np.abs(turn)) >> 13
    return wave


CLIPS: dict[str, Callable[[int, int], NDArray[np.int64]]] = {"bursts-chirp-clicks": _bursts_chirp_clicks}

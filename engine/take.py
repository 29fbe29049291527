"""A query as a voice gives it, made ready: silence cut off at both ends, and the level taken out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME_S = 0.01
# Breath and the room of a laptop's microphone lie about 50 dB under a voice, a fading hum is still heard at 40.
TRIM_DB = 40.0


def prepared_take(
    samples: NDArray[np.float32], sample_rate: int, trim_db: float | None = TRIM_DB, label: str = "the query"
) -> NDArray[np.float32]:
    """Return a take without the silence around it, at a peak of one.

    Frames of 10 ms are silent where they lie more than ``trim_db`` under the loudest one. Silence inside the take
    stays: it is rhythm.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float32
        One or more, all finite.
    sample_rate : int
        In Hz.
    trim_db : float or None
        None trims nothing.
    label : str
        What messages call the take.

    Returns
    -------
    ndarray, shape (n,), float32
        New. The same, up to rounding, for the take at any level.

    Raises
    ------
    AudioError
        Nothing but silence.
    ConfigError
        ``trim_db`` is not a positive number.

    Examples
    --------
    >>> take = np.concatenate([np.zeros(800), 0.25 * np.sin(np.arange(400)), np.zeros(800)]).astype(np.float32)
    >>> heard = prepared_take(take, 8000)
    >>> heard.size, round(float(np.abs(heard).max()), 6)
    (400, 1.0)
    """
    check_trim(trim_db)
    # A constant offset is no sound, and hides none.
    wave = samples - samples.mean(dtype=np.float64)
    peak = float(np.abs(wave).max())
    if samples.min() == samples.max() or peak == 0:
        raise AudioError(f"expected sound to rank by, {label} is silent throughout; record it again")
    length = max(1, round(FRAME_S * sample_rate))
    starts = np.arange(0, wave.size, length)
    energy = np.add.reduceat(np.square(wave / peak), starts) / np.diff(starts, append=wave.size)
    heard = np.flatnonzero(energy >= (0 if trim_db is None else energy.max() * 10 ** (-trim_db / 10)))
    first, last = starts[heard[0]], starts[heard[-1]] + length
    kept = samples[first:last].astype(np.float64)
    levelled: NDArray[np.float32] = (kept / np.abs(kept).max()).astype(np.float32)
    return levelled


def check_trim(trim_db: Any) -> None:
    """Raise a ConfigError unless ``trim_db`` is a positive number of decibels or None."""
    right = isinstance(trim_db, int | float) and not isinstance(trim_db, bool) and 0 < trim_db < math.inf
    if trim_db is not None and not right:
        raise ConfigError(f"expected trim_db to be a positive number of decibels or None, got {trim_db!r}; correct it")

"""Recordings laid over each other, for data sets that are made from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fitted(samples: NDArray[np.float32], n_samples: int) -> NDArray[np.float32]:
    """Return the first ``n_samples``, zeros behind the end."""
    made = np.zeros(n_samples, np.float32)
    made[: min(n_samples, len(samples))] = samples[:n_samples]
    return made


def heard(samples: NDArray[np.float32], below_db: float = 40.0) -> NDArray[np.float32]:
    """Return the samples without what lies before and after, more than ``below_db`` under the peak."""
    loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 10 ** (-below_db / 20))
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples


def over(event: NDArray[np.float32], under: NDArray[np.float32], above_db: float, place: float) -> NDArray[np.float32]:
    """Lay an event over a recording: ``above_db`` louder in mean power than what it covers; the peak at most one.

    A silent event or a silent place leaves the event's own level.

    Parameters
    ----------
    event, under : ndarray, shape (n_samples,), float32
        The event is not longer.
    above_db : float
    place : float
        Where the event begins, as a share of the room there is, from 0 to 1.
    """
    start = round(place * (len(under) - len(event)))
    covered = under[start : start + len(event)]
    power, beneath = float(np.mean(event**2)), float(np.mean(covered**2))
    gain = np.sqrt(beneath / power * 10 ** (above_db / 10)) if power > 0 and beneath > 0 else 1.0
    mixed = under.copy()
    mixed[start : start + len(event)] += np.float32(gain) * event
    return mixed / max(1.0, float(np.abs(mixed).max()))

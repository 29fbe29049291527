"""A recording as a picture: waveform, what the front end makes of it, and events over one time axis."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.events import Event

INSTALL = "pip install 'sound-engine[plot]'"
# Columns of a waveform: more than a screen is wide.
_COLUMNS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """What a picture of a recording needs, however long the recording is.

    Attributes
    ----------
    sound : (ndarray, float)
        The least and the greatest sample of each column, in turn, and how many of them there are in a second.
    log_mel : ndarray, shape (n_columns, n_mels), or None
        The largest value of each column.
    """

    sound: tuple[NDArray[np.float32], float]
    log_mel: NDArray[np.float32] | None


def sketch(sound: tuple[NDArray[np.float32], int], log_mel: NDArray[np.float32] | None) -> Sketch:
    """Return a recording and its spectrogram in as many columns as a picture has; ``draw`` makes the same of both."""
    samples, rate = sound
    if len(samples) <= 2 * _COLUMNS:
        kept: tuple[NDArray[np.float32], float] = samples.copy(), float(rate)
    else:
        _, low, high = envelope(samples, rate)
        extremes = np.column_stack([low, high]).ravel()
        kept = extremes, rate * len(extremes) / len(samples)
    if log_mel is not None and len(log_mel) > _COLUMNS:
        starts = np.linspace(0, len(log_mel), _COLUMNS, endpoint=False).astype(np.int64)
        log_mel = np.maximum.reduceat(log_mel, starts, axis=0)
    return Sketch(kept, log_mel)


def require_matplotlib() -> None:
    """Raise a ConfigError with what to install where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise ConfigError(f"expected matplotlib, which draws plots, found none; install it with {INSTALL}")


def draw(
    duration_s: float,
    events: Sequence[Event],
    *,
    title: str = "",
    sound: tuple[NDArray[np.float32], float] | None = None,
    log_mel: NDArray[np.float32] | None = None,
    width_in: float = 9.0,
    ink: str | None = None,
) -> Any:
    """Return a matplotlib figure of a recording.

    Parameters
    ----------
    duration_s : float
    events : sequence of Event
        One bar for each, darker where the score is higher.
    title : str
    sound : (ndarray, float) or None
        Samples (n_samples,) and their rate: the waveform, drawn by the least and the greatest sample of each column.
    log_mel : ndarray, shape (n_frames, n_mels), or None
        Of the whole recording, as the network sees it.
    width_in : float
        Of the figure in inches.
    ink : str or None
        A colour for text and lines on a transparent ground, for pages that may be light or dark; None is black on
        white.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(event.label for event in events))
    heights = [1.0] * (sound is not None) + [1.6] * (log_mel is not None) + [0.5 + 0.25 * max(1, len(labels))]
    figure = Figure(figsize=(width_in, 1.2 * sum(heights) + 0.6), layout="constrained")
    axes = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    if sound is not None:
        axis = axes.pop(0)
        times_s, low, high = envelope(*sound)
        axis.fill_between(times_s, low, high, linewidth=0.3)
        axis.set(ylabel="sample", ylim=(-1, 1) if max(-low.min(), high.max()) <= 1 else None)
    if log_mel is not None:
        axis = axes.pop(0)
        extent = (0.0, duration_s, 0.0, float(log_mel.shape[1]))
        axis.imshow(log_mel.T, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
        axis.set(ylabel="mel band")
    (axis,) = axes
    for event in events:
        width = max(event.end_s - event.start_s, duration_s / _COLUMNS)
        shade = float(np.clip(event.score, 0.15, 1.0))
        axis.broken_barh([(event.start_s, width)], (labels.index(event.label) - 0.4, 0.8), alpha=shade)
    axis.set(xlabel="seconds", xlim=(0, duration_s or 1), ylim=(max(1, len(labels)) - 0.5, -0.5))
    # A dollar sign in a name begins no formula.
    axis.set_yticks(range(len(labels)), labels, parse_math=False)
    if not events:
        note = "no label reached its threshold"
        axis.text(0.5, 0.5, note, transform=axis.transAxes, ha="center", va="center", color=ink)
    if title:
        figure.suptitle(title, parse_math=False)
    if ink is not None:
        write_in(figure, ink)
    return figure


def write_in(figure: Any, ink: str) -> None:
    """Give a figure text and lines of one colour, and no ground."""
    figure.patch.set_alpha(0)
    for axis in figure.axes:
        axis.patch.set_alpha(0)
        axis.tick_params(colors=ink, labelcolor=ink)
        axis.xaxis.label.set_color(ink)
        axis.yaxis.label.set_color(ink)
        for spine in axis.spines.values():
            spine.set_color(ink)


def envelope(
    samples: NDArray[np.float32], sample_rate: float, n_columns: int = _COLUMNS
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Return times in seconds, and the least and the greatest sample of each column, shape (n_columns,) or fewer."""
    if not len(samples):
        return np.zeros(1), np.zeros(1, np.float32), np.zeros(1, np.float32)
    starts = np.unique(np.linspace(0, len(samples), min(n_columns, len(samples)), endpoint=False).astype(np.int64))
    return starts / sample_rate, np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)

"""How long a model takes on one thread, and how large its file is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Tagger
from engine.audio import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.audio import Source


def speed(model: Path, *, seconds: float = 5.0, calls: int = 200, clip: Path | None = None) -> dict[str, Any]:
    """Return milliseconds of one call on one thread of the CPU, least and median, and the bytes of the file.

    All parts are timed in turn, so that a slow spell of the machine meets them all.

    Parameters
    ----------
    model : Path
    seconds : float
        Length of the sound, noise at the model's own rate.
    calls : int
        Of each part, after three that do not count.
    clip : Path, optional
        A recording to time the decoding of.

    Returns
    -------
    dict
        "bytes"; "seconds"; and with "min_ms" and "median_ms" each: "tagger" (front end and network), "resampling" (of
        ``seconds`` from 44.1 kHz, or from 48 kHz where 44.1 is the model's rate), and "decoding" (the clip at its own
        rate) where there is one. "tagger" has "min_ms_per_second" and "median_ms_per_second" of audio besides.
    """
    with Tagger(model, device="cpu", threads=1) as tagger:
        rate = tagger.card.sample_rate
        other_rate = 48_000 if rate == 44_100 else 44_100
        generator = np.random.default_rng(0)
        sound, other = (
            (0.1 * generator.standard_normal(round(seconds * r))).astype(np.float32) for r in (rate, other_rate)
        )
        parts: dict[str, Callable[[], object]] = {
            "tagger": lambda: tagger((sound, rate)),
            "resampling": lambda: load((other, other_rate), rate),
        }
        if clip is not None:
            source: Source = clip
            parts["decoding"] = lambda: load(source)
        taken = _in_turn(parts, calls)
    figures: dict[str, Any] = {"bytes": model.stat().st_size, "seconds": seconds}
    figures |= {
        name: {"min_ms": 1e3 * min(times), "median_ms": 1e3 * float(np.median(times))} for name, times in taken.items()
    }
    figures["tagger"] |= {f"{name}_per_second": ms / seconds for name, ms in figures["tagger"].items()}
    return figures


def _in_turn(parts: dict[str, Callable[[], object]], calls: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for i in range(3 + calls):
        for name, run in parts.items():
            started = time.perf_counter()
            run()
            if i >= 3:
                taken[name].append(time.perf_counter() - started)
    return taken

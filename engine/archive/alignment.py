"""Where in a recording resampling may begin anew and still give, bit for bit, what it gives from the start.

The resampler works in blocks whose boundaries it counts from where it began, and the last bits of a sample depend on
its place in a block. A stream that begins a whole number of such blocks later gives the same bits, once its filter has
forgotten that there was nothing before. The length is nowhere said, so it is found by trying, and proved on noise.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from engine.audio import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Candidates that are tried, and the longest: some seconds at most.
MAX_CANDIDATES = 4096
MAX_STEP = 1 << 19
# Of each: long enough for the filter to forget, in source samples for each sample of the slower side.
_TRIED = 40_000
_COMPARED = 512


class Alignment(NamedTuple):
    """In samples of the source: a stream may begin at multiples of ``step``, and is right from ``margin`` on."""

    step: int
    margin: int


@lru_cache(maxsize=64)
def alignment(source_rate: int, sample_rate: int) -> Alignment | None:
    """Return the alignment for resampling between two rates in Hz; None where none was found."""
    if source_rate == sample_rate:
        return Alignment(1, 0)
    divisor = math.gcd(source_rate, sample_rate)
    unit = source_rate // divisor
    length = _TRIED * max(1, source_rate // sample_rate)
    n_candidates = min(MAX_CANDIDATES, MAX_STEP // unit)
    noise = np.random.default_rng(0).uniform(-1, 1, n_candidates * unit + length).astype(np.float32)
    whole = np.empty(0, np.float32)
    for n in range(1, n_candidates + 1):
        step = n * unit
        skipped = step // unit * (sample_rate // divisor)
        tried = _resampled(noise[step : step + length], source_rate, sample_rate)
        place = len(tried) // 2
        if len(whole) < skipped + place + _COMPARED:
            # Twice as far each time, so that all of it is resampled twice at most.
            whole = _resampled(noise[: 2 * (step + length)], source_rate, sample_rate)
        if np.array_equal(tried[place : place + _COMPARED], whole[skipped + place : skipped + place + _COMPARED]):
            return _proved(step, source_rate, sample_rate)
    return None


def _proved(step: int, source_rate: int, sample_rate: int) -> Alignment | None:
    """Return the alignment of a step that gives the same bits at several multiples, to the end of other noise."""
    noise = np.random.default_rng(1).uniform(-1, 1, 5 * step + 4 * _TRIED).astype(np.float32)
    whole = _resampled(noise, source_rate, sample_rate)
    margin = 0
    for n in (1, 2, 3, 5):
        tried = _resampled(noise[n * step :], source_rate, sample_rate)
        expected = whole[n * step * sample_rate // source_rate :]
        if len(tried) != len(expected):
            return None
        wrong = np.flatnonzero(tried != expected)
        margin = max(margin, int(wrong[-1]) + 1 if len(wrong) else 0)
    margin_in = -(-margin * source_rate // sample_rate)
    # Noise may agree by chance a little before the filter has forgotten: a margin twice as wide is beyond doubt.
    return Alignment(step, 2 * margin_in) if margin_in < _TRIED * max(1, source_rate // sample_rate) else None


def _resampled(samples: NDArray[np.float32], source_rate: int, sample_rate: int) -> NDArray[np.float32]:
    return load((samples, source_rate), sample_rate)[0]

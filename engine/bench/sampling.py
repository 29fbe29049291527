"""Repeats of several things, taken in turns: a slow spell of the machine meets them all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.bench.report import Blocks

# Each thing is repeated in so many blocks; between two blocks of one thing the others have their turn.
BLOCKS = 10


class Probe(Protocol):
    """Something that can be timed, under one or more names."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The names."""

    def repeat(self, times: int) -> list[list[float]]:
        """Return the seconds of so many repeats, at least one, a list for each of the measures."""


@dataclass(frozen=True)
class Samples:
    """The repeats of one measure, see ``Row``."""

    measure: str
    blocks_s: Blocks


class Repeated:
    """One function, timed call by call.

    Parameters
    ----------
    measure : str
    work : callable
    """

    def __init__(self, measure: str, work: Callable[[], object]) -> None:
        self.measures = (measure,)
        self._work = work

    def repeat(self, times: int) -> list[list[float]]:
        """Return the seconds of so many calls."""
        work, clock, seconds = self._work, time.perf_counter, []
        for _ in range(times):
            begin = clock()
            work()
            seconds.append(clock() - begin)
        return [seconds]


def take_turns(probes: Sequence[Probe], repeats: int, limit_s: float) -> list[list[Samples]]:
    """Return the samples of each probe, one for each of its measures.

    Parameters
    ----------
    probes : sequence of Probe
    repeats : int
        Of each probe, rounded up to whole blocks.
    limit_s : float
        A probe that would take longer is repeated less often, but never less than once in each block.
    """
    sizes = [_block_size(probe, repeats, limit_s) for probe in probes]
    taken: list[list[list[list[float]]]] = [[] for _ in probes]
    for _ in range(BLOCKS):
        for probe, size, blocks in zip(probes, sizes, taken, strict=True):
            if size > 1:
                # What others left in the caches is theirs: the first repeat of a block is not counted.
                probe.repeat(1)
            blocks.append(probe.repeat(size))
    return [
        [
            Samples(measure, tuple(tuple(block[index]) for block in blocks))
            for index, measure in enumerate(probe.measures)
        ]
        for probe, blocks in zip(probes, taken, strict=True)
    ]


def _block_size(probe: Probe, repeats: int, limit_s: float) -> int:
    probe.repeat(1)  # the first one is slower: memory to allocate, on a GPU algorithms to choose
    begin = time.perf_counter()
    probe.repeat(1)
    once_s = max(time.perf_counter() - begin, 1e-9)
    return max(1, min(-(-repeats // BLOCKS), int(limit_s / BLOCKS / once_s)))

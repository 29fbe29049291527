"""How many windows to give a device at a time: doubled until that is no faster, or its memory is short."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

# A size that does not get through a twentieth more is no gain, and two of them in a row are the end.
SMALLEST_GAIN = 1.05
PATIENCE = 2
LARGEST_BATCH = 256
# Of the windows of a batch together, on the host.
LARGEST_BYTES = 64 << 20
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """One size that was tried.

    Attributes
    ----------
    size : int
        Windows in a batch.
    windows_per_s : float
        Of the quickest of a few runs.
    """

    size: int
    windows_per_s: float


@dataclass(frozen=True, slots=True)
class BatchSweep:
    """What ``batch_size="auto"`` measured, and what it chose.

    Attributes
    ----------
    shape : tuple of int
        Of one window as the network takes it.
    trials : tuple of Trial
        In the order in which they were made.
    size : int
        The smallest that is within a twentieth of the quickest.
    ended : str
        Why no larger size was tried: "no faster", "memory is short" or "largest".
    """

    shape: tuple[int, ...]
    trials: tuple[Trial, ...]
    size: int
    ended: str

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        rates = ", ".join(f"{trial.size}: {trial.windows_per_s:.4g}" for trial in self.trials)
        return f"{self.size} at a time (windows per second for {rates}; {self.ended})"


def sweep_batches(
    run: Callable[[int], object],
    shape: tuple[int, ...],
    window_bytes: int,
    clock: Callable[[], float] = time.perf_counter,
) -> BatchSweep:
    """Measure batches of 1, 2, 4 ... windows and return which is worth its size.

    Parameters
    ----------
    run : callable
        Runs the network on a batch of so many windows.
    shape : tuple of int
        Of one window.
    window_bytes : int
        That one window takes.
    clock : callable
        Seconds.

    Raises
    ------
    DeviceError, ModelError
        The network fails, for another reason than that there is no memory for a larger batch.
    """
    largest = max(1, min(LARGEST_BATCH, LARGEST_BYTES // max(window_bytes, 1)))
    trials: list[Trial] = []
    size, best, without_gain, ended = 1, 0.0, 0, "largest"
    while size <= largest:
        try:
            rate = size / _quickest_s(run, size, clock)
        except DeviceMemoryError:
            if not trials:
                raise
            ended = "memory is short"
            break
        trials.append(Trial(size, rate))
        without_gain = 0 if rate > best * SMALLEST_GAIN else without_gain + 1
        best = max(best, rate)
        if without_gain == PATIENCE:
            ended = "no faster"
            break
        size *= 2
    chosen = next(trial.size for trial in trials if trial.windows_per_s * SMALLEST_GAIN >= best)
    return BatchSweep(shape, tuple(trials), chosen, ended)


def _quickest_s(run: Callable[[int], object], size: int, clock: Callable[[], float]) -> float:
    run(size)  # a new shape: memory to allocate, algorithms to choose
    seconds = []
    for _ in range(REPEATS):
        begin = clock()
        run(size)
        seconds.append(clock() - begin)
    return max(min(seconds), 1e-9)

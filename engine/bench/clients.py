"""Many threads that share one model: what they get through together, and how long each call takes among the others."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Clients:
    """So many threads, each of which calls again as soon as it has its answer.

    Parameters
    ----------
    work : callable
        One call; safe to make from several threads.
    count : int
    """

    def __init__(self, work: Callable[[], object], count: int) -> None:
        self.measures = ("clients",)
        self._work = work
        self._count = count

    def repeat(self, times: int) -> list[list[float]]:
        """Return the seconds of so many calls for each client; who is served first makes more of them."""
        together = threading.Barrier(self._count)
        # Shared, so that all clients are busy to the end.
        left = iter(range(times * self._count))

        def client(_number: int) -> list[float]:
            work, clock, seconds = self._work, time.perf_counter, []
            together.wait()
            for _ in left:
                begin = clock()
                work()
                seconds.append(clock() - begin)
            return seconds

        with ThreadPoolExecutor(self._count, thread_name_prefix="engine-bench") as pool:
            answers: Any = pool.map(client, range(self._count))
            return [[second for seconds in answers for second in seconds]]

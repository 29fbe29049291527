"""Several generators at work at a time, in threads, a few steps ahead of whoever takes what they give."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

_T = TypeVar("_T")
_R = TypeVar("_R")

# Values that one generator may be ahead, and generators for each thread that are begun or waiting to be taken.
VALUES_AHEAD = 8
STARTED_PER_THREAD = 2
# Until a thread that finds no room asks whether there is anybody left to take its values.
PATIENCE_S = 0.1


def in_threads(
    starts: Iterable[Callable[[], Generator[_T, None, _R]]], threads: int
) -> Generator[Generator[_T, None, _R], None, None]:
    """Give generators that give and return what those of ``starts`` do, in their order; to be closed.

    With one thread they are the generators themselves, and run where they are taken. Otherwise no more than
    ``2 * threads`` are at work, each up to 8 values ahead: what is held does not depend on how many there are, or how
    long. Each must be taken to its end before the next.
    """
    if threads == 1:
        for start in starts:
            yield start()
        return
    stop = threading.Event()
    with contextlib.closing(_Pool(threads, stop)) as pool:
        waiting: deque[queue.Queue[Any]] = deque()
        for start in starts:
            waiting.append(pool.begin(start))
            if len(waiting) == STARTED_PER_THREAD * threads:
                yield _taken(waiting.popleft())
        while waiting:
            yield _taken(waiting.popleft())


class _Pool:
    def __init__(self, threads: int, stop: threading.Event) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine-archive")
        self._stop = stop

    def begin(self, start: Callable[[], Generator[Any, None, Any]]) -> queue.Queue[Any]:
        values: queue.Queue[Any] = queue.Queue(VALUES_AHEAD)
        self._pool.submit(_fill, start, values, self._stop)
        return values

    def close(self) -> None:
        """Let the threads end at their next value."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)


def _fill(start: Callable[[], Generator[Any, None, Any]], values: queue.Queue[Any], stop: threading.Event) -> None:
    with contextlib.closing(start()) as source:
        # The first step is always done: others may wait for what it does.
        while True:
            try:
                said = ("value", next(source))
            except StopIteration as end:
                said = ("end", end.value)
            except BaseException as error:  # noqa: BLE001 - whoever takes the values raises it
                said = ("error", error)
            while not stop.is_set():
                with contextlib.suppress(queue.Full):
                    values.put(said, timeout=PATIENCE_S)
                    break
            if said[0] != "value" or stop.is_set():
                return


def _taken(values: queue.Queue[Any]) -> Generator[Any, None, Any]:
    for kind, value in _endless(values):
        if kind == "end":
            return value
        if kind == "error":
            raise value
        yield value
    return None


def _endless(values: queue.Queue[Any]) -> Iterator[tuple[str, Any]]:
    while True:
        yield values.get()

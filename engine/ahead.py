"""A device kept busy while its next batch is prepared: work on another thread, its results in order."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Ahead(Generic[T]):
    """Hands work to a thread of its own, one piece at a time, and gives each result when the next piece comes.

    The thread begins with the first piece and ends with ``close``.

    Examples
    --------
    >>> ahead = Ahead()
    >>> ahead.put(lambda: "first"), ahead.put(lambda: "second"), ahead.last()
    (None, 'first', 'second')
    >>> ahead.close()
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[T] | None = None

    @property
    def busy(self) -> bool:
        """Whether a result has not been fetched yet."""
        return self._pending is not None

    def put(self, work: Callable[[], T]) -> T | None:
        """Begin ``work`` when what came before is done; wait for that, and return its result or raise its error.

        None where nothing came before.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine-device")
        # It waits in the thread's queue, not here: the device goes on without a pause.
        before, self._pending = self._pending, self._thread.submit(work)
        return None if before is None else before.result()

    def last(self) -> T | None:
        """Wait for what was put last, and return its result or raise its error; None where it was fetched already."""
        pending, self._pending = self._pending, None
        return None if pending is None else pending.result()

    def close(self) -> None:
        """Wait for the work that has begun, drop its result, and end the thread."""
        self._pending = None
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None

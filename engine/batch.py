"""Many recordings: several are decoded and run at a time, results come in order, and a bad one spoils no other."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from engine.errors import Cancelled, ConfigError, EngineError
from engine.results import Clip

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from engine.model import Cancel, Model
    from engine.options import CallOptions

OnError = Literal["return", "raise"]


def run_batch(
    model: Model,
    sources: Iterable[Any],
    *,
    on_error: OnError,
    workers: int | None,
    progress: Callable[[int], object] | None,
    cancel: Cancel | None,
    channel: int | None,
    options: CallOptions,
) -> Generator[Clip, None, None]:
    """Yield a clip for each source, in their order, working a few sources ahead.

    Parameters
    ----------
    model : Model
    sources : iterable
        What a model can be called with. It is read as far as there is work for.
    on_error : str
        "return": a source that cannot be used gives a clip with ``error`` set. "raise": its error ends the batch.
    workers : int or None
        Recordings in work at a time; the model's number of threads by default.
    progress : callable or None
        Called with the number of sources that are done.
    cancel : threading.Event or None
        Once set, the batch ends with ``Cancelled``.
    channel : int or None
    options : CallOptions

    Raises
    ------
    ConfigError
        An option is out of range.
    EngineError
        With ``on_error="raise"``, that of the first source that cannot be used.
    Cancelled
    """
    if on_error not in ("return", "raise"):
        raise ConfigError(f"expected on_error to be 'return' or 'raise', got {on_error!r}; choose one of them")
    workers = model.threads if workers is None else workers
    if type(workers) is not int or workers < 1:
        raise ConfigError(f"expected workers to be a whole number from 1 or None, got {workers!r}; correct it")
    model.check_options(options)
    return _ordered(
        model,
        sources,
        on_error=on_error,
        workers=workers,
        progress=progress,
        stop=_Stop(cancel),
        channel=channel,
        options=options,
    )


class _Stop:
    """Set when the caller cancels, or when nobody wants results any more."""

    def __init__(self, cancel: Cancel | None) -> None:
        self._cancel = cancel
        self._over = threading.Event()

    def set(self) -> None:
        self._over.set()

    def is_set(self) -> bool:
        return self._over.is_set() or (self._cancel is not None and self._cancel.is_set())


def _ordered(
    model: Model,
    sources: Iterable[Any],
    *,
    on_error: OnError,
    workers: int,
    progress: Callable[[int], object] | None,
    stop: _Stop,
    channel: int | None,
    options: CallOptions,
) -> Generator[Clip, None, None]:
    def run(source: Any) -> Clip:
        try:
            return model(source, channel=channel, cancel=stop, **options)
        except Cancelled:
            raise
        except EngineError as error:
            if on_error == "raise":
                raise
            return Clip.failed(_path_of(source), error)

    done = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="engine-batch")
    try:
        # One recording waits for each that is in work, so that no worker idles while a slow one is waited for.
        remaining = iter(sources)
        pending = deque(pool.submit(run, source) for source in islice(remaining, 2 * workers))
        while pending:
            if stop.is_set():
                raise Cancelled(f"cancelled after {done} recordings")
            clip = pending.popleft().result()
            pending.extend(pool.submit(run, source) for source in islice(remaining, 1))
            done += 1
            if progress is not None:
                progress(done)
            yield clip
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _path_of(source: Any) -> str | None:
    return os.fsdecode(source) if isinstance(source, str | os.PathLike) else None

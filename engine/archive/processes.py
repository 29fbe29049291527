"""Workers on this machine: processes that are started anew, each with a pipe to the run."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from engine.archive.heap import keep_freed_memory
from engine.archive.worker import work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from engine.archive.settings import ArchiveSettings

# What a process whose pipe has ended gets to end as well.
GRACE_S = 10.0


class Processes:
    """Where the workers of a run come from.

    Parameters
    ----------
    model : Path
    device : str
    folder : Path
        Of the archive.
    settings : ArchiveSettings
    decoders : int
        Threads in each that decode ahead of the network.
    """

    def __init__(
        self, model: Path, device: str, folder: Path | str, settings: ArchiveSettings, decoders: int = 1
    ) -> None:
        self._arguments = (model, device, folder, settings, decoders)

    def hire(self) -> LocalWorker:
        """Start a worker."""
        return LocalWorker(self._arguments)


class LocalWorker:
    """A process; see ``engine.archive.supervisor.Worker``."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        # A new interpreter, not a fork: neither onnxruntime nor CUDA survive one, and nothing is inherited by accident.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(theirs, *arguments), name="engine-archive", daemon=True)
        with _without_interrupts():
            self._process.start()
        # With our copy closed, the connection ends when the worker does.
        theirs.close()

    @property
    def handles(self) -> list[Any]:
        """What becomes ready when there is something to hear of the worker."""
        return [self.connection, self._process.sentinel]

    def is_alive(self) -> bool:
        """Return whether the worker has not ended."""
        return self._process.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait until the worker has ended, but no longer than this."""
        self._process.join(timeout_s)

    def kill(self) -> None:
        """End the worker by force."""
        self._process.kill()
        self._process.join()

    def cause(self) -> str:
        """Return how a worker ended whose pipe has."""
        self._process.join(GRACE_S)
        return f"exit code {self._process.exitcode}"


def _main(
    connection: Connection, model: Path, device: str, folder: Path | str, settings: ArchiveSettings, decoders: int
) -> None:
    # Ctrl-C reaches every process of a terminal; the run decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    work(connection, model, device, folder, settings, decoders)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that are started here never see Ctrl-C, which reaches all of a terminal: the run decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Starting the tracker of multiprocessing would let the signal through again.
    resource_tracker.ensure_running()
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)

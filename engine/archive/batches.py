"""The network of a shard: windows of its recordings, in their order, several in one call; rows come out in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.archive.decoding import failure
from engine.errors import DeviceError
from engine.listener import run_prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.archive.decoding import Decoded
    from engine.archive.tables import FileRow, WindowWriter
    from engine.results import Window


@dataclass(eq=False)
class Recording:
    """A recording whose windows are on their way.

    Attributes
    ----------
    file_id : int
    row : FileRow or None
        What is known of it once it is decoded.
    n_waiting, n_windows : int
        Windows that wait for the network, and that are written.
    error : Exception or None
        What the network made of it; later windows are dropped.
    """

    file_id: int
    row: FileRow | None = None
    n_waiting: int = 0
    n_windows: int = 0
    error: Exception | None = None


class Batches:
    """Fills calls of the network with windows of one recording after another.

    How many go into a call is the model's batch size (one on a CPU), and which ones is a function of the recordings
    alone: a call is made when it is full, when a window of another shape comes, and at the end.

    Parameters
    ----------
    writer : WindowWriter
        Gets the windows in the order in which they were added.
    finished : callable
        Called with the row of each recording, in order, once its windows are written.
    """

    def __init__(self, writer: WindowWriter, finished: Callable[[FileRow], object]) -> None:
        self._writer = writer
        self._finished = finished
        self._held: list[tuple[Recording, Decoded]] = []
        self._open: deque[Recording] = deque()

    def begin(self, file_id: int) -> Recording:
        """Return a recording that comes behind all earlier ones."""
        self._open.append(Recording(file_id))
        return self._open[-1]

    def add(self, recording: Recording, decoded: Decoded) -> None:
        """Add the next window; a DeviceError where the device fails, everything else is the recording's own."""
        if recording.error is not None:
            return
        if self._held and not self._held[0][1].prepared.fits(decoded.prepared):
            self.run()
        self._held.append((recording, decoded))
        recording.n_waiting += 1
        if len(self._held) == decoded.prepared.listener.batch_size:
            self.run()

    def end(self, recording: Recording, row: FileRow) -> None:
        """Say that a recording has no more windows, and what is known of it."""
        recording.row = row
        self._finish()

    def run(self) -> None:
        """Run what waits."""
        held, self._held = self._held, []
        if not held:
            return
        for recording, _ in held:
            recording.n_waiting -= 1
        try:
            windows = run_prepared([decoded.prepared for _, decoded in held])
        except DeviceError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one recording does, the others go on
            if len(held) == 1:
                held[0][0].error = error
            else:
                self._run_each(held)
        else:
            for (recording, decoded), window in zip(held, windows, strict=True):
                self._write(recording, decoded, window)
        self._finish()

    def _run_each(self, held: list[tuple[Recording, Decoded]]) -> None:
        """Find which of several windows the network fails on."""
        for recording, decoded in held:
            if recording.error is not None:
                continue
            try:
                (window,) = run_prepared([decoded.prepared])
            except DeviceError:
                raise
            except Exception as error:  # noqa: BLE001
                recording.error = error
            else:
                self._write(recording, decoded, window)

    def _write(self, recording: Recording, decoded: Decoded, window: Window) -> None:
        self._writer.add(recording.file_id, window, decoded.recorded_at)
        recording.n_windows += 1

    def _finish(self) -> None:
        while self._open and self._open[0].row is not None and not self._open[0].n_waiting:
            recording = self._open.popleft()
            assert recording.row is not None
            known: dict[str, Any] = {} if recording.error is None else failure("tag", recording.error)
            self._finished(replace(recording.row, n_windows=recording.n_windows, **known))

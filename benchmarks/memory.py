"""The memory of a process and its workers while something runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Self

PERIOD_S = 0.05


class Memory(threading.Thread):
    """The largest sum of the memory of the workers of this process and its own growth, in MB, sampled."""

    peak_mb = 0.0

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._before = _resident_kb(os.getpid())
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Sample until the block ends."""
        while not self._over.wait(PERIOD_S):
            total = sum(_resident_kb(child) for child in _children(os.getpid()))
            self.peak_mb = max(self.peak_mb, (total + _resident_kb(os.getpid()) - self._before) / 1e3)


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _resident_kb(process: int) -> int:
    """Return the resident memory of a process, what it shares divided by those that share it; 0 when it has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)

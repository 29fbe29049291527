"""The microphone, tagged as it is heard: one visitor's stream, and how far its results are behind the sound."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from engine.events import threshold_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from engine.results import Window
    from engine.stream import WindowStream
    from engine.tagger import Tagger

HOP_S = 0.5
_ROWS = 12
# A microphone that was silent for longer was stopped and started again.
_PAUSE_S = 4.0


class LiveTags:
    """What one microphone gave. One visitor has one, and pushes a block at a time.

    Parameters
    ----------
    tagger : Tagger
    clock : callable
        Seconds from any start.
    """

    def __init__(self, tagger: Tagger, clock: Callable[[], float] = time.monotonic) -> None:
        self._tagger = tagger
        self._clock = clock
        card = tagger.card
        assert card.sample_rate is not None
        self.window_s = card.window / card.sample_rate
        self._hop_s = min(HOP_S, self.window_s)
        self._stream: WindowStream | None = None
        self._rate = 0
        self._heard_s = self._block_s = self._compute_s = 0.0
        self._began = self._arrived = 0.0
        self._last: Window | None = None
        self._rows: deque[list[Any]] = deque(maxlen=_ROWS)

    def push(self, rate: int, block: NDArray[Any]) -> None:
        """Take a block of samples, (n_samples,) or (n_samples, n_channels); another rate, or a pause, begins anew.

        Raises
        ------
        AudioError
            The block has another shape or type.
        """
        arrived = self._clock()
        if self._stream is None or rate != self._rate or arrived - self._arrived > _PAUSE_S:
            self._stream, self._rate = self._tagger.stream(sample_rate=rate, hop_s=self._hop_s), rate
            self._heard_s, self._last = 0.0, None
            self._rows.clear()
            # The first sample was heard before its block was sent.
            self._began = arrived - len(block) / rate
        self._arrived = arrived
        windows = self._stream.push(block)
        self._block_s = len(block) / rate
        self._heard_s += self._block_s
        self._compute_s = self._clock() - arrived
        for window in windows:
            self._last = window
            self._rows.extendleft(self._found(window))

    @property
    def behind_s(self) -> float:
        """Seconds from when the last sample was heard until now: what the network and this machine have not kept up."""
        return max(0.0, self._clock() - self._began - self._heard_s)

    @property
    def rows(self) -> list[list[Any]]:
        """Start and end in seconds, label and score of what passed the model's thresholds, the latest first."""
        return list(self._rows)

    def text(self) -> str:
        """Return what is heard now, and with which latency."""
        if self._stream is None:
            return "Not listening."
        latency = (
            f"Latency: {1000 * self._compute_s:.0f} ms to compute, {1000 * self.behind_s:.0f} ms behind the microphone."
            f" Blocks of {1000 * self._block_s:.0f} ms at {self._rate} Hz, a window every {1000 * self._hop_s:.0f} ms."
        )
        if self._last is None:
            return (
                f"Listening: {self._heard_s:.1f} s heard, the first result comes after {self.window_s:.1f} s. {latency}"
            )
        best = self._last.top(1)[0]
        return f"Now: {best.label} ({best.score:.2f}), {self._heard_s:.1f} s heard. {latency}"

    def _found(self, window: Window) -> list[list[Any]]:
        thresholds = self._tagger.card.thresholds
        return [
            [round(window.start_s, 2), round(window.end_s, 2), tag.label, round(tag.score, 3)]
            for tag in window.top(len(self._tagger.labels))
            if tag.score >= threshold_of(tag.label, None, thresholds)
        ]

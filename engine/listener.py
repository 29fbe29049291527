"""One recording going through a model: blocks of any size in, the outputs of every window out.

Files, arrays and live audio all come this way, so that a window's outputs are the same bits for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.ahead import Ahead
from engine.audio import check_finite
from engine.errors import AudioError
from engine.results import Frames, Window
from engine.windows import WindowCutter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from engine.frontend import LogMel
    from engine.network import Network, WindowOutputs
    from engine.options import ResolvedOptions
    from engine.windows import Cut


class Listener:
    """Cuts windows, runs each through the front end and the network, and remembers what lasts between them.

    Ahead of a device, it prepares the next batch while the network runs on the one before.

    Parameters
    ----------
    network : Network
    front_end : LogMel or None
        None for a network that takes samples or rows.
    options : ResolvedOptions
    rate : float
        Samples or rows in a second.
    label : str
        What messages call the recording.
    ahead : bool
        Whether windows may come one batch late, so that front end and device work at the same time. Needs ``close``.
    n_features : int or None
        Of each row; None for samples.
    """

    def __init__(
        self,
        network: Network,
        front_end: LogMel | None,
        options: ResolvedOptions,
        rate: float,
        label: str,
        *,
        ahead: bool = False,
        n_features: int | None = None,
    ) -> None:
        card = network.card
        self._network = network
        self._front_end = front_end
        self._options = options
        self._rate = rate
        self._label = label
        self._cutter = WindowCutter(options.window, options.hop, card.pad, card.input.context, n_features)
        self._state = network.initial_state()
        self._waiting: list[tuple[Cut, NDArray[np.float32]]] = []
        self._batch_size = options.batch_size
        self._device: Ahead[list[Window]] | None = Ahead() if ahead else None

    def hear(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Window]:
        """Yield the windows of a whole recording, and close.

        Where the recording cannot be read or heard further, what was heard before comes first.
        """
        try:
            for block in blocks:
                yield from self.push(block)
            yield from self.flush()
        except AudioError:
            yield from self._last()
            raise
        finally:
            self.close()

    def push(self, block: NDArray[np.float32]) -> Iterator[Window]:
        """Yield the windows that ``block`` completes."""
        return self._listen(self._cutter.push(block))

    def flush(self) -> Iterator[Window]:
        """Yield what is left: windows that waited for a batch, and the last one."""
        yield from self._listen(self._cutter.flush())
        yield from self._run_waiting(more=False)
        yield from self._last()

    def close(self) -> None:
        """Wait until the device is done with what it was given; that is not given out any more."""
        if self._device is not None:
            self._device.close()

    def _listen(self, cuts: Iterable[Cut]) -> Iterator[Window]:
        for cut in cuts:
            content = self._content(cut)
            if self._waiting and self._waiting[0][1].shape != content.shape:  # a last window that is left short
                yield from self._run_waiting()
            self._waiting.append((cut, content))
            # One window alone needs no batch, and nobody to find out how large it should be.
            if self._batch_size is None and len(self._waiting) == 2:
                self._batch_size = self._network.batch_size(content)
            while self._batch_size is not None and len(self._waiting) >= self._batch_size:
                yield from self._run_waiting()

    def _run_waiting(self, *, more: bool = True) -> list[Window]:
        """Run a batch of what waits; return its windows, or those of the batch before where the device works ahead."""
        size = self._batch_size or 1
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        if not batch:
            return []
        if self._device is None or not (more or self._device.busy):
            return self._run(batch)
        return self._device.put(lambda: self._run(batch)) or []

    def _last(self) -> list[Window]:
        """Return the windows of the batch that is on the device."""
        return [] if self._device is None else self._device.last() or []

    def _run(self, batch: list[tuple[Cut, NDArray[np.float32]]]) -> list[Window]:
        contents = [content for _, content in batch]
        # A GPU prepares itself anew for every other shape: batches have 1, 2, 4 ... windows, or as many as go into one.
        size = min(1 << (len(contents) - 1).bit_length(), self._batch_size or 1)
        contents += contents[-1:] * (size - len(contents))
        outputs = self._network.run(contents, self._state)
        return [self._window(cut, values) for (cut, _), values in zip(batch, outputs, strict=False)]

    def _content(self, cut: Cut) -> NDArray[np.float32]:
        front_end = self._front_end
        if front_end is None:
            return cut.samples
        samples = cut.samples
        if front_end.n_frames(samples.size) == 0:
            # Only a last window that is left short is that short; zeros complete its one frame: nothing is dropped.
            config = front_end.config
            shortest = max(config.win_length, config.hop_length, config.n_samples(1))
            samples = np.pad(samples, (0, shortest - samples.size))
        try:
            frames = front_end(samples)
        except AudioError as error:  # it knows no names
            check_finite(cut.samples, cut.start - self._network.card.input.context, int(self._rate), self._label)
            where = f"{self._label}, window from {cut.start / self._rate:.3f} s"
            raise AudioError(f"{where}: {error}") from error
        card = self._network.card
        if card.pad == "frames" and (missing := front_end.n_frames(self._options.window) - len(frames)) > 0:
            return np.pad(frames, ((0, missing), (0, 0)), constant_values=card.input.frame_padding)
        return frames

    def _window(self, cut: Cut, values: WindowOutputs) -> Window:
        columns = self._options.columns
        scores, frames = values.scores, None
        if values.frames is not None:
            frames = self._frames(values.frames, cut.end - cut.start)
        if columns is not None:
            scores = scores[columns]
            frames = None if frames is None else Frames(frames.scores[:, columns], frames.hop_s, frames.length_s)
        return Window(
            cut.start / self._rate, cut.end / self._rate, scores, values.embedding, frames, self._options.labelling
        )

    def _frames(self, scores: NDArray[np.float32], length: int) -> Frames:
        card = self._network.card
        hop, frame_length = card.frame_hop or 1, card.frame_length or 1
        # What was filled in is not part of the recording; its first frame always is.
        heard = max(1, -(-length // hop))
        return Frames(scores[:heard], hop / self._rate, frame_length / self._rate)

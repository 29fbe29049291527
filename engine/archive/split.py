"""Long recordings in parts: which formats, where, and how a part is read so that its windows are those of the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine.archive.alignment import alignment
from engine.archive.uri import is_url
from engine.audio import open_recording
from engine.decode_sndfile import SndfileDecoder
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings

SPLIT_SUFFIXES = (".wav", ".wave", ".rf64", ".flac")
# Of a part, about.
PART_BYTES = 128 << 20
# Parts begin at the windows that a batch of the network begins with, whatever the device's batch size, up to this.
WINDOWS_STEP = 16
# Samples before each seam, by which two parts show that they mean the same place.
SEAM = 4096


@dataclass(frozen=True, slots=True)
class Span:
    """One part of a recording.

    Attributes
    ----------
    windows : tuple of int
        Its first window, and the first of the next part; -1 for the last part, which goes to the end.
    frames : tuple of int
        Samples of the source that are its own: first, and first of the next.
    begin : int
        Sample of the source from which it is read.
    skipped : int
        Samples at the model's rate before its first window.
    """

    windows: tuple[int, int]
    frames: tuple[int, int]
    begin: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Split:
    """How a recording is done in parts.

    Attributes
    ----------
    sample_rate, n_frames : int
        As the recording's header says.
    step, margin : int
        In samples of the source; see ``Alignment``.
    starts : tuple of int
        The first window of each part.
    """

    sample_rate: int
    n_frames: int
    step: int
    margin: int
    starts: tuple[int, ...]

    def span(self, part: int, settings: ArchiveSettings) -> Span:
        """Return where a part lies."""
        last = part + 1 == len(self.starts)
        first = self._frame(self.starts[part], settings)
        end = self.n_frames if last else self._frame(self.starts[part + 1], settings)
        begin = max(0, (first - self.margin - SEAM) // self.step * self.step)
        # A step is a whole number of samples at either rate.
        heard = begin * settings.sample_rate // self.sample_rate
        return Span(
            windows=(self.starts[part], -1 if last else self.starts[part + 1]),
            frames=(first, end),
            begin=begin,
            skipped=self.starts[part] * settings.hop - heard,
        )

    def _frame(self, window: int, settings: ArchiveSettings) -> int:
        return window * settings.hop * self.sample_rate // settings.sample_rate

    def to_list(self) -> list[Any]:
        """Return plain values, ready for JSON."""
        return [self.sample_rate, self.n_frames, self.step, self.margin, list(self.starts)]

    @classmethod
    def from_list(cls, values: list[Any]) -> Self:
        """Return what ``to_list`` gave."""
        sample_rate, n_frames, step, margin, starts = values
        return cls(sample_rate, n_frames, step, margin, tuple(starts))


def with_splits(shards: Iterable[Shard], settings: ArchiveSettings) -> Iterator[Shard]:
    """Give the shards, those of one long recording with the parts it is done in.

    Only local files in formats whose seek is exact are split, on windows that are as far apart as ``PART_BYTES``; what
    cannot be opened is left to its shard, which says why.
    """
    for shard in shards:
        split = None
        if len(shard.items) == 1 and (shard.items[0].size or 0) > PART_BYTES:
            split = _split_of(shard.items[0].uri, shard.items[0].size or 0, settings)
        yield shard if split is None else replace(shard, split=split)


def _split_of(path: str, size: int, settings: ArchiveSettings) -> Split | None:
    if is_url(path) or not path.lower().endswith(SPLIT_SUFFIXES) or not Path(path).is_file():
        return None
    try:
        recording = open_recording(path)
    except EngineError:
        return None
    try:
        if not isinstance(recording, SndfileDecoder) or not recording.seeks_exactly:
            return None
        rate, n_frames = recording.sample_rate, recording.n_frames
    finally:
        recording.close()
    n_windows = n_frames * settings.sample_rate // rate // settings.hop
    n_parts = -(-size // PART_BYTES)
    places = [n_windows * part // n_parts // WINDOWS_STEP * WINDOWS_STEP for part in range(n_parts)]
    found = alignment(rate, settings.sample_rate)
    if found is None or min(b - a for a, b in zip(places, [*places[1:], n_windows], strict=True)) < WINDOWS_STEP:
        return None
    return Split(rate, n_frames, found.step, found.margin, tuple(places))

"""A long recording in parts: where they lie, and from where each is read so that its windows are those of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from engine.archive.settings import ArchiveSettings

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

"""What of a clip is printed, its tags or its events. The formats say how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.results import Clip


class Row(NamedTuple):
    """A label with its score and the time it is about."""

    start_s: float
    end_s: float
    label: str
    score: float


class Report(Protocol):
    """Chooses what is printed of a clip."""

    def lines(self, clip: Clip) -> list[list[str]]:
        """Return the columns of each line of text."""

    def fields(self, clip: Clip) -> dict[str, Any]:
        """Return JSON values by name."""

    def rows(self, clip: Clip) -> Iterator[Row]:
        """Yield the rows of a table."""


class TagReport:
    """The tags of the clip, and those of its windows where a format has a place for them."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._width = max(map(len, labels))

    def lines(self, clip: Clip) -> list[list[str]]:
        """Return one line with the clip's tags."""
        return [[f"{tag.label:<{self._width}} {tag.score:5.2f}" for tag in clip.tags] or ["-"]]

    def fields(self, clip: Clip) -> dict[str, Any]:
        """Return "tags" and "windows", each with its tags."""
        windows = [
            {"start_s": window.start_s, "end_s": window.end_s, "tags": [tag.to_dict() for tag in window.tags]}
            for window in clip.windows
        ]
        return {"tags": [tag.to_dict() for tag in clip.tags], "windows": windows}

    def rows(self, clip: Clip) -> Iterator[Row]:
        """Yield one row per window and tag, best first."""
        for window in clip.windows:
            for tag in window.tags:
                yield Row(window.start_s, window.end_s, tag.label, tag.score)


class EventReport:
    """The events of the clip, found as ``Clip.events`` says."""

    def __init__(
        self, labels: Sequence[str], threshold: float | None, merge_gap_s: float, min_duration_s: float
    ) -> None:
        self._width = max(map(len, labels))
        self._how = (threshold, merge_gap_s, min_duration_s)

    def lines(self, clip: Clip) -> list[list[str]]:
        """Return one line per event."""
        return [
            [f"{row.start_s:8.2f}", f"{row.end_s:8.2f}", f"{row.label:<{self._width}} {row.score:5.2f}"]
            for row in self.rows(clip)
        ] or [["-"]]

    def fields(self, clip: Clip) -> dict[str, Any]:
        """Return "events"."""
        return {"events": [row._asdict() for row in self.rows(clip)]}

    def rows(self, clip: Clip) -> Iterator[Row]:
        """Yield one row per event, in order of time."""
        for event in clip.events(*self._how):
            yield Row(event.start_s, event.end_s, event.label, event.score)

"""Clips as text, JSON, JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.errors import EngineError
    from engine.results import Clip, Tag

LABELS_IN_TEXT = 3
# Names longer than this stand out of their column instead of widening it for all.
MAX_NAME_WIDTH = 60


@dataclass(frozen=True)
class Selection:
    """Which tags to print: the ``top_k`` best (None: all) of those that score at least ``threshold`` (None: any)."""

    top_k: int | None = None
    threshold: float | None = None

    def tags(self, clip: Clip) -> list[Tag]:
        """Return the selected tags of a clip, best first."""
        tags = clip.top(len(clip.labels)) if self.threshold is None else clip.above(self.threshold)
        return tags[: self.top_k]


class Writer(Protocol):
    """Prints clips as they come."""

    def write(self, clip: Clip) -> None:
        """Print one clip."""

    def fail(self, path: str, error: EngineError) -> None:
        """Print that a recording could not be tagged, where the format has a place for it."""

    def close(self) -> None:
        """Print what ends the output."""


class TextWriter:
    """One line per recording: its name and its best labels with their scores, in columns."""

    def __init__(self, stream: BinaryIO, selection: Selection, paths: Sequence[str], labels: Sequence[str]) -> None:
        self._stream = stream
        self._selection = replace(selection, top_k=selection.top_k or LABELS_IN_TEXT)
        self._name_width = min(MAX_NAME_WIDTH, max(len(printable(path)) for path in paths))
        self._label_width = max(map(len, labels))

    def write(self, clip: Clip) -> None:
        """Print the line."""
        tags = self._selection.tags(clip)
        columns = [f"{tag.label:<{self._label_width}} {tag.score:5.2f}" for tag in tags] or ["-"]
        line = "  ".join([f"{printable(clip.path or ''):<{self._name_width}}", *columns])
        # Names that are not valid Unicode come out as the bytes they are.
        self._stream.write((line + "\n").encode("utf-8", "surrogateescape"))
        self._stream.flush()

    def fail(self, path: str, error: EngineError) -> None:
        """Print nothing: the message is on standard error."""

    def close(self) -> None:
        """Print nothing."""


class JsonLinesWriter:
    """One JSON object per line and recording: path, duration_s, tags, windows (each with its tags) and error."""

    def __init__(self, stream: BinaryIO, selection: Selection, _paths: Sequence[str], _labels: Sequence[str]) -> None:
        self._stream = stream
        self._selection = selection

    def write(self, clip: Clip) -> None:
        """Print the object."""
        windows = [
            {
                "start_s": window.start_s,
                "end_s": window.end_s,
                "tags": self._tags(replace(clip, scores=window.scores)),
            }
            for window in clip.windows
        ]
        self._put(clip.path, clip.duration_s, self._tags(clip), windows, None)

    def fail(self, path: str, error: EngineError) -> None:
        """Print an object without tags and with the message."""
        self._put(path, None, [], [], str(error))

    def close(self) -> None:
        """Print nothing."""

    def _tags(self, clip: Clip) -> list[dict[str, Any]]:
        return [tag.to_dict() for tag in self._selection.tags(clip)]

    def _put(self, path: str | None, duration_s: float | None, tags: Any, windows: Any, error: str | None) -> None:
        record = {"path": path, "duration_s": duration_s, "tags": tags, "windows": windows, "error": error}
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        # What UTF-8 cannot hold, bytes of names that are not valid Unicode, becomes \udcXX, which JSON reads back.
        self._put_line(text.encode("utf-8", "backslashreplace"))
        self._stream.flush()

    def _put_line(self, line: bytes) -> None:
        self._stream.write(line + b"\n")


class JsonWriter(JsonLinesWriter):
    """The objects of `JsonLinesWriter` in one array, each on a line of its own."""

    def __init__(self, stream: BinaryIO, selection: Selection, paths: Sequence[str], labels: Sequence[str]) -> None:
        super().__init__(stream, selection, paths, labels)
        self._before = b"[\n"

    def close(self) -> None:
        """Print the closing bracket."""
        self._stream.write(b"\n]\n")

    def _put_line(self, line: bytes) -> None:
        self._stream.write(self._before + line)
        self._before = b",\n"


class CsvWriter:
    """One row per window and label, best label first: file, start_s, end_s, label, score."""

    def __init__(self, stream: BinaryIO, selection: Selection, _paths: Sequence[str], _labels: Sequence[str]) -> None:
        self._stream = stream
        self._selection = selection
        self._put([("file", "start_s", "end_s", "label", "score")])

    def write(self, clip: Clip) -> None:
        """Print the rows."""
        self._put(
            (clip.path, f"{window.start_s:.6f}", f"{window.end_s:.6f}", tag.label, f"{tag.score:.6g}")
            for window in clip.windows
            for tag in self._selection.tags(replace(clip, scores=window.scores))
        )

    def fail(self, path: str, error: EngineError) -> None:
        """Print nothing: the message is on standard error."""

    def close(self) -> None:
        """Print nothing."""

    def _put(self, rows: Iterable[tuple[str | None, ...]]) -> None:
        self._stream.write("".join(map(_csv_line, rows)).encode("utf-8", "surrogateescape"))
        self._stream.flush()


def _csv_line(row: tuple[str | None, ...]) -> str:
    text = io.StringIO(newline="")
    # A carriage return inside a name is quoted only where it is part of the line end, so that is taken off afterwards.
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n") + "\n"


WRITERS: dict[str, type[TextWriter | JsonLinesWriter | CsvWriter]] = {
    "text": TextWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
}


def printable(name: str) -> str:
    """Return a name on one line: control characters escaped, bytes that are not valid Unicode kept."""

    def kept(character: str) -> bool:
        return character.isprintable() or "\udc80" <= character <= "\udcff"

    return "".join(c if kept(c) else c.encode("unicode_escape").decode() for c in name)

"""Reports on clips as text, JSON, JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.cli.reports import Report
    from engine.results import Clip

# Names longer than this stand out of their column instead of widening it for all.
MAX_NAME_WIDTH = 60


class Writer(Protocol):
    """Prints clips as they come, those that failed included."""

    def write(self, clip: Clip) -> None:
        """Print one clip."""

    def close(self) -> None:
        """Print what ends the output."""


class TextWriter:
    """Lines of a recording's name and what is reported of it, in columns; nothing for one that failed."""

    def __init__(self, stream: BinaryIO, report: Report, paths: Sequence[str]) -> None:
        self._stream = stream
        self._report = report
        self._name_width = min(MAX_NAME_WIDTH, max(len(printable(path)) for path in paths))

    def write(self, clip: Clip) -> None:
        """Print the lines."""
        if clip.error is not None:
            return
        name = f"{printable(clip.path or ''):<{self._name_width}}"
        text = "".join("  ".join([name, *columns]) + "\n" for columns in self._report.lines(clip))
        # Names that are not valid Unicode come out as the bytes they are.
        self._stream.write(text.encode("utf-8", "surrogateescape"))
        self._stream.flush()

    def close(self) -> None:
        """Print nothing."""


class JsonLinesWriter:
    """One JSON object per line and recording: path, duration_s, what is reported, and error."""

    def __init__(self, stream: BinaryIO, report: Report, _paths: Sequence[str]) -> None:
        self._stream = stream
        self._report = report

    def write(self, clip: Clip) -> None:
        """Print the object."""
        failed = clip.error is not None
        record = {
            "path": clip.path,
            "duration_s": None if failed else clip.duration_s,
            **self._report.fields(clip),
            "error": str(clip.error) if failed else None,
        }
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
        # What UTF-8 cannot hold, bytes of names that are not valid Unicode, becomes \udcXX, which JSON reads back.
        self._put_line(text.encode("utf-8", "backslashreplace"))
        self._stream.flush()

    def close(self) -> None:
        """Print nothing."""

    def _put_line(self, line: bytes) -> None:
        self._stream.write(line + b"\n")


class JsonWriter(JsonLinesWriter):
    """The objects of `JsonLinesWriter` in one array, each on a line of its own."""

    def __init__(self, stream: BinaryIO, report: Report, paths: Sequence[str]) -> None:
        super().__init__(stream, report, paths)
        self._before = b"[\n"

    def close(self) -> None:
        """Print the closing bracket."""
        self._stream.write(b"\n]\n")

    def _put_line(self, line: bytes) -> None:
        self._stream.write(self._before + line)
        self._before = b",\n"


class CsvWriter:
    """Rows of file, start_s, end_s, label and score; none for a recording that failed."""

    def __init__(self, stream: BinaryIO, report: Report, _paths: Sequence[str]) -> None:
        self._stream = stream
        self._report = report
        self._put([("file", "start_s", "end_s", "label", "score")])

    def write(self, clip: Clip) -> None:
        """Print the rows."""
        self._put(
            (clip.path, f"{row.start_s:.6f}", f"{row.end_s:.6f}", row.label, f"{row.score:.6g}")
            for row in self._report.rows(clip)
        )

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

"""Labels over time as tables for other programs: CSV, JSON lines, Parquet, Raven and Audacity."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.archive.arrow import parquet
from engine.archive.read import tags_schema
from engine.archive.uri import file_name
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from engine.archive.read import Archive

_COLUMNS = ("file", "start_s", "end_s", "time", "label", "score")
_FILE_COLUMNS = ("file_id", "uri_bytes", "duration_s", "sample_rate")
_RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin Path", "Begin File", "File Offset (s)", "Annotation", "Score"),
)


@dataclass(frozen=True, slots=True)
class TagRow:
    """A label with its score, and the recording that it was heard in.

    Attributes
    ----------
    name : str
        Of the recording.
    begin_s : float
        Where the recording begins when all are joined.
    sample_rate : int
        Of the recording, in Hz.
    tag : Mapping
        uri, start_s, end_s, time, label and score, as ``Archive.tags`` gives them.
    """

    name: str
    begin_s: float
    sample_rate: int
    tag: Mapping[str, Any]


def write_results(
    archive: Archive,
    stream: BinaryIO,
    format: str,  # noqa: A002 - what it is called everywhere
    labels: Collection[str] | None = None,
    min_score: float | Mapping[str, float] | None = None,
) -> None:
    """Write one row for each window and label, in memory that does not depend on how many there are.

    Parameters
    ----------
    archive : Archive
    stream : binary file object
    format : str
        - "csv": file, start_s, end_s, time, label, score. Names that are not valid Unicode have escapes as in the
          column ``uri`` of the archive: most programs refuse a whole file for one such byte.
        - "jsonl": the same, an object per line, and for those names ``file_hex``, their bytes.
        - "parquet": the rows of ``Archive.tags``.
        - "raven": a selection table over all recordings as a sequence, tab separated; Begin Time counts from the start
          of the first recording, File Offset from the start of the row's own.
        - "audacity": a label track over all recordings, one behind the other as in "raven".
    labels, min_score
        As for ``Archive.tags``.

    Raises
    ------
    ConfigError
        An unknown format, or a label that the archive does not have.
    ArchiveError
        A table of the archive is damaged.
    """
    if format not in FORMATS:
        raise ConfigError(f"expected a format of {sorted(FORMATS)}, got {format!r}; choose one of them")
    tags = archive.tags(labels, min_score)
    if format == "parquet":
        _write_parquet(stream, tags)
    else:
        write_rows(_rows(archive, tags), stream, format)


def write_rows(rows: Iterable[TagRow], stream: BinaryIO, format: str) -> None:  # noqa: A002 - as above
    """Write rows in a text format of ``write_results``: "csv", "jsonl", "raven" or "audacity"."""
    ROW_FORMATS[format](rows, stream)


def _write_csv(rows: Iterable[TagRow], stream: BinaryIO) -> None:
    stream.write(_csv_line(_COLUMNS))
    for row in rows:
        start_s, end_s = _seconds(row.tag["start_s"]), _seconds(row.tag["end_s"])
        stream.write(_csv_line((row.tag["uri"], start_s, end_s, _time(row) or "", row.tag["label"], _score(row))))


def _write_json_lines(rows: Iterable[TagRow], stream: BinaryIO) -> None:
    for row in rows:
        values = (row.tag["uri"], row.tag["start_s"], row.tag["end_s"], _time(row), row.tag["label"], row.tag["score"])
        record = dict(zip(_COLUMNS, values, strict=True))
        if row.name != row.tag["uri"]:
            record["file_hex"] = row.name.encode("utf-8", "surrogateescape").hex()
        stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _write_parquet(stream: BinaryIO, tags: Iterator[Any]) -> None:
    with parquet().ParquetWriter(stream, tags_schema(), compression="zstd") as writer:
        for batch in tags:
            writer.write_batch(batch)


def _write_raven(rows: Iterable[TagRow], stream: BinaryIO) -> None:
    stream.write(_tabbed_line(_RAVEN_COLUMNS))
    for number, row in enumerate(rows, 1):
        start_s, end_s = row.tag["start_s"], row.tag["end_s"]
        begin, end = _seconds(row.begin_s + start_s), _seconds(row.begin_s + end_s)
        where = (str(number), "Spectrogram 1", "1", begin, end, "0", f"{row.sample_rate / 2:g}")
        what = (row.name, file_name(row.name), _seconds(start_s), row.tag["label"], _score(row))
        stream.write(_tabbed_line((*where, *what)))


def _write_audacity(rows: Iterable[TagRow], stream: BinaryIO) -> None:
    for row in rows:
        begin, end = (_seconds(row.begin_s + row.tag[side]) for side in ("start_s", "end_s"))
        stream.write(_tabbed_line((begin, end, row.tag["label"])))


def _rows(archive: Archive, tags: Iterator[Any]) -> Iterator[TagRow]:
    """Give the tags with their recordings: both come in the order of the recordings."""
    files = (file for batch in archive.files(_FILE_COLUMNS) for file in batch.to_pylist())
    file: dict[str, Any] = {"file_id": -1, "duration_s": 0.0}
    begin_s = 0.0
    for batch in tags:
        for tag in batch.to_pylist():
            while file["file_id"] != tag["file_id"]:
                begin_s += file["duration_s"] or 0.0
                file = next(files)
            yield TagRow(file["uri_bytes"].decode("utf-8", "surrogateescape"), begin_s, file["sample_rate"], tag)


def _seconds(time_s: float) -> str:
    return f"{time_s:.6f}"


def _score(row: TagRow) -> str:
    return f"{row.tag['score']:.6g}"


def _time(row: TagRow) -> str | None:
    time = row.tag["time"]
    return None if time is None else str(time.isoformat())


def _csv_line(values: Iterable[str]) -> bytes:
    text = io.StringIO(newline="")
    # A carriage return inside a name is quoted only where it is part of the line end, so that is taken off afterwards.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "surrogateescape")


def _tabbed_line(values: Iterable[str]) -> bytes:
    """Join values by tabs; Raven and Audacity know no way to keep a tab or the end of a line inside a value."""
    texts = (" ".join(re.split(r"[\t\r\n]", value)) for value in values)
    return ("\t".join(texts) + "\n").encode("utf-8", "surrogateescape")


ROW_FORMATS: dict[str, Callable[[Iterable[TagRow], BinaryIO], None]] = {
    "csv": _write_csv,
    "jsonl": _write_json_lines,
    "raven": _write_raven,
    "audacity": _write_audacity,
}
FORMATS = ("csv", "jsonl", "parquet", "raven", "audacity")

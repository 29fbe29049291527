"""The tables of an archive: what the columns mean, and writing them row by row in bounded memory."""

from __future__ import annotations

import contextlib
from array import array
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from engine.archive.arrow import parquet, pyarrow
from engine.archive.durable import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from engine.archive.settings import ArchiveSettings
    from engine.results import Window

# Rows that are held before they are written: a few megabytes for most models.
ROWS_HELD = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """What happened to one recording.

    Attributes
    ----------
    file_id : int
        Its number in the archive.
    uri : str
        Its name; bytes that are no Unicode are written as backslash escapes.
    uri_bytes : bytes
        The name exactly.
    size : int or None
        In bytes.
    sha256 : str or None
        Of its bytes; None where they could not be read.
    duration_s : float or None
    sample_rate, channels : int or None
        As the recording has them.
    n_windows : int
    peak : float or None
        Largest absolute sample.
    clipped, silent : float or None
        Share of the samples at full scale, and below -80 dBFS.
    recorded_at : datetime or None
        When the recording began, by the recorder's clock.
    utc_offset_min : int or None
        What that clock is ahead of UTC in minutes, where known.
    recorded_from : str or None
        Where the time was read: "guano", "bext", "audiomoth" or "name".
    warnings : str or None
        What the decoder found odd about a recording that it could read, separated by "; ".
    model_sha256 : str or None
        Of the model that heard it.
    error_stage, error_type, error : str or None
        Where and why there are no windows; None where all is well.
    done_at : datetime
        By the clock of the machine that did it, in UTC.
    wall_s : float
        What it took.
    """

    file_id: int
    uri: str
    uri_bytes: bytes
    done_at: datetime
    size: int | None = None
    sha256: str | None = None
    duration_s: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    n_windows: int = 0
    peak: float | None = None
    clipped: float | None = None
    silent: float | None = None
    recorded_at: datetime | None = None
    utc_offset_min: int | None = None
    recorded_from: str | None = None
    warnings: str | None = None
    model_sha256: str | None = None
    error_stage: str | None = None
    error_type: str | None = None
    error: str | None = None
    wall_s: float = 0.0


def file_schema(metadata: dict[str, str]) -> Any:
    """Return the schema of the table of files."""
    pa = pyarrow()
    types = {
        "file_id": pa.int64(),
        "uri": pa.string(),
        "uri_bytes": pa.binary(),
        "size": pa.int64(),
        "sha256": pa.string(),
        "duration_s": pa.float64(),
        "sample_rate": pa.int32(),
        "channels": pa.int32(),
        "n_windows": pa.int64(),
        "peak": pa.float32(),
        "clipped": pa.float32(),
        "silent": pa.float32(),
        "recorded_at": pa.timestamp("us"),
        "utc_offset_min": pa.int16(),
        "recorded_from": pa.string(),
        "warnings": pa.string(),
        "model_sha256": pa.string(),
        "error_stage": pa.string(),
        "error_type": pa.string(),
        "error": pa.string(),
        "done_at": pa.timestamp("us", "UTC"),
        "wall_s": pa.float64(),
    }
    return pa.schema([(field.name, types[field.name]) for field in fields(FileRow)], metadata=metadata)


def gathered_schema(metadata: dict[str, str]) -> Any:
    """Return the schema of the table of all files: ``duplicate_of`` is the first file with the same bytes, or null."""
    pa = pyarrow()
    return file_schema(metadata).append(pa.field("duplicate_of", pa.int64()))


def window_schema(settings: ArchiveSettings, metadata: dict[str, str]) -> Any:
    """Return the schema of the table of windows: one row per window, times in seconds from the recording's start."""
    pa = pyarrow()
    columns = [
        ("file_id", pa.int64()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("time", pa.timestamp("us")),
    ]
    if settings.labels:
        columns.append(("scores", pa.list_(pa.float32(), len(settings.labels))))
    if settings.embedding_size is not None:
        columns.append(("embedding", pa.list_(pa.float32(), settings.embedding_size)))
    return pa.schema(columns, metadata=metadata)


def write_files(path: Path, rows: list[FileRow], metadata: dict[str, str]) -> None:
    """Write a table of files."""
    pa = pyarrow()
    names = [field.name for field in fields(FileRow)]
    records = [{name: getattr(row, name) for name in names} for row in rows]
    table = pa.Table.from_pylist(records, schema=file_schema(metadata))
    with writing(path.parent):
        parquet().write_table(table, path, compression="zstd", write_page_checksum=True)


def read_files(path: Path) -> list[FileRow]:
    """Return the rows of a table of files."""
    return [FileRow(**record) for record in parquet().read_table(path).to_pylist()]


def with_duplicates(tables: Callable[[list[str] | None], Iterator[Any]]) -> Iterator[Any]:
    """Give each of several tables of files with its column ``duplicate_of``; what is held is some 40 bytes a file.

    ``tables`` is called twice, and gives them with the columns that are asked for, or with all for None.
    """
    ids, digests = array("q"), bytearray()
    for table in tables(["file_id", "sha256"]):
        hashed = table.drop_null()
        ids.extend(hashed["file_id"].to_pylist())
        digests += bytes.fromhex("".join(hashed["sha256"].to_pylist()))
    file_ids = np.array(ids, np.int64)
    _, first, group = np.unique(np.frombuffer(digests, "V32"), return_index=True, return_inverse=True)
    originals = file_ids[first][group]
    copies = originals != file_ids
    duplicate_of = dict(zip(file_ids[copies].tolist(), originals[copies].tolist(), strict=True))
    for table in tables(None):
        column = pyarrow().array(
            [duplicate_of.get(file_id) for file_id in table["file_id"].to_pylist()], pyarrow().int64()
        )
        yield table.append_column("duplicate_of", column)


class WindowWriter:
    """Writes a table of windows as they come.

    Parameters
    ----------
    path : Path
    settings : ArchiveSettings
    metadata : dict of str to str
        Kept with the schema.
    """

    def __init__(self, path: Path, settings: ArchiveSettings, metadata: dict[str, str]) -> None:
        self._schema = window_schema(settings, metadata)
        self._settings = settings
        self._path = path
        # Scores and embeddings hardly compress; byte-wise they do a little, at a price that nothing else has.
        with writing(path.parent):
            self._writer = parquet().ParquetWriter(
                path, self._schema, compression="zstd", use_dictionary=False, write_page_checksum=True
            )
        self._rows: list[tuple[int, Window, Any]] = []

    def add(self, file_id: int, window: Window, recorded_at: datetime | None) -> None:
        """Add a row."""
        time = (
            None
            if recorded_at is None
            else np.datetime64(recorded_at, "us") + np.timedelta64(round(window.start_s * 1e6), "us")
        )
        self._rows.append((file_id, window, time))
        if len(self._rows) == ROWS_HELD:
            self._flush()

    def copy(self, table: Any) -> None:
        """Add rows of an earlier table of windows with the same settings."""
        self._flush()
        with writing(self._path.parent):
            self._writer.write_table(table.replace_schema_metadata(self._schema.metadata))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error the file is thrown away; that its end cannot be written either would hide the error.
        with contextlib.suppress(OSError) if error else writing(self._path.parent):
            if error is None:
                self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        pa = pyarrow()
        rows, self._rows = self._rows, []
        times = np.array([np.datetime64("NaT") if time is None else time for _, _, time in rows], "datetime64[us]")
        columns = [
            pa.array([file_id for file_id, _, _ in rows], pa.int64()),
            pa.array([window.start_s for _, window, _ in rows], pa.float64()),
            pa.array([window.end_s for _, window, _ in rows], pa.float64()),
            pa.array(times),
        ]
        if self._settings.labels:
            columns.append(_fixed_lists([window.scores for _, window, _ in rows]))
        if self._settings.embedding_size is not None:
            columns.append(_fixed_lists([window.embedding for _, window, _ in rows]))
        with writing(self._path.parent):
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))


def _fixed_lists(vectors: list[Any]) -> Any:
    stacked = np.stack(vectors)
    return pyarrow().FixedSizeListArray.from_arrays(stacked.reshape(-1), stacked.shape[1])

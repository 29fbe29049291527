"""Lists of recordings: the column ``path`` of a CSV or Parquet file, read row by row."""

from __future__ import annotations

import csv
import io
import os
from typing import TYPE_CHECKING, Any

from engine.archive.arrow import parquet, pyarrow
from engine.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST_SUFFIXES = (".csv", ".parquet")
COLUMN = "path"


def read_list(file: Any, name: str) -> Iterator[str]:
    """Give the paths in a list, in its order.

    Parameters
    ----------
    file : binary file object
    name : str
        Of the list; its suffix says how it is read.

    Raises
    ------
    AudioError
        The list has no column ``path``, a row has nothing there, or it is damaged.
    """
    rows = _parquet_rows(file, name) if name.lower().endswith(".parquet") else _csv_rows(file, name)
    for number, path in enumerate(rows, 1):
        if not path or not isinstance(path, str):
            raise AudioError(f"expected a path in every row of {name!r}, got {path!r} in row {number}; correct it")
        yield path


def _csv_rows(file: Any, name: str) -> Iterator[Any]:
    # Names that are no Unicode come through as they do from the file system.
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        try:
            reader = csv.DictReader(text)
            _check_columns(reader.fieldnames or (), name)
            for row in reader:
                yield row[COLUMN]
        except csv.Error as error:
            raise AudioError(f"expected a CSV file, got {name!r}: {error}; repair it") from error


def _parquet_rows(file: Any, name: str) -> Iterator[Any]:
    try:
        table = parquet().ParquetFile(file)
        _check_columns(table.schema_arrow.names, name)
        for batch in table.iter_batches(columns=[COLUMN]):
            for path in batch.column(0).to_pylist():
                # Bytes hold names that are no Unicode.
                yield os.fsdecode(path) if isinstance(path, bytes) else path
    except pyarrow().ArrowException as error:
        raise AudioError(f"expected a Parquet file, got {name!r}: {error}; repair it") from error


def _check_columns(names: Any, name: str) -> None:
    if COLUMN not in names:
        raise AudioError(f"expected a column {COLUMN!r} in {name!r}, got {list(names)}; rename the one with the paths")

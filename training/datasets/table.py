"""Tables and file lists of published data sets, read strictly."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

    from training.datasets.record import Record


def read_table(path: Path, columns: Iterable[str], delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rows of a table with a header; a column that a row lacks is empty.

    Raises
    ------
    ConfigError
        When the file is missing, lacks one of ``columns``, or has a row longer than its header.
    """
    needed = set(columns)
    with _opened(path) as file:
        reader = csv.DictReader(file, delimiter=delimiter, restval="")
        got = reader.fieldnames or []
        if not needed <= set(got):
            raise ConfigError(f"expected the columns {sorted(needed)} in {path}, got {list(got)}; download it again")
        rows: list[dict[str, str]] = []
        for row in reader:
            # Trailing separators make cells beyond the header; only text in them is a mistake.
            beyond: object = row.pop(None, [])
            if any(beyond if isinstance(beyond, list) else ()):
                raise ConfigError(
                    f"expected {len(got)} cells in line {reader.line_num} of {path}, got more: {beyond}; "
                    "download it again"
                )
            rows.append(row)
    return rows


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file without surrounding spaces, empty ones left out."""
    with _opened(path) as file:
        return [line.strip() for line in file if line.strip()]


def number(text: str, where: Path) -> float:
    """Return a cell's number; ConfigError, which names the table, when it holds none."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"expected a number in {where}, got {text!r}; download it again") from None


def on_disk(root: Path, records: Iterable[Record]) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Return the records whose file is there, and the names, relative to ``root``, of the files that are not."""
    there, missing = [], []
    for record in records:
        if record.path.is_file():
            there.append(record)
        else:
            missing.append(record.path.relative_to(root).as_posix())
    return tuple(there), tuple(missing)


def _opened(path: Path) -> TextIO:
    try:
        return path.open(newline="", encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"expected the file {path.name} in {path.parent}, got none; point at the folder of the data set, or "
            "download it again"
        ) from None

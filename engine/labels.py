"""The labels of a model out of a text file, in the order of its scores."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    import os

NAME_COLUMNS = ("display_name", "label", "name")
INDEX_COLUMN = "index"


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the labels in a file.

    Parameters
    ----------
    path : path
        A CSV file with a header, whose column ``display_name`` (AudioSet's ``class_labels_indices.csv``, YAMNet's
        ``yamnet_class_map.csv``), ``label`` or ``name`` holds the labels; a column ``index``, where there is one, must
        count the rows from 0. Or a text file with one label per line.

    Raises
    ------
    ConfigError
        The file cannot be read, has no labels, an empty or a repeated one, or its rows are out of order.
    """
    try:
        # Spreadsheets put a byte order mark in front.
        lines = Path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a text file of labels, cannot read {str(path)!r} ({error}); name another"
        ) from error
    rows = list(csv.reader(lines, skipinitialspace=True))
    column = next((rows[0].index(name) for name in NAME_COLUMNS if rows and name in rows[0]), None)
    if column is not None:
        labels = _of_table(str(path), rows, column)
    elif lines and all(len(row) == len(rows[0]) > 1 for row in rows):
        raise ConfigError(
            f"expected a column {', '.join(NAME_COLUMNS)} in {str(path)!r}, got a table that begins with "
            f"{lines[0]!r}; name the column of the labels in a first line"
        )
    else:
        labels = tuple(line.strip() for line in lines)
    if not labels or "" in labels:
        raise ConfigError(f"expected a label in each line of {str(path)!r}, got an empty one; correct the file")
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(
            f"expected labels that differ from each other in {str(path)!r}, got {repeated} more than once; rename them"
        )
    return labels


def _of_table(path: str, rows: list[list[str]], column: int) -> tuple[str, ...]:
    header, body = rows[0], rows[1:]
    if short := [number for number, row in enumerate(body, 2) if len(row) != len(header)]:
        raise ConfigError(
            f"expected {len(header)} columns in each line of {path!r}, got another number in line {short[0]}; quote "
            "labels with commas"
        )
    if INDEX_COLUMN in header:
        indices = [row[header.index(INDEX_COLUMN)] for row in body]
        if indices != [str(number) for number in range(len(body))]:
            raise ConfigError(
                f"expected the column 'index' of {path!r} to count from 0, got another order; sort the rows"
            )
    return tuple(row[column].strip() for row in body)

"""Labelled clips out of folders and tables: which file has which labels, and from which recording it was cut."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import AudioError, TeachError
from engine.scan import find_audio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEPARATOR = ";"
NO_LABEL = "-"
RECORDING_COLUMNS = ("recording", "source")
# A clip's place in its recording as cutters write it: from and to in seconds with a point, or a word and a number.
CUT = re.compile(
    r"[ _-]+(?:\d+\.\d+s?[ _-]+\d+\.\d+s?|(?:part|cut|clip|chunk|segment|seg|window|take)[ _-]?\d+)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Example:
    """A clip that somebody labelled.

    Attributes
    ----------
    path : Path
    labels : tuple of str
        Sorted; empty for a clip in which none of the taught sounds is heard.
    recording : str or None
        The name of the recording that it was cut from: clips of one are never on both sides of a fold. None where
        nobody said.
    name : str
        How the card calls the file: its path below the folder or table that it came from.
    """

    path: Path
    labels: tuple[str, ...]
    recording: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be used.

    Attributes
    ----------
    path : str
    reason : str
        One sentence.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """What folders and tables hold.

    Attributes
    ----------
    examples : tuple of Example
    failures : tuple of Failure
        Audio files that no label can be read for.
    n_unlabelled : int
        Rows of tables whose label is still to be filled in.
    """

    examples: tuple[Example, ...]
    failures: tuple[Failure, ...] = ()
    n_unlabelled: int = 0


def read_examples(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Example], pattern: str | None = None
) -> Lesson:
    """Read labelled clips.

    Parameters
    ----------
    sources : path, or iterable of paths and Examples
        A folder whose folders are named as the labels (deeper folders count to the first one), or a CSV table with the
        columns ``file`` (relative to the table) and ``label`` (several with ``;`` between them, ``-`` for none of the
        sounds, empty for not labelled yet) and, where known, ``recording`` or ``source``. Several are put together.
    pattern : str, optional
        See ``Settings.recording``.

    Raises
    ------
    TeachError
        There is nothing labelled, a folder of a label is empty, a table cannot be read, or a file is labelled in two
        ways.
    """
    single = isinstance(sources, str | os.PathLike)
    given = [sources] if single else list(sources)  # type: ignore[arg-type]
    examples: list[Example] = []
    failures: list[Failure] = []
    n_unlabelled = 0
    for source in given:
        if isinstance(source, Example):
            examples.append(_complete(source, pattern))
            continue
        path = Path(source)  # type: ignore[arg-type]
        found = _of_folder(path, pattern) if path.is_dir() else _of_table(path, pattern)
        examples += found.examples
        failures += found.failures
        n_unlabelled += found.n_unlabelled
    if not examples:
        waiting = f", and {n_unlabelled} rows without a label" if n_unlabelled else ""
        raise TeachError(
            f"expected labelled clips in {', '.join(map(str, given)) or 'the examples'}, got none{waiting}; put them "
            "into folders named as their labels, or write a CSV table with the columns file and label"
        )
    return Lesson(_without_repeats(examples), tuple(failures), n_unlabelled)


def recording_of(path: Path, pattern: str | None) -> str | None:
    """Return the recording that a file's name says, None where it says none.

    A pattern's group decides. Without a pattern a name that ends in a clip's place ("night_12.50_17.50", "night part
    3") is of the recording before it; a bare number at the end says nothing, as dog_1 and dog_2 may be two dogs.
    """
    if pattern is not None:
        found = re.search(pattern, path.name)
        return None if found is None else found[1]
    recording = CUT.sub("", path.stem)
    return None if recording == path.stem or not recording else recording


def _complete(example: Example, pattern: str | None) -> Example:
    labels = tuple(sorted({label.strip() for label in example.labels}))
    path = Path(example.path)
    if "" in labels or NO_LABEL in labels:
        raise TeachError(f"expected labels that are words, got {example.labels!r} for {str(path)!r}; correct them")
    recording = example.recording or recording_of(path, pattern)
    return Example(path, labels, recording, example.name or path.name)


def _of_folder(folder: Path, pattern: str | None) -> Lesson:
    examples, failures = [], []
    try:
        found = list(find_audio([folder]))
    except AudioError as error:
        raise TeachError(
            f"expected folders of labelled clips in {str(folder)!r}, got no audio: {error}; name another folder"
        ) from error
    for path in found:
        below = path.relative_to(folder)
        if len(below.parts) == 1:
            reason = "expected a clip inside a folder named as its label, got it beside those folders; move it into one"
            failures.append(Failure(str(path), reason))
            continue
        examples.append(Example(path, (below.parts[0],), recording_of(path, pattern), below.as_posix()))
    given = {example.labels[0] for example in examples}
    folders = (entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if empty := sorted(set(folders) - given):
        raise TeachError(
            f"expected clips of each label, got none in the folder {empty[0]!r} of {str(folder)!r}; add some or remove "
            "the folder"
        )
    return Lesson(tuple(examples), tuple(failures))


def _of_table(table: Path, pattern: str | None) -> Lesson:
    rows = _rows(table)
    if not rows or not {"file", "label"} <= set(rows[0]):
        columns = list(rows[0]) if rows else "no rows"
        raise TeachError(f"expected the columns file and label in {str(table)!r}, got {columns}; add them")
    column = next((name for name in RECORDING_COLUMNS if name in rows[0]), None)
    examples = []
    for number, row in enumerate(rows, 2):
        name, written = row["file"].strip(), row["label"].strip()
        if not name:
            raise TeachError(f"expected a file in each row of {str(table)!r}, got none in row {number}; fill it in")
        if not written:
            continue
        labels = () if written == NO_LABEL else tuple(sorted({label.strip() for label in written.split(SEPARATOR)}))
        if "" in labels or NO_LABEL in labels:
            raise TeachError(
                f"expected labels with {SEPARATOR!r} between them, or {NO_LABEL!r} alone, in row {number} of "
                f"{str(table)!r}, got {written!r}; correct it"
            )
        path = table.parent / name
        stated = row[column].strip() if column else ""
        examples.append(Example(path, labels, stated or recording_of(path, pattern), name))
    return Lesson(tuple(examples), (), len(rows) - len(examples))


def _rows(table: Path) -> list[Mapping[str, str]]:
    try:
        # Spreadsheets put a byte order mark in front.
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TeachError(
            f"expected a folder of labelled clips or a CSV table, cannot read {str(table)!r} ({error}); name another"
        ) from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise TeachError(
                f"expected as many cells as columns in each row of {str(table)!r}, got another number in row {number}; "
                "quote cells with commas"
            )
    return rows  # type: ignore[return-value]


def _without_repeats(examples: Iterable[Example]) -> tuple[Example, ...]:
    """Return each file once; one that is labelled in two ways is a TeachError."""
    seen: dict[str, Example] = {}
    for example in examples:
        known = seen.setdefault(os.path.realpath(example.path), example)
        if known.labels != example.labels:
            raise TeachError(
                f"expected one row with all labels of a file, got {str(example.path)!r} as {spoken(known.labels)} and "
                f"as {spoken(example.labels)}; keep the right one, or write several labels as "
                f"{SEPARATOR.join(sorted({*known.labels, *example.labels}))!r}"
            )
    return tuple(seen.values())


def spoken(labels: tuple[str, ...]) -> str:
    """Return labels as a table writes them, in quotes."""
    return repr(SEPARATOR.join(labels) or NO_LABEL)

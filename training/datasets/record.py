"""What every loader returns: a data set of small values, one per recording, and no audio."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Record:
    """One recording.

    Attributes
    ----------
    path : Path
        The audio file.
    labels : tuple of str
        What is known to be in it, in the order of the data set's labels.
    observed : frozenset of str, optional
        The labels whose presence or absence is known. None: all of them; empty: an unlabelled recording.
    fold : int, optional
        The publisher's cross-validation fold; no source is in two of them.
    split : str, optional
        The publisher's part: "train", "validation", "test", "unlabelled" or what the data set's card says.
    source : str
        What the clip was cut from: recording, speaker, sensor. Clips of one source belong to the same side of every
        split.
    duration_s : float, optional
        As metadata, file name or audio header say it; None where none of them does.
    """

    path: Path
    labels: tuple[str, ...]
    observed: frozenset[str] | None = None
    fold: int | None = None
    split: str | None = None
    source: str = ""
    duration_s: float | None = None

    @property
    def label(self) -> str:
        """The only label; ConfigError when there are none or several."""
        if len(self.labels) != 1:
            raise ConfigError(f"expected one label for {self.path.name}, got {list(self.labels)}; read .labels instead")
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class DataSet:
    """The recordings of a published data set that are on disk, and the names of those that are not.

    Attributes
    ----------
    name : str
    labels : tuple of str
        In the published or in alphabetical order: the columns of ``targets`` and ``mask``.
    records : tuple of Record
    missing : tuple of str
        Files that the metadata lists and the disk lacks, relative to the root; those of the whole data set, also
        after ``select``.
    dropped : tuple of str
        Files that are there and that a rule of the data set leaves out; its card says which.
    """

    name: str
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    missing: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse labels that the data set does not have: they would be lost in the targets."""
        known = frozenset(self.labels)
        if len(known) != len(self.labels):
            raise ConfigError(f"expected each label of {self.name} once, got {list(self.labels)}; name them apart")
        for record in self.records:
            if unknown := sorted((frozenset(record.labels) | (record.observed or frozenset())) - known):
                raise ConfigError(
                    f"expected labels of {self.name} for {record.path.name}, got {unknown}; download its metadata again"
                )

    def __len__(self) -> int:
        """Return the number of recordings that are there."""
        return len(self.records)

    def targets(self) -> NDArray[np.uint8]:
        """Return 1 where a label is known to be present, else 0, shape (n_records, n_labels)."""
        column = {label: i for i, label in enumerate(self.labels)}
        made = np.zeros((len(self.records), len(self.labels)), np.uint8)
        for row, record in zip(made, self.records, strict=True):
            row[[column[label] for label in record.labels]] = 1
        return made

    def mask(self) -> NDArray[np.bool_]:
        """Return True where presence or absence is known, shape (n_records, n_labels)."""
        column = {label: i for i, label in enumerate(self.labels)}
        made = np.ones((len(self.records), len(self.labels)), np.bool_)
        for row, record in zip(made, self.records, strict=True):
            if record.observed is not None:
                row[:] = False
                row[[column[label] for label in record.observed]] = True
        return made

    def select(self, *, split: str | None = None, fold: int | None = None) -> DataSet:
        """Return the recordings of one split, of one fold, or of both; ConfigError when there are none."""
        chosen = tuple(
            record
            for record in self.records
            if (split is None or record.split == split) and (fold is None or record.fold == fold)
        )
        if not chosen:
            there = sorted({(str(record.split), str(record.fold)) for record in self.records})
            raise ConfigError(
                f"expected recordings of {self.name} with split={split!r} and fold={fold!r}, got none; "
                f"(split, fold) that are there: {there}"
            )
        return replace(self, records=chosen)

    def complete(self) -> DataSet:
        """Return the data set itself; ConfigError when files are missing."""
        if self.missing:
            raise ConfigError(
                f"expected {len(self.records) + len(self.dropped) + len(self.missing)} audio files of {self.name}, "
                f"{len(self.missing)} are missing, among them {self.missing[0]}; download the data set again"
            )
        return self

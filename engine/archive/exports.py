"""Tables for other programs beside the shards they are made of: which, when, and under what names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.archive.durable import writing
from engine.archive.formats import FORMATS, write_results
from engine.archive.read import Archive
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from engine.archive.store import Store

NAMES = {
    "csv": "results.csv",
    "jsonl": "results.jsonl",
    "parquet": "results.parquet",
    "raven": "results.selections.txt",
    "audacity": "results.labels.txt",
}


def check_formats(
    formats: Collection[str], threshold: float | Mapping[str, float] | None, labels: Collection[str]
) -> None:
    """Raise a ConfigError, before hours of work, for formats that cannot be written after it.

    Parameters
    ----------
    formats : collection of str
    threshold : float, Mapping from label to float or None
    labels : collection of str
        Of the archive.
    """
    if isinstance(formats, str):
        raise ConfigError(f"expected a list of formats, got {formats!r}; write [{formats!r}]")
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ConfigError(f"expected formats of {list(FORMATS)}, got {unknown}; choose some of them")
    if threshold is not None and not formats:
        raise ConfigError(
            "expected formats for a threshold, got none; the shards hold every score, and thresholds apply when they "
            "are read"
        )
    if formats and not labels:
        raise ConfigError(f"expected tags for the formats {list(formats)}, got embeddings only; add the product tags")
    wrong = [] if threshold is None or isinstance(threshold, int | float) else sorted(set(threshold) - set(labels))
    if wrong:
        raise ConfigError(f"expected thresholds for labels of the model, got {wrong}; it has {list(labels)}")


def write_exports(store: Store, formats: Collection[str], threshold: float | Mapping[str, float] | None) -> None:
    """Write the rows of a finished archive from ``threshold`` in each format, whole or not at all.

    Raises
    ------
    ArchiveError
        They cannot be written.
    """
    archive = Archive(store.folder, store.settings)
    for name in formats:
        with store.place.replaced(NAMES[name]) as path, path.open("wb") as file:
            write_results(archive, file, name, min_score=threshold)


def remove_exports(store: Store) -> None:
    """Remove what was written from fewer or other shards than there will be."""
    with writing(store.folder):
        for name in NAMES.values():
            store.place.remove(name)

"""Reading an archive back: tables as they were written, and labels with their scores, in bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.arrow import parquet, pyarrow
from engine.archive.place import out_of
from engine.archive.store import Store
from engine.archive.tables import file_schema, window_schema
from engine.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from engine.archive.settings import ArchiveSettings

# Windows at a time: some megabytes of scores.
_BATCH_ROWS = 4096


def open_archive(folder: str | os.PathLike[str]) -> Archive:
    """Open an archive, a folder or a URL, for reading, also one that is not finished.

    Raises
    ------
    ConfigError
        There is no archive, or pyarrow is missing.
    """
    store, _ = Store.open(out_of(folder))
    return Archive(store.folder, store.settings)


def tags_schema() -> Any:
    """Return the schema of the batches that ``Archive.tags`` gives."""
    pa = pyarrow()
    names = {"file_id": pa.int64(), "uri": pa.string(), "start_s": pa.float64(), "end_s": pa.float64()}
    return pa.schema([*(names | {"time": pa.timestamp("us"), "label": pa.string(), "score": pa.float32()}).items()])


class Archive:
    """What a run has written; made by ``open_archive``.

    Attributes
    ----------
    folder : Path or str
    settings : ArchiveSettings
        The model, and how it was applied.
    labels : tuple of str
        Of the scores, in their order; empty where tags are not a product.
    """

    def __init__(self, folder: Path | str, settings: ArchiveSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.labels = settings.labels
        self._store = Store(folder, settings)
        self._window_schema = window_schema(settings, {})

    def files(self, columns: Collection[str] | None = None) -> Iterator[Any]:
        """Give the recordings of the shards that are done, a pyarrow record batch at a time.

        Parameters
        ----------
        columns : collection of str, optional
            All by default.

        Raises
        ------
        ArchiveError
            A table is damaged.
        """
        for index in self._store.written():
            yield from self._batches(self._store.reading_files(index), file_schema({}), columns)

    def failures(self) -> Iterator[dict[str, Any]]:
        """Give the rows of ``files`` that have an error: recordings that could not be used, or not to their end."""
        for batch in self.files():
            yield from batch.filter(pyarrow().compute.is_valid(batch["error"])).to_pylist()

    def windows(self, columns: Collection[str] | None = None) -> Iterator[Any]:
        """Give the windows in the order of the recordings, a pyarrow record batch at a time.

        Parameters
        ----------
        columns : collection of str, optional
            Of file_id, start_s, end_s, time, scores and embedding; all that there are by default.

        Raises
        ------
        ArchiveError
            A table is damaged.
        """
        for index in self._store.written():
            yield from self._batches(self._store.reading_windows(index), self._window_schema, columns)

    def tags(
        self, labels: Collection[str] | None = None, min_score: float | Mapping[str, float] | None = None
    ) -> Iterator[Any]:
        """Give one row for each window and label, window by window, a pyarrow record batch at a time.

        Parameters
        ----------
        labels : collection of str, optional
            All by default; rows of a window come in the order of the model's labels.
        min_score : float or Mapping from label to float, optional
            The score from which a row is given, for all labels or for each; labels that a mapping lacks are not given.

        Returns
        -------
        iterator of pyarrow.RecordBatch
            file_id, uri, start_s, end_s (seconds from the recording's start), time (timestamp or null), label, score.

        Raises
        ------
        ConfigError
            A label that the archive does not have.
        ArchiveError
            A table is damaged.
        """
        return self._all_tags(self.chosen(labels, min_score))

    def _all_tags(self, chosen: dict[str, float]) -> Iterator[Any]:
        columns = ("file_id", "start_s", "end_s", "time", "scores")
        for index in self._store.written():
            names = self._names(index)
            for batch in self._batches(self._store.reading_windows(index), self._window_schema, columns):
                yield from self._tags(batch, chosen, names)

    def _tags(self, batch: Any, chosen: dict[str, float], names: Mapping[int, str]) -> Iterator[Any]:
        pa = pyarrow()
        columns = [self.labels.index(label) for label in self.labels if label in chosen]
        least = np.array([chosen[self.labels[column]] for column in columns])
        scores = np.asarray(batch["scores"].flatten()).reshape(len(batch), len(self.labels))[:, columns]
        rows, places = np.nonzero(scores >= least)
        if not len(rows):
            return
        taken = batch.take(pa.array(rows))
        label_of = pa.array([self.labels[column] for column in columns])
        uris = pa.array([names[file_id] for file_id in taken["file_id"].to_pylist()], pa.string())
        windows = [taken[name] for name in ("start_s", "end_s", "time")]
        columns_of = [taken["file_id"], uris, *windows, label_of.take(pa.array(places)), pa.array(scores[rows, places])]
        yield pa.record_batch(columns_of, schema=tags_schema())

    def chosen(self, labels: Collection[str] | None, min_score: float | Mapping[str, float] | None) -> dict[str, float]:
        """Return the labels that ``tags`` gives for its parameters, each with the score from which; as it raises."""
        if not self.labels:
            raise ConfigError(f"expected an archive with tags, {self.folder} has embeddings only; run it with tags")
        if isinstance(labels, str):
            raise ConfigError(f"expected a list of labels, got {labels!r}; write [{labels!r}]")
        if min_score is None or isinstance(min_score, int | float):
            least = dict.fromkeys(self.labels, -np.inf if min_score is None else float(min_score))
        else:
            least = dict(min_score)
        unknown = sorted({*(labels or ()), *least} - set(self.labels))
        if unknown:
            raise ConfigError(f"expected labels of {self.folder}, got {unknown}; it has {list(self.labels)}")
        return {label: score for label, score in least.items() if labels is None or label in labels}

    def _names(self, index: int) -> dict[int, str]:
        batches = self._batches(self._store.reading_files(index), file_schema({}), ("file_id", "uri"))
        return {row["file_id"]: row["uri"] for batch in batches for row in batch.to_pylist()}

    def _batches(
        self, reading: AbstractContextManager[Path], schema: Any, columns: Collection[str] | None
    ) -> Iterator[Any]:
        with reading as path:
            yield from self._batches_of(path, schema, columns)

    def _batches_of(self, path: Path, schema: Any, columns: Collection[str] | None) -> Iterator[Any]:
        damaged = f"expected an intact table of this archive at {path}, got"
        remedy = "run again with --resume, which writes it anew"
        try:
            with parquet().ParquetFile(path, page_checksum_verification=True) as file:
                settings = (file.schema_arrow.metadata or {}).get(b"engine.settings", b"{}")
                if json.loads(settings) != self.settings.to_dict():
                    raise ArchiveError(f"{damaged} one of other settings; {remedy}")
                # What stands at the end of a Parquet file has no checksum.
                if not file.schema_arrow.equals(schema):
                    raise ArchiveError(f"{damaged} one with other columns; {remedy}")
                names = file.schema_arrow.names if columns is None else list(columns)
                unknown = sorted(set(names) - set(file.schema_arrow.names))
                if unknown:
                    raise ConfigError(
                        f"expected columns among {file.schema_arrow.names}, got {unknown}; leave them out"
                    )
                n_rows = 0
                for batch in file.iter_batches(_BATCH_ROWS, columns=names):
                    batch.validate()
                    n_rows += len(batch)
                    yield batch
                # The header of a page has no checksum either, and may say that there is nothing in it.
                if n_rows != file.metadata.num_rows:
                    raise ArchiveError(f"{damaged} {n_rows} of {file.metadata.num_rows} rows; {remedy}")
        except (OSError, ValueError, pyarrow().ArrowException) as error:
            if isinstance(error, ConfigError):
                raise
            raise ArchiveError(f"{damaged} {' '.join(str(error).split())}; {remedy}") from error

"""The embeddings of an archive as an index: gathered once from its tables, and again when those change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.arrow import pyarrow
from engine.archive.durable import writing
from engine.archive.read import open_archive
from engine.archive.store import Store, manifest_path
from engine.errors import ConfigError
from engine.index.items import schema
from engine.index.layout import HEADER, Header, locked, read_header, write_version
from engine.index.query import unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.archive.settings import ArchiveSettings

INSIDE = "index"


def gathered(folder: Path) -> Path:
    """Return the folder of the index: ``folder``, or the one inside it that holds the vectors of an archive.

    Raises
    ------
    ConfigError
        The archive has no embeddings, or another process gathers them.
    ArchiveError
        A table is damaged, or the vectors cannot be written.
    """
    if (folder / HEADER).exists() or not manifest_path(folder).exists():
        return folder
    store, _ = Store.open(folder)
    settings = store.settings
    if settings.embedding_size is None:
        raise ConfigError(f"expected an archive with embeddings, {folder} has tags only; run it with --products index")
    inside = folder / INSIDE
    present = _fingerprint(store)
    if (inside / HEADER).exists() and read_header(inside).source == present:
        return inside
    with writing(folder):
        inside.mkdir(exist_ok=True)
    with locked(inside):
        before = read_header(inside) if (inside / HEADER).exists() else _header(settings)
        items = pyarrow().concat_tables([schema().empty_table(), *_items(folder)])
        write_version(inside, replace(before, source=present), _vectors(folder), items)
    return inside


def _header(settings: ArchiveSettings) -> Header:
    assert settings.embedding_size is not None
    return Header(
        model=settings.model,
        model_sha256=settings.model_sha256,
        card_sha256=settings.card_sha256,
        frontend_sha256="",
        size=settings.embedding_size,
        metric="cosine",
        window_s=settings.window / settings.sample_rate,
        hop_s=settings.hop / settings.sample_rate,
    )


def _items(folder: Path) -> Iterator[Any]:
    pa, archive = pyarrow(), open_archive(folder)
    columns = ("file_id", "uri", "duration_s", "size", "sha256")
    batches = [pa.Table.from_batches([batch]) for batch in archive.files(columns)]
    files = pa.concat_tables(batches).combine_chunks() if batches else None
    for batch in archive.windows(("file_id", "start_s", "end_s")):
        assert files is not None
        of = files.take(pa.compute.index_in(batch["file_id"], value_set=files["file_id"].combine_chunks()))
        n = len(batch)
        values = {
            "path": of["uri"],
            "start_s": batch["start_s"],
            "end_s": batch["end_s"],
            "recording_id": batch["file_id"],
            "duration_s": of["duration_s"],
            "tags": pa.array([[]], pa.list_(pa.string())).take(pa.array(np.zeros(n, np.int64))),
            "size": of["size"],
            "mtime_ns": pa.nulls(n, pa.int64()),
            "sha256": of["sha256"],
        }
        yield pa.table(values).cast(schema())


def _vectors(folder: Path) -> Iterator[NDArray[np.float32]]:
    archive = open_archive(folder)
    for batch in archive.windows(("embedding",)):
        flat = np.asarray(batch["embedding"].flatten(), np.float32)
        yield unit(flat.reshape(len(batch), -1))


def _fingerprint(store: Store) -> str:
    tables = []
    for index in store.written():
        for path in (store.windows_path(index), store.files_path(index)):
            status = path.stat()
            tables.append((path.name, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(tables).encode()).hexdigest()

"""An index as a table of LanceDB, for many readers and writers on several machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.arrow import pyarrow
from engine.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.index.contents import Contents

TABLE = "items"
_BATCH = 16_384


def to_lancedb(index: Contents, uri: str, *, overwrite: bool = False, table: str = TABLE) -> int:
    """Write the items with their vectors (column ``vector``) as a table, and return the number of its rows.

    LanceDB commits a table in one step: after a crash it is not there, or as it was before.

    Parameters
    ----------
    index : Contents
    uri : str
        A folder, or what LanceDB takes: ``s3://bucket/path``, ``gs://`` ...
    overwrite : bool
        Whether a table of that name may be replaced.
    table : str

    Raises
    ------
    ConfigError
        lancedb is missing, or the table exists.
    ArchiveError
        It cannot be written.
    """
    pa, lancedb = pyarrow(), _lancedb()
    schema = index.items.schema.append(pa.field("vector", pa.list_(pa.float32(), index.header.size)))
    schema = schema.with_metadata(
        {"engine.model": index.header.model, "engine.model_sha256": index.header.model_sha256}
        | {"engine.metric": index.header.metric}
    )
    try:
        mode = "overwrite" if overwrite else "create"
        made = lancedb.connect(uri).create_table(table, _batches(index, schema), schema=schema, mode=mode)
        n_rows: int = made.count_rows()
    except (OSError, ValueError, RuntimeError) as error:
        if "already exists" in str(error):
            raise ConfigError(
                f"expected no table {table!r} at {uri}, got one; choose another or add --overwrite"
            ) from error
        raise ArchiveError(f"expected to write {uri}, got {' '.join(str(error).split())[:300]}; check it") from error
    return n_rows


def _batches(index: Contents, schema: Any) -> Iterator[Any]:
    pa, items = pyarrow(), index.items
    for start in range(0, len(items), _BATCH):
        part = items.slice(start, _BATCH).combine_chunks()
        flat = np.array(index.vectors[start : start + _BATCH]).reshape(-1)
        columns = [part[name].combine_chunks() for name in items.column_names]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat), index.header.size)
        yield pa.record_batch([*columns, vectors], schema=schema)


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise ConfigError("expected the package lancedb, which the export needs; pip install lancedb") from error
    return lancedb

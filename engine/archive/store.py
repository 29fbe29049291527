"""The folder of an archive: where everything lies, what is done, and who may write.

OUT/manifest.jsonl            the plan
OUT/windows/000000.parquet    windows of shard 0; there when the shard is done, and not before
OUT/files/000000.parquet      recordings of shard 0
OUT/parts/000000-000.parquet  windows of a part of a long recording, until they are joined; .json: what is known of it
OUT/files.parquet             all recordings, gathered from the shards
OUT/failed.jsonl              those that could not be used
OUT/lock                      held by the run that writes
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.archive.arrow import parquet, pyarrow
from engine.archive.durable import writing
from engine.archive.place import Folder, place_of
from engine.archive.plan import MANIFEST, open_plan
from engine.archive.tables import file_schema, gathered_schema, read_files, with_duplicates, write_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from engine.archive.plan import Plan, Shard
    from engine.archive.settings import ArchiveSettings
    from engine.archive.tables import FileRow

LOCK = "lock"
# The folders of tables: one of each for every shard, under the same name.
WINDOWS, FILES = TABLE_FOLDERS = ("windows", "files")
PARTS = "parts"
SHARD_KEY, SETTINGS_KEY, WINDOWS_KEY = "engine.shard", "engine.settings", "engine.windows_sha256"
SIZE_KEY = "engine.windows_bytes"
# Rows of windows in memory at a time: some megabytes.
ROWS_COPIED = 4096


class Store:
    """What one archive has written.

    Parameters
    ----------
    folder : Path or str
        A folder, or the URL of a prefix in an object store.
    settings : ArchiveSettings

    Attributes
    ----------
    place : Place
        The same, for reading and writing.
    """

    def __init__(self, folder: Path | str, settings: ArchiveSettings) -> None:
        self.folder = folder
        self.place = place_of(folder)
        self.settings = settings

    @classmethod
    def open(cls, folder: Path | str) -> tuple[Store, Plan]:
        """Return the archive in a folder and its plan; a ConfigError where there is none."""
        plan = open_plan(place_of(folder))
        return cls(folder, plan.settings), plan

    def windows_path(self, index: int) -> Path:
        """Return where the windows of a shard lie, in a folder."""
        return Path(self.folder) / _table(WINDOWS, index)

    def files_path(self, index: int) -> Path:
        """Return where the recordings of a shard lie, in a folder."""
        return Path(self.folder) / _table(FILES, index)

    def reading_windows(self, index: int) -> AbstractContextManager[Path]:
        """Give the windows of a shard under a path of this machine."""
        return self.place.reading(_table(WINDOWS, index))

    def reading_files(self, index: int) -> AbstractContextManager[Path]:
        """Give the recordings of a shard under a path of this machine."""
        return self.place.reading(_table(FILES, index))

    def written(self) -> list[int]:
        """Return the shards that have both tables, in order; whether they are intact is not looked at."""
        windows, files = (
            {
                int(path.stem)
                for name in self.place.names(folder)
                if (path := Path(name)).stem.isdigit() and path.suffix == ".parquet"
            }
            for folder in TABLE_FOLDERS
        )
        return sorted(windows & files)

    def metadata(self, shard: Shard) -> dict[str, str]:
        """Return what the tables of a shard say about themselves."""
        return {SHARD_KEY: shard.fingerprint(self.settings), SETTINGS_KEY: json.dumps(self.settings.to_dict())}

    @contextlib.contextmanager
    def replaced(self, shard: Shard) -> Iterator[tuple[Path, list[FileRow]]]:
        """Give the path to write the windows of a shard to, and a list for its rows; the shard is done at the end.

        The table of files holds the hash of the windows and takes its name first: two that do not belong together, as
        a crash between the two leaves them, are told by it.
        """
        rows: list[FileRow] = []
        names = (_table(FILES, shard.index), _table(WINDOWS, shard.index))
        with self.place.replaced_together(*names) as (files, windows):
            yield windows, rows
            facts = {WINDOWS_KEY: _sha256_of(windows), SIZE_KEY: str(windows.stat().st_size)}
            write_files(files, rows, self.metadata(shard) | facts)

    @contextlib.contextmanager
    def replaced_part(self, shard: Shard, part: int) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Give the path to write the windows of a part of a shard to, and a dict for what is known of it."""
        facts: dict[str, Any] = {}
        with writing(self.folder):
            self.place.prepare(PARTS)
        with self.place.replaced(_part(shard.index, part, "parquet")) as windows:
            yield windows, facts
            facts |= {"shard": self._part_fingerprint(shard, part), "windows": _sha256_of(windows)}
            with self.place.replaced(_part(shard.index, part, "json")) as path:
                path.write_text(json.dumps(facts), encoding="ascii")

    def part(self, shard: Shard, part: int) -> dict[str, Any] | None:
        """Return what is known of a part that is done, None where it is not, or is not intact."""
        try:
            with self.place.reading(_part(shard.index, part, "json")) as path:
                facts: dict[str, Any] = json.loads(path.read_bytes())
            with self.place.reading(_part(shard.index, part, "parquet")) as path:
                intact = facts["windows"] == _sha256_of(path)
            return facts if intact and facts["shard"] == self._part_fingerprint(shard, part) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def windows_of_part(self, shard: Shard, part: int) -> Iterator[Any]:
        """Give the windows of a part that is done, a table of some rows at a time."""
        with (
            self.place.reading(_part(shard.index, part, "parquet")) as path,
            parquet().ParquetFile(path, page_checksum_verification=True) as file,
        ):
            for batch in file.iter_batches(ROWS_COPIED):
                yield pyarrow().Table.from_batches([batch])

    def remove_parts(self, index: int | None = None) -> None:
        """Remove the parts of a shard, or of all."""
        prefix = "" if index is None else f"{index:06d}-"
        with writing(self.folder):
            for name in self.place.names(PARTS):
                if name.startswith(prefix):
                    self.place.remove(f"{PARTS}/{name}")

    def _part_fingerprint(self, shard: Shard, part: int) -> str:
        assert shard.split is not None
        return f"{shard.fingerprint(self.settings)} {part} {shard.split.to_list()}"

    def is_done(self, shard: Shard) -> bool:
        """Return whether the tables of a shard are there, intact, and of this plan; what is not is to be done again.

        Of windows in an object store, which keeps checksums of its own, only the length is compared.
        """
        try:
            with self.reading_files(shard.index) as path:
                metadata = _checked_metadata(path)
            if metadata[SHARD_KEY.encode()] != shard.fingerprint(self.settings).encode():
                return False
            if isinstance(self.place, Folder):
                return metadata[WINDOWS_KEY.encode()] == _sha256_of(self.windows_path(shard.index)).encode()
            return int(metadata[SIZE_KEY.encode()]) == self.place.size(_table(WINDOWS, shard.index))
        # What pyarrow raises for a damaged file depends on where the damage is.
        except (OSError, ValueError, KeyError, MemoryError, pyarrow().ArrowException):
            return False

    def has_windows(self, shard: Shard) -> bool:
        """Return whether there is a table of windows of a shard, in whatever state."""
        return self.place.size(_table(WINDOWS, shard.index)) is not None

    def has_failures(self, shard: Shard) -> bool:
        """Return whether a shard that is done has recordings that could not be used."""
        with self.reading_files(shard.index) as path:
            errors = parquet().read_table(path, columns=["error"])["error"]
        return bool(errors.null_count < len(errors))

    def succeeded(self, shard: Shard) -> dict[int, FileRow]:
        """Return the rows of the recordings of a shard that could be used, by their ``file_id``."""
        with self.reading_files(shard.index) as path:
            return {row.file_id: row for row in read_files(path) if row.error is None}

    def windows_of(self, shard: Shard, file_id: int) -> Any:
        """Return the windows of one recording of a shard that is done, as a table."""
        with self.reading_windows(shard.index) as path:
            return parquet().read_table(path, filters=[("file_id", "=", file_id)])

    def gather(self, done: Collection[int]) -> int:
        """Make ``files.parquet`` and ``failed.jsonl`` from the shards that are done; return how many failed.

        Raises
        ------
        ArchiveError
            They cannot be written.
        """
        n_failed = 0
        schema = gathered_schema({SETTINGS_KEY: json.dumps(self.settings.to_dict())})
        with (
            self.place.replaced("files.parquet") as path,
            self.place.replaced("failed.jsonl") as failed_path,
            failed_path.open("wb") as failed,
            parquet().ParquetWriter(path, schema, compression="zstd") as writer,
        ):
            for table in with_duplicates(lambda columns: self._file_tables(sorted(done), columns)):
                writer.write_table(table.cast(schema))
                for row in table.filter(pyarrow().compute.is_valid(table["error"])).to_pylist():
                    n_failed += 1
                    failed.write(_failure(row))
        return n_failed

    def _file_tables(self, indices: Collection[int], columns: list[str] | None) -> Iterator[Any]:
        for index in indices:
            with self.reading_files(index) as path:
                yield parquet().read_table(path, columns=columns)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the archive for writing; a ConfigError where another run does."""
        return self.place.locked(LOCK)


def manifest_path(folder: Path) -> Path:
    """Return where the plan of an archive lies."""
    return folder / MANIFEST


def _table(folder: str, index: int) -> str:
    return f"{folder}/{index:06d}.parquet"


def _part(index: int, part: int, suffix: str) -> str:
    return f"{PARTS}/{index:06d}-{part:03d}.{suffix}"


def _failure(row: dict[str, Any]) -> bytes:
    record = {
        "path": row["uri"],
        "stage": row["error_stage"],
        "type": row["error_type"],
        "message": row["error"],
        "when": row["done_at"].isoformat(timespec="seconds"),
        "file_id": row["file_id"],
        "n_windows": row["n_windows"],
    }
    if row["uri"].encode() != row["uri_bytes"]:
        record["path_hex"] = row["uri_bytes"].hex()
    return json.dumps(record).encode() + b"\n"


def _checked_metadata(path: Path) -> dict[bytes, bytes]:
    """Return what a table says about itself; every page of it is read, and has the checksum it was written with."""
    with parquet().ParquetFile(path, page_checksum_verification=True) as file:
        # A page's header has no checksum, and may say that there is nothing in it.
        file.read().validate(full=True)
        # What stands at the end of a Parquet file has no checksum.
        if not file.schema_arrow.equals(file_schema({})):
            raise ValueError("the columns are others")
        return file.schema_arrow.metadata or {}


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

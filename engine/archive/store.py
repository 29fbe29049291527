"""The folder of an archive: where everything lies, what is done, and who may write.

OUT/manifest.jsonl            the plan
OUT/windows/000000.parquet    windows of shard 0; there when the shard is done, and not before
OUT/files/000000.parquet      recordings of shard 0
OUT/files.parquet             all recordings, gathered from the shards
OUT/failed.jsonl              those that could not be used
OUT/lock                      held by the run that writes
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

from engine.archive.arrow import parquet, pyarrow
from engine.archive.durable import replace_file, replace_path, writing
from engine.archive.locks import file_lock
from engine.archive.plan import Plan
from engine.archive.tables import file_schema, gathered_schema, read_files, with_duplicates, write_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings
    from engine.archive.tables import FileRow

LOCK = "lock"
# The folders of tables: one of each for every shard, under the same name.
WINDOWS, FILES = "windows", "files"
SHARD_KEY, SETTINGS_KEY, WINDOWS_KEY = "engine.shard", "engine.settings", "engine.windows_sha256"


class Store:
    """The folder of one archive.

    Parameters
    ----------
    folder : Path
    settings : ArchiveSettings

    Attributes
    ----------
    table_folders : tuple of Path
        What holds the tables of the shards.
    """

    def __init__(self, folder: Path, settings: ArchiveSettings) -> None:
        self.folder = folder
        self.table_folders = (folder / WINDOWS, folder / FILES)
        self.settings = settings

    @classmethod
    def open(cls, folder: Path) -> tuple[Store, Plan]:
        """Return the archive in a folder and its plan; a ConfigError where there is none."""
        plan = Plan(manifest_path(folder))
        return cls(folder, plan.settings), plan

    def windows_path(self, index: int) -> Path:
        """Return where the windows of a shard lie."""
        return self.folder / WINDOWS / f"{index:06d}.parquet"

    def files_path(self, index: int) -> Path:
        """Return where the recordings of a shard lie."""
        return self.folder / FILES / f"{index:06d}.parquet"

    def written(self) -> list[int]:
        """Return the shards that have both tables, in order; whether they are intact is not looked at."""
        windows, files = (
            {int(path.stem) for path in folder.glob("*.parquet") if path.stem.isdigit()}
            for folder in self.table_folders
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
        with writing(self.folder), replace_path(self.windows_path(shard.index)) as windows:
            yield windows, rows
            metadata = {**self.metadata(shard), WINDOWS_KEY: _sha256_of(windows)}
            with replace_path(self.files_path(shard.index)) as files:
                write_files(files, rows, metadata)

    def is_done(self, shard: Shard) -> bool:
        """Return whether the tables of a shard are there, intact, and of this plan; what is not is to be done again."""
        try:
            metadata = _checked_metadata(self.files_path(shard.index))
            return (
                metadata[SHARD_KEY.encode()] == shard.fingerprint(self.settings).encode()
                and metadata[WINDOWS_KEY.encode()] == _sha256_of(self.windows_path(shard.index)).encode()
            )
        # What pyarrow raises for a damaged file depends on where the damage is.
        except (OSError, ValueError, KeyError, MemoryError, pyarrow().ArrowException):
            return False

    def has_failures(self, shard: Shard) -> bool:
        """Return whether a shard that is done has recordings that could not be used."""
        errors = parquet().read_table(self.files_path(shard.index), columns=["error"])["error"]
        return bool(errors.null_count < len(errors))

    def succeeded(self, shard: Shard) -> dict[int, FileRow]:
        """Return the rows of the recordings of a shard that could be used, by their ``file_id``."""
        return {row.file_id: row for row in read_files(self.files_path(shard.index)) if row.error is None}

    def windows_of(self, shard: Shard, file_id: int) -> Any:
        """Return the windows of one recording of a shard that is done, as a table."""
        return parquet().read_table(self.windows_path(shard.index), filters=[("file_id", "=", file_id)])

    def gather(self, done: Collection[int]) -> int:
        """Make ``files.parquet`` and ``failed.jsonl`` from the shards that are done; return how many failed.

        Raises
        ------
        ArchiveError
            They cannot be written.
        """
        n_failed = 0
        paths = [self.files_path(index) for index in sorted(done)]
        schema = gathered_schema({SETTINGS_KEY: json.dumps(self.settings.to_dict())})
        with (
            writing(self.folder),
            replace_path(self.folder / "files.parquet") as path,
            replace_file(self.folder / "failed.jsonl") as failed,
            parquet().ParquetWriter(path, schema, compression="zstd") as writer,
        ):
            for table in with_duplicates(paths):
                writer.write_table(table.cast(schema))
                for row in table.filter(pyarrow().compute.is_valid(table["error"])).to_pylist():
                    n_failed += 1
                    failed.write(_failure(row))
        return n_failed

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the archive for writing; a ConfigError where another run does. A run that was killed holds nothing."""
        with file_lock(
            self.folder / LOCK, f"expected to write {self.folder} alone", "wait for it or choose another folder"
        ):
            yield


def manifest_path(folder: Path) -> Path:
    """Return where the plan of an archive lies."""
    return folder / "manifest.jsonl"


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

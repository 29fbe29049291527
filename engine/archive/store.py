"""The folder of an archive: where everything lies, what is done, and who may write.

OUT/manifest.jsonl            the plan
OUT/shards/000000.parquet     windows of shard 0; there when the shard is done, and not before
OUT/shards/000000.files.parquet
OUT/files.parquet             all recordings, gathered from the shards
OUT/failed.jsonl              those that could not be used
OUT/lock                      held by the run that writes
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from typing import TYPE_CHECKING, Any

from engine.archive.arrow import parquet, pyarrow
from engine.archive.durable import replace_file, replace_path
from engine.archive.plan import read_plan
from engine.archive.tables import file_schema
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.archive.plan import Plan, Shard
    from engine.archive.settings import ArchiveSettings


class Store:
    """The folder of one archive.

    Parameters
    ----------
    folder : Path
    settings : ArchiveSettings
    """

    def __init__(self, folder: Path, settings: ArchiveSettings) -> None:
        self.folder = folder
        self.settings = settings

    @classmethod
    def open(cls, folder: Path) -> tuple[Store, Plan]:
        """Return the archive in a folder and its plan; a ConfigError where there is none."""
        plan = read_plan(manifest_path(folder))
        return cls(folder, plan.settings), plan

    def windows_path(self, index: int) -> Path:
        """Return where the windows of a shard lie."""
        return self.folder / "shards" / f"{index:06d}.parquet"

    def files_path(self, index: int) -> Path:
        """Return where the recordings of a shard lie."""
        return self.folder / "shards" / f"{index:06d}.files.parquet"

    def metadata(self, shard: Shard) -> dict[str, str]:
        """Return what the tables of a shard say about themselves."""
        return {
            "engine.shard": shard.fingerprint(self.settings),
            "engine.settings": json.dumps(self.settings.to_dict()),
        }

    def is_done(self, shard: Shard) -> bool:
        """Return whether the tables of a shard are there, intact, and of this plan; what is not is to be done again."""
        return all(
            _is_intact(path, shard.fingerprint(self.settings))
            for path in (self.windows_path(shard.index), self.files_path(shard.index))
        )

    def has_failures(self, shard: Shard) -> bool:
        """Return whether a shard that is done has recordings that could not be used."""
        errors = parquet().read_table(self.files_path(shard.index), columns=["error"])["error"]
        return bool(errors.null_count < len(errors))

    def gather(self, plan: Plan) -> int:
        """Make ``files.parquet`` and ``failed.jsonl`` from the shards that are done; return how many failed."""
        done = [shard for shard in plan.shards if self.windows_path(shard.index).exists()]
        n_failed = 0
        schema = file_schema({"engine.settings": json.dumps(self.settings.to_dict())})
        with (
            replace_path(self.folder / "files.parquet") as path,
            replace_file(self.folder / "failed.jsonl") as failed,
            parquet().ParquetWriter(path, schema, compression="zstd") as writer,
        ):
            for shard in done:
                table = parquet().read_table(self.files_path(shard.index))
                writer.write_table(table.replace_schema_metadata(schema.metadata))
                for row in table.filter(pyarrow().compute.is_valid(table["error"])).to_pylist():
                    record = {
                        "path": row["uri_bytes"].decode("utf-8", "surrogateescape"),
                        "stage": row["error_stage"],
                        "type": row["error_type"],
                        "message": row["error"],
                        "file_id": row["file_id"],
                        "n_windows": row["n_windows"],
                    }
                    n_failed += 1
                    failed.write(json.dumps(record, ensure_ascii=True).encode() + b"\n")

        return n_failed

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the archive for writing; a ConfigError where another run does. A run that was killed holds nothing."""
        path = self.folder / "lock"
        with path.open("a+b") as file:
            if not _try_lock(file.fileno()):
                file.seek(0)
                holder = file.read(200).decode(errors="replace").strip() or "unknown"
                raise ConfigError(
                    f"expected to write {self.folder} alone, another run does ({holder}); wait for it or choose "
                    "another folder"
                )
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
            file.flush()
            yield


def manifest_path(folder: Path) -> Path:
    """Return where the plan of an archive lies."""
    return folder / "manifest.jsonl"


def _is_intact(path: Path, fingerprint: str) -> bool:
    """Return whether a table is there, of that shard, and every page of it has the checksum it was written with."""
    try:
        file = parquet().ParquetFile(path, page_checksum_verification=True)
        if (file.schema_arrow.metadata or {}).get(b"engine.shard") != fingerprint.encode():
            return False
        for _ in file.iter_batches():
            pass
    except (OSError, pyarrow().ArrowInvalid):
        return False
    return True


def _try_lock(handle: int) -> bool:
    """Lock an open file until it is closed, or the process ends; False where another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            locking: Any = msvcrt
            locking.locking(handle, locking.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

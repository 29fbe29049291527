"""Features of recordings on disk, computed once by the engine's front end and mapped into memory when read.

An entry is one recording under one front end. Its name is a hash of the front end and of the recording's path, size and
modification time, so nothing that has changed is ever read. Entries are written under a name of the writer's own and
renamed, so that any number of processes may fill one folder: the last of two writers of one entry replaces the first by
the same bytes. An entry that is cut short or altered in its head is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine import LogMel
from engine.audio import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine import FrontendConfig

MAGIC = b"log-mel1"
# Magic, n_frames, n_mels, CRC-32 of the values, CRC-32 of the head before it.
HEAD = np.dtype([("magic", "S8"), ("n_frames", "<u4"), ("n_mels", "<u4"), ("values", "<u4"), ("head", "<u4")])


class FeatureCache:
    """A folder of log-mel features.

    Parameters
    ----------
    folder : Path
        Made where it does not exist; may be shared by front ends, data sets and processes.
    frontend : FrontendConfig
        Of the features; they are those of ``engine.LogMel`` and of nothing else.
    verify : bool
        Read every entry whole and compare its checksum when it is opened, which also finds altered values; without it
        only head and length are looked at.
    """

    def __init__(self, folder: Path, frontend: FrontendConfig, *, verify: bool = True) -> None:
        self.frontend = frontend
        self.verify = verify
        description = json.dumps(frontend.to_dict(), sort_keys=True)
        self.folder = folder / hashlib.sha256(description.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log_mel = LogMel(frontend)
        self.computed = 0

    def __call__(self, recording: Path) -> NDArray[np.float32]:
        """Return the features of a whole recording.

        Returns
        -------
        ndarray, shape (n_frames, n_mels), float32
            Read-only, mapped from the cache. ``computed`` counts those that were not in it.

        Raises
        ------
        AudioError
            When the recording cannot be read.
        """
        entry = self.path(recording)
        values = self._mapped(entry)
        if values is None:
            self._write(entry, self._log_mel(load(recording, self.frontend.sample_rate)[0]))
            self.computed += 1
            values = self._mapped(entry)
            assert values is not None
        return values

    def path(self, recording: Path) -> Path:
        """Return where a recording's entry is, or will be."""
        status = recording.stat() if recording.exists() else None
        identity = [str(recording.absolute()), *(() if status is None else (status.st_size, status.st_mtime_ns))]
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.logmel"

    def _mapped(self, entry: Path) -> NDArray[np.float32] | None:
        """Return an entry's values; None when it is absent or damaged."""
        try:
            with entry.open("rb") as file:
                raw = file.read(HEAD.itemsize)
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return None
        if len(raw) < HEAD.itemsize:
            return None
        head = np.frombuffer(raw, HEAD)[0]
        n_frames, n_mels = int(head["n_frames"]), int(head["n_mels"])
        if head["magic"] != MAGIC or head["head"] != zlib.crc32(raw[:-4]) or n_mels != self.frontend.n_mels:
            return None
        if size != HEAD.itemsize + 4 * n_frames * n_mels:
            return None
        values = np.memmap(entry, np.dtype("<f4"), "r", HEAD.itemsize, (n_frames, n_mels))
        return None if self.verify and zlib.crc32(values) != head["values"] else values

    def _write(self, entry: Path, values: NDArray[np.float32]) -> None:
        values = np.ascontiguousarray(values, "<f4")
        head = np.zeros(1, HEAD)
        head["magic"], head["n_frames"], head["n_mels"] = MAGIC, *values.shape
        head["values"] = zlib.crc32(values)
        head["head"] = zlib.crc32(head.tobytes()[:-4])
        entry.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=entry.parent, suffix=".part", delete=False) as file:
            try:
                file.write(head.tobytes() + values.tobytes())
                file.close()
                Path(file.name).replace(entry)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

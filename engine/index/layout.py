"""The folder of an index: files of one version, and a header that says which version holds.

FOLDER/index.json               the header, replaced in one step: it is the switch from one version to the next
FOLDER/vectors-000003.f32       rows of float32 in the processor's order, little-endian, to be memory-mapped
FOLDER/items-000003.parquet     one row for each of them
FOLDER/lock                     held by the writer

A writer that dies leaves files that no header names, and the version before stays whole. Readers keep the files that
they have opened; those that open while a version changes read the header again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from engine.archive.arrow import parquet
from engine.archive.durable import remove_partial, replace_file
from engine.archive.locks import file_lock
from engine.distance import Metric
from engine.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.card import ModelCard

HEADER, LOCK = "index.json", "lock"
FORMAT = 1
# A reader whose files have gone reads the header again; more often than this a writer cannot have been faster.
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an index is, and where its present version lies.

    Attributes
    ----------
    model, model_sha256, card_sha256, frontend_sha256 : str
        Whose vectors these are; vectors of another model or front end are never mixed in.
    size : int
        Numbers in a vector.
    metric : str
    window_s, hop_s : float or None
        As the recordings were cut; None is the model's own.
    n_items, version : int
    vectors_sha256, items_sha256 : str
        Of the two files, for ``Index.verify``.
    inputs : tuple of str
        What ``update`` looks through again.
    source : str
        What an archive's vectors were gathered from; empty for others.
    format : int
    """

    model: str
    model_sha256: str
    card_sha256: str
    frontend_sha256: str
    size: int
    metric: Metric
    window_s: float | None = None
    hop_s: float | None = None
    n_items: int = 0
    version: int = 0
    vectors_sha256: str = ""
    items_sha256: str = ""
    inputs: tuple[str, ...] = ()
    source: str = ""
    format: int = FORMAT

    @property
    def vectors_name(self) -> str:
        """The name of the file of vectors."""
        return f"vectors-{self.version:06d}.f32"

    @property
    def items_name(self) -> str:
        """The name of the table of items."""
        return f"items-{self.version:06d}.parquet"


def header_for(card: ModelCard, metric: Metric, window_s: float | None = None, hop_s: float | None = None) -> Header:
    """Return the header of an empty index for a model.

    Raises
    ------
    ConfigError
        The model has no embedding, or there is no such metric.
    """
    if card.embedding_size is None:
        raise ConfigError(f"expected a model with an embedding, {card.name!r} has none; choose another model")
    if metric not in get_args(Metric):
        raise ConfigError(f"expected a metric among {', '.join(get_args(Metric))}, got {metric!r}; choose one of them")
    return Header(
        model=card.name,
        model_sha256=card.model_sha256,
        card_sha256=card.card_sha256,
        frontend_sha256=_frontend_sha256(card),
        size=card.embedding_size,
        metric=metric,
        window_s=window_s,
        hop_s=hop_s,
    )


def check_model(header: Header, card: ModelCard, folder: Path) -> None:
    """Raise ConfigError unless vectors of the model belong into the index."""
    if card.model_sha256 != header.model_sha256:
        raise ConfigError(
            f"expected the model {header.model!r} ({header.model_sha256[:12]}) that {folder} was made with, got "
            f"{card.name!r} ({card.model_sha256[:12]}); use that model or build a new index"
        )
    # An archive keeps the hash of the whole card instead, which covers the front end.
    same = header.card_sha256 == card.card_sha256 if not header.frontend_sha256 else False
    if not same and _frontend_sha256(card) != header.frontend_sha256:
        raise ConfigError(
            f"expected the front end that {folder} was made with, got another one in {card.name!r}; use the model as "
            "it was or build a new index"
        )


def read_header(folder: Path) -> Header:
    """Return the header; a ConfigError where there is no index, an ArchiveError where it is damaged."""
    try:
        values = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"expected an index at {folder}, got no {HEADER}; make one with engine index build"
        ) from error
    except (OSError, ValueError) as error:
        raise ArchiveError(f"expected a readable {folder / HEADER}, got {error}; build the index again") from error
    names = {field.name for field in fields(Header)}
    if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) != names:
        raise ArchiveError(
            f"expected an index of format {FORMAT} at {folder}, got another one; use the sound-engine that made it"
        )
    return Header(**{**values, "inputs": tuple(values["inputs"])})


def open_version(folder: Path) -> tuple[Header, NDArray[np.float32], Any]:
    """Return header, memory-mapped vectors (n_items, size) and the table of items of the present version.

    Raises
    ------
    ConfigError
        There is no index.
    ArchiveError
        Its files are missing, damaged, or not as long as the header says.
    """
    for _ in range(_TRIES):
        header = read_header(folder)
        with contextlib.suppress(FileNotFoundError):
            return header, _mapped(folder, header), _table(folder, header)
    raise ArchiveError(
        f"expected {header.vectors_name} and {header.items_name} in {folder}, got not both; build the index again"
    )


def write_version(folder: Path, before: Header, vectors: Iterator[NDArray[np.float32]], items: Any) -> Header:
    """Write the next version, switch to it, remove the one before; return its header.

    Parameters
    ----------
    before : Header
        With what is to change already changed, but version, counts and hashes.
    vectors : iterator of ndarray, shape (any, size), float32
    items : pyarrow.Table
    """
    version = before.version + 1
    header = Header(**{**asdict(before), "version": version, "n_items": len(items)})
    digest, n_rows = hashlib.sha256(), 0
    with replace_file(folder / header.vectors_name) as file:
        for block in vectors:
            data = np.ascontiguousarray(block, "<f4").tobytes()
            digest.update(data)
            file.write(data)
            n_rows += len(block)
    if n_rows != len(items):
        raise AssertionError(f"{n_rows} vectors for {len(items)} items")
    with replace_file(folder / header.items_name) as file:
        parquet().write_table(items, file, compression="zstd", write_page_checksum=True)
    header = Header(
        **{
            **asdict(header),
            "vectors_sha256": digest.hexdigest(),
            "items_sha256": sha256_of(folder / header.items_name),
        }
    )
    with replace_file(folder / HEADER) as file:
        file.write(json.dumps(asdict(header), indent=1).encode() + b"\n")
    _remove_others(folder, header)
    return header


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the index for writing; a ConfigError where another process does."""
    with file_lock(folder / LOCK, f"expected to write {folder} alone", "wait for it or copy the index"):
        remove_partial(folder)
        yield


def sha256_of(path: Path) -> str:
    """Return the hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _frontend_sha256(card: ModelCard) -> str:
    values = None if card.frontend is None else card.frontend.to_dict()
    content = [values, card.input.kind, card.input.sample_rate, card.window, card.pad]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _mapped(folder: Path, header: Header) -> NDArray[np.float32]:
    path = folder / header.vectors_name
    length, expected = path.stat().st_size, 4 * header.n_items * header.size
    if length != expected:
        raise ArchiveError(f"expected {expected} bytes in {path}, got {length}; build the index again")
    if sys.byteorder != "little":
        raise ArchiveError("expected a little-endian processor, got another one; use the index on the usual kind")
    if not header.n_items:
        return np.zeros((0, header.size), np.float32)
    return np.memmap(path, np.float32, "r", shape=(header.n_items, header.size))


def _table(folder: Path, header: Header) -> Any:
    path = folder / header.items_name
    try:
        # In one piece: taking some rows of a table in pieces looks at all of it.
        table = parquet().read_table(path, page_checksum_verification=True).combine_chunks()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ArchiveError(f"expected an intact {path}, got {error}; build the index again") from error
    if len(table) != header.n_items:
        raise ArchiveError(f"expected {header.n_items} rows in {path}, got {len(table)}; build the index again")
    return table


def _remove_others(folder: Path, header: Header) -> None:
    keep = {header.vectors_name, header.items_name}
    for pattern in ("vectors-*.f32", "items-*.parquet"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                with contextlib.suppress(OSError):  # a reader on Windows holds it; the next writer removes it
                    path.unlink()

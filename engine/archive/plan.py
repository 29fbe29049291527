"""The plan of an archive: fixed shards of recordings, written before any work and never changed, only added to."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.archive.items import Item
from engine.archive.place import Folder
from engine.archive.settings import ArchiveSettings
from engine.archive.split import Split
from engine.archive.uri import member_of
from engine.errors import ConfigError
from engine.fingerprint import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.archive.place import Place

MANIFEST = "manifest.jsonl"
FORMAT = "sound-engine archive"
VERSION = 2
# Small enough that little is done twice after a crash.
SHARD_BYTES = 128 << 20
SHARD_ITEMS = 128
# A few workers share even a small archive evenly: a shard has at most so many recordings, or that share of all before.
FIRST_ITEMS = 32
SHARE_OF_EARLIER = 16
# For items whose size is not known before they are opened.
TYPICAL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of an archive that is done at once.

    Attributes
    ----------
    index : int
        Of the shard, from 0.
    first : int
        ``file_id`` of its first item; the others count on.
    items : tuple of Item
    split : Split or None
        How its one long recording is done in parts; what comes out does not depend on it.
    """

    index: int
    first: int
    items: tuple[Item, ...]
    split: Split | None = None

    def fingerprint(self, settings: ArchiveSettings) -> str:
        """Return what its results are a function of: the settings and the items, as 64 hexadecimal digits."""
        items = [[item.uri, item.size, item.modified] for item in self.items]
        content = {"settings": settings.fingerprint, "index": self.index, "first": self.first, "items": items}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def make_shards(
    items: Iterable[Item],
    first_index: int = 0,
    first_file: int = 0,
    max_bytes: int = SHARD_BYTES,
    max_items: int = SHARD_ITEMS,
) -> Iterator[Shard]:
    """Divide items, in their order, into shards of at most so many bytes and items; a larger item has its own.

    The first shards have fewer items, and those of a small archive all: how many is a function of the items before.

    Examples
    --------
    >>> items = [Item("a.wav", 60), Item("b.wav", 60), Item("c.wav", 10)]
    >>> [[item.uri for item in shard.items] for shard in make_shards(items, max_bytes=100)]
    [['a.wav'], ['b.wav', 'c.wav']]
    """
    held: list[Item] = []
    held_bytes, index, first = 0, first_index, first_file
    for item in items:
        size = _size(item)
        limit = min(max_items, max(FIRST_ITEMS, first // SHARE_OF_EARLIER))
        if held and (held_bytes + size > max_bytes or len(held) >= limit):
            yield Shard(index, first, tuple(held))
            index, first, held, held_bytes = index + 1, first + len(held), [], 0
        held.append(item)
        held_bytes += size
    if held:
        yield Shard(index, first, tuple(held))


def _size(item: Item) -> int:
    return TYPICAL_BYTES if item.size is None else item.size


def _weight(shard: Shard) -> float:
    if any(member_of(item.uri) is not None for item in shard.items):
        return math.inf
    return sum(map(_size, shard.items))


class Plan:
    """A manifest, of which only the places of the shards are held: a million recordings need no memory here.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    settings : ArchiveSettings
    model : str
        What the model was opened with: a name or an absolute path.
    n_items : int
        Recordings of all shards.
    sizes : tuple of int
        Recordings of each shard.
    weights : tuple of float
        Bytes of each shard; infinite for members of containers, whose shards are to be begun in their order.
    parts : dict of int to int
        Of the shards that are split, by their numbers, how many parts they have.

    Raises
    ------
    ConfigError
        There is no manifest, or it is damaged or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                header = json.loads(file.readline())
                if (header["format"], header["version"]) != (FORMAT, VERSION):
                    raise ConfigError(
                        f"expected a manifest of version {VERSION}, got version {header['version']!r} in {path}; use "
                        "the sound-engine that made it"
                    )
                self.settings = ArchiveSettings.from_dict(header["settings"])
                self.model: str = header["model"]
                offsets: list[int] = []
                sizes: list[int] = []
                weights: list[float] = []
                parts: dict[int, int] = {}
                first = 0
                for shard, offset in _shards_in(file):
                    if (shard.index, shard.first) != (len(sizes), first):
                        raise ValueError(f"shard {len(sizes)} is missing")
                    offsets.append(offset)
                    sizes.append(len(shard.items))
                    weights.append(_weight(shard))
                    if shard.split is not None:
                        parts[shard.index] = len(shard.split.starts)
                    first += len(shard.items)
        except FileNotFoundError:
            raise ConfigError(
                f"expected an archive, found no manifest at {path}; run engine archive run first"
            ) from None
        except ConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"expected the manifest of an archive at {path}, it is damaged: {error}; start anew in another folder"
            ) from error
        self._offsets = tuple(offsets)
        self.sizes = tuple(sizes)
        self.weights = tuple(weights)
        self.parts = parts
        self.n_items = first

    def __iter__(self) -> Iterator[Shard]:
        """Give the shards in their order."""
        with self._path.open("rb") as file:
            file.readline()
            for shard, _ in _shards_in(file):
                yield shard

    def __getitem__(self, index: int) -> Shard:
        """Return one shard."""
        with self._path.open("rb") as file:
            file.seek(self._offsets[index])
            return next(_shards_in(file))[0]


def open_plan(place: Place) -> Plan:
    """Return the plan of an archive; a ConfigError where there is none."""
    if isinstance(place, Folder):
        return Plan(place.path / MANIFEST)
    # Looked into again and again: it is fetched once, and kept as long as the plan is.
    try:
        with place.reading(MANIFEST) as fetched:
            path = Path(shutil.copy(fetched, Path(tempfile.mkdtemp()) / MANIFEST))
    except FileNotFoundError:
        raise ConfigError(
            f"expected an archive, found no manifest at {place}/{MANIFEST}; run engine archive run first"
        ) from None
    try:
        plan = Plan(path)
    except BaseException:
        shutil.rmtree(path.parent)
        raise
    weakref.finalize(plan, shutil.rmtree, path.parent, ignore_errors=True)
    return plan


def write_plan(place: Place, settings: ArchiveSettings, model: str, shards: Iterable[Shard]) -> Plan:
    """Write a manifest, whole or not at all, and return it; one JSON object per line, the settings first."""
    with place.replaced(MANIFEST) as path, path.open("wb") as file:
        header = {"format": FORMAT, "version": VERSION, "model": model, "settings": settings.to_dict()}
        file.write(_line(header))
        for shard in shards:
            items = [[item.uri, item.size, item.modified] for item in shard.items]
            split = {} if shard.split is None else {"split": shard.split.to_list()}
            file.write(_line({"shard": shard.index, "first": shard.first, "items": items} | split))
    return open_plan(place)


def _shards_in(file: BinaryIO) -> Iterator[tuple[Shard, int]]:
    """Give the shards from here on, each with the place where its line begins."""
    offset = file.tell()
    for line in file:
        values = json.loads(line)
        items = tuple(Item(*item) for item in values["items"])
        split = Split.from_list(values["split"]) if "split" in values else None
        yield Shard(values["shard"], values["first"], items, split), offset
        offset += len(line)


def _line(values: dict[str, Any]) -> bytes:
    # ASCII: names that are not valid Unicode come back as they were.
    return json.dumps(values, ensure_ascii=True, allow_nan=False).encode() + b"\n"

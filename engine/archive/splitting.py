"""Which recordings are divided into parts, and into how many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.archive.alignment import alignment
from engine.archive.split import Split
from engine.archive.uri import is_url
from engine.audio import open_recording
from engine.decode_sndfile import SndfileDecoder
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.archive.plan import Shard
    from engine.archive.settings import ArchiveSettings

SPLIT_SUFFIXES = (".wav", ".wave", ".rf64", ".flac")
# Of a part, about.
PART_BYTES = 128 << 20
# Parts begin at the windows that a batch of the network begins with, whatever the device's batch size, up to this.
WINDOWS_STEP = 16


def with_splits(shards: Iterable[Shard], settings: ArchiveSettings) -> Iterator[Shard]:
    """Give the shards, those of one long recording with the parts it is done in.

    Only local files in formats whose seek is exact are split, on windows that are as far apart as ``PART_BYTES``; what
    cannot be opened is left to its shard, which says why.
    """
    for shard in shards:
        split = None
        if len(shard.items) == 1 and (shard.items[0].size or 0) > PART_BYTES:
            split = _split_of(shard.items[0].uri, shard.items[0].size or 0, settings)
        yield shard if split is None else replace(shard, split=split)


def _split_of(path: str, size: int, settings: ArchiveSettings) -> Split | None:
    if is_url(path) or not path.lower().endswith(SPLIT_SUFFIXES) or not Path(path).is_file():
        return None
    try:
        recording = open_recording(path)
    except EngineError:
        return None
    try:
        if not isinstance(recording, SndfileDecoder) or not recording.seeks_exactly:
            return None
        rate, n_frames = recording.sample_rate, recording.n_frames
    finally:
        recording.close()
    n_windows = n_frames * settings.sample_rate // rate // settings.hop
    n_parts = -(-size // PART_BYTES)
    places = [n_windows * part // n_parts // WINDOWS_STEP * WINDOWS_STEP for part in range(n_parts)]
    found = alignment(rate, settings.sample_rate)
    if found is None or min(b - a for a, b in zip(places, [*places[1:], n_windows], strict=True)) < WINDOWS_STEP:
        return None
    return Split(rate, n_frames, found.step, found.margin, tuple(places))

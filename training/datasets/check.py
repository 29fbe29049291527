"""What of a download is there, absent, damaged, or none of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import soundfile

from engine.audio import load
from engine.errors import AudioError, ConfigError
from training.datasets.catalogue import CATALOGUE

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from training.datasets.catalogue import Entry
    from training.datasets.record import DataSet, Record

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm")
# A clip this much shorter than its metadata says was cut while it was written or fetched.
SHORTER_S = 0.5


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes
    ----------
    data : DataSet
        What loads.
    counts : tuple of (str, int, int)
        What, how many there are, how many are published.
    damaged : tuple of (str, str)
        A file below the root, and what is wrong with it.
    unknown : tuple of str
        Recordings below the root that the metadata does not know.
    checksums : tuple of (str, bool)
        Files with a published checksum that are there, and whether they have it.
    """

    data: DataSet
    counts: tuple[tuple[str, int, int], ...]
    damaged: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]
    checksums: tuple[tuple[str, bool], ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is absent, damaged, or different from what is published."""
        return (
            not self.data.missing
            and not self.damaged
            and not self.unknown
            and all(got == published for _, got, published in self.counts)
            and all(right for _, right in self.checksums)
        )


def check(name: str, root: Path) -> Report:
    """Load the data set, open each of its recordings, and compare both with what is published.

    Raises
    ------
    ConfigError
        When no data set has the name, or its metadata is missing or damaged, so that nothing loads.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"expected one of {sorted(CATALOGUE)}, got {name!r}; see python -m training data list")
    if not root.is_dir():
        raise ConfigError(
            f"expected the folder of {name} at {root}, got none; download it from {CATALOGUE[name].source}"
        )
    entry = CATALOGUE[name]
    data = entry.load(root)
    damaged = [
        (record.path.relative_to(root).as_posix(), obstacle)
        for record in (data.records if entry.has_audio else ())
        if (obstacle := audio_obstacle(record))
    ]
    return Report(
        data=data,
        counts=tuple(_counts(entry, data)),
        damaged=tuple(damaged),
        unknown=_unknown(root, entry, data),
        checksums=tuple(
            (file, _has_checksum(root / file, want))
            for file, want in entry.checksums.items()
            if (root / file).is_file()
        ),
    )


def audio_obstacle(record: Record) -> str | None:
    """Return why a recording is damaged, from its header and its last sample; None when it is sound.

    A decoder that meets the end of a truncated WAV calls it a shorter file, so its chunks are measured here.
    """
    try:
        with record.path.open("rb") as file:
            if obstacle := _wav_obstacle(file, record.path.stat().st_size):
                return obstacle
        n_frames, sample_rate = _length(record.path)
    except (OSError, soundfile.LibsndfileError, AudioError) as error:
        return f"cannot be read: {getattr(error, 'error_string', error)}"
    if not n_frames:
        return "no samples"
    duration_s = n_frames / sample_rate
    if record.duration_s is not None and duration_s < record.duration_s - SHORTER_S:
        return f"{duration_s:.2f} s long, {record.duration_s:.2f} s in the metadata"
    return None


def _length(path: Path) -> tuple[int, int]:
    """Return frames and sample rate, once the last frame was read."""
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError:
        # What libsndfile does not know, such as m4a and webm, the engine may, and says better why not.
        samples, sample_rate = load(path)
        return len(samples), sample_rate
    with sound:
        if sound.frames:
            sound.seek(sound.frames - 1)
            if len(sound.read(1)) != 1:
                raise AudioError(f"it ends before the {sound.frames} frames that its header announces")
        return sound.frames, sound.samplerate


def _wav_obstacle(file: BinaryIO, n_bytes: int) -> str | None:
    """Return how many samples a WAV lacks; None for a whole one and for other formats."""
    if not n_bytes:
        return "empty file"
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    while len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            there = n_bytes - file.tell()
            # 2^32 - 1 stands for a length that the writer did not know.
            if there < size != 0xFFFFFFFF:
                return f"truncated: {there} of {size} bytes of samples"
            return None
        file.seek(size + size % 2, 1)
    return "no samples: the header ends early"


def _counts(entry: Entry, data: DataSet) -> list[tuple[str, int, int]]:
    groups: Counter[str] = Counter({"all": len(data.records) + len(data.dropped)})
    labels: Counter[tuple[str | None, str]] = Counter()
    for record in data.records:
        groups[f"fold {record.fold}"] += 1
        if record.split:
            groups[record.split] += 1
        labels.update((record.split, label) for label in record.labels)
    counts = [(what, groups[what], published) for what, published in entry.splits.items()]
    for split, of_split in entry.labels.items():
        counts += [(f"{split}, {label}", labels[split, label], published) for label, published in of_split.items()]
    return counts


def _unknown(root: Path, entry: Entry, data: DataSet) -> tuple[str, ...]:
    known = {record.path for record in data.records} | {root / name for name in data.dropped}
    known.update(path for pattern in entry.beside for path in root.glob(pattern))
    files = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in SUFFIXES and path not in known)
    return tuple(path.relative_to(root).as_posix() for path in files if path.is_file())


def _has_checksum(path: Path, want: str) -> bool:
    method, _, digest = want.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, method).hexdigest() == digest

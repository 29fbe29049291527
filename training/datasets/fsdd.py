"""Free Spoken Digit Dataset: English digits, one per recording.

Citation
    Z. Jackson and others, "Free Spoken Digit Dataset", https://doi.org/10.5281/zenodo.1342401.
Source
    https://github.com/Jakobovski/free-spoken-digit-dataset
Licence
    CC BY-SA 4.0: no weights trained on it ship.
Checksum
    None published.
Content
    3,000 recordings at 8 kHz, mono, mostly under a second: six speakers, ten digits, 50 takes of each. One label per
    recording, so a missing one is absent. The speakers' levels differ by a factor of 16.
Splits
    The publisher's: takes 0 to 4 "test", 5 to 49 "train". Both hold every speaker: group by ``source`` for more.
Layouts
    The download: ``recordings/DIGIT_SPEAKER_TAKE.wav`` and no table. Development part: five speakers as FLAC, with
    ``meta.csv``. In both a file is missing when a speaker who is there lacks a take.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import number, on_disk, read_table

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
N_TAKES = 50
N_TEST_TAKES = 5


def load_fsdd(root: Path) -> DataSet:
    """Return the records by digit, speaker and take; ConfigError when there are no recordings."""
    suffix, durations = ".wav", {}
    if (root / "meta.csv").is_file():
        rows = read_table(root / "meta.csv", ["filename", "duration_s"])
        durations = {row["filename"]: number(row["duration_s"], root / "meta.csv") for row in rows}
        suffix = ".flac"
    found = [path.name for path in (root / "recordings").glob(f"[!.]*{suffix}")]
    names = [_parsed(name) for name in (*found, *durations)]
    if not names:
        raise ConfigError(
            f"expected recordings/DIGIT_SPEAKER_TAKE{suffix} in {root}, got none; point at the folder of the data set"
        )
    speakers = sorted({speaker for _, speaker, _ in names})
    listed = []
    for digit, label in enumerate(DIGITS):
        for speaker in speakers:
            for take in range(N_TAKES):
                name = f"{digit}_{speaker}_{take}{suffix}"
                split = "test" if take < N_TEST_TAKES else "train"
                path = root / "recordings" / name
                listed.append(Record(path, (label,), split=split, source=speaker, duration_s=durations.get(name)))
    records, missing = on_disk(root, listed)
    return DataSet("fsdd", DIGITS, records, missing)


def _parsed(name: str) -> tuple[int, str, int]:
    match = re.fullmatch(r"(\d)_([a-z]+)_(\d+)\.(wav|flac)", name)
    if match is None or int(match[3]) >= N_TAKES:
        raise ConfigError(f"expected a file name DIGIT_SPEAKER_TAKE with a take below {N_TAKES}, got {name}; remove it")
    return int(match[1]), match[2], int(match[3])

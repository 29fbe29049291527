"""Speech Commands V2: one word per recording, by thousands of speakers.

Citation
    P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209 (2018).
Source
    http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz
Licence
    CC BY 4.0; attribution to ship with weights: "Trained on Speech Commands v0.02, Google, CC BY 4.0".
Checksum
    speech_commands_v0.02.tar.gz: SHA-256 af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58.
Content
    105,829 recordings of one second or less, 16 kHz, mono, 35 words. One label each: a missing one is absent.
Splits
    The publisher's: validation_list.txt (9,981) "validation", testing_list.txt (11,005) "test", the other 84,843
    "train". No speaker is in two of them.
Layouts
    The download unpacks flat: ``WORD/SPEAKER_nohash_TAKE.wav``, both lists with forward slashes, and
    ``_background_noise_`` with long recordings that are no clips. torchaudio puts it into ``speech_commands_v0.02``
    below ``SpeechCommands``; both are found.
    Development part: ``meta.csv`` and ``audio/CLASS/*.flac``, cut from the publisher's test archive of 12 classes (ten
    words, unknown, silence), all of it "test". It is another test than that of 35 words: say so beside every figure.
    Its silence is cut from a few recordings of noise, which are therefore one source, "noise"; 121 clips are copies of
    another by the same speaker.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import number, on_disk, read_lines, read_table

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    *("backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four", "go", "happy"),
    *("house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right", "seven", "sheila", "six", "stop"),
    *("three", "tree", "two", "up", "visual", "wow", "yes", "zero"),
)
# The publisher's order of the twelve.
CLASSES = ("silence", "unknown", "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
NOISE = "_background_noise_"


def load_speech_commands(root: Path) -> DataSet:
    """Return the records of either layout: by word and file name, or in the order of ``meta.csv``.

    Raises
    ------
    ConfigError
        When lists or table are missing, or a folder, file or class is none of the data set's.
    """
    if (root / "meta.csv").is_file():
        return _development(root)
    nested = [root, root / "speech_commands_v0.02", root / "SpeechCommands" / "speech_commands_v0.02"]
    root = next((folder for folder in nested if (folder / "testing_list.txt").is_file()), root)
    split_of = dict.fromkeys(read_lines(root / "validation_list.txt"), "validation")
    for name in read_lines(root / "testing_list.txt"):
        if name in split_of:
            raise ConfigError(f"expected {name} in one list, got it in both; download the data set again")
        split_of[name] = "test"
    found = [
        path.relative_to(root).as_posix()
        for path in root.glob("*/*.wav")
        if path.parent.name != NOISE and not path.name.startswith(".")
    ]
    records, missing = on_disk(root, (_record(root, name, split_of) for name in sorted({*found, *split_of})))
    return DataSet("speech_commands", WORDS, records, missing)


def _record(root: Path, name: str, split_of: dict[str, str]) -> Record:
    match = re.fullmatch(r"([a-z]+)/([0-9a-f]{8})_nohash_\d+\.wav", name)
    if match is None or match[1] not in WORDS:
        raise ConfigError(f"expected WORD/SPEAKER_nohash_TAKE.wav with one of the 35 words, got {name}; remove it")
    return Record(root / name, (match[1],), split=split_of.get(name, "train"), source=match[2])


def _development(root: Path) -> DataSet:
    listed = [
        Record(
            root / "audio" / row["filename"],
            (row["class"],),
            split="test",
            source=row["speaker"] or "noise",
            duration_s=number(row["duration_s"], root / "meta.csv"),
        )
        for row in read_table(root / "meta.csv", ["filename", "class", "word", "speaker", "duration_s"])
    ]
    records, missing = on_disk(root, listed)
    return DataSet("speech_commands", CLASSES, records, missing)

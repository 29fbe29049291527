"""ESC-50 and its subset ESC-10: five-second clips of environmental sounds cut from Freesound recordings.

Citation
    K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", Proceedings of the 23rd ACM International
    Conference on Multimedia (2015), https://doi.org/10.1145/2733373.2806390.
Source
    https://github.com/karolpiczak/ESC-50
Licence
    ESC-50 as a whole: CC BY-NC 3.0, so nothing trained on all of it ships. ESC-10: CC BY 3.0; each of its clips is
    CC0 or CC BY 3.0, its author named in the data set's LICENSE (or ATTRIBUTION.md).
Content
    2,000 clips, 40 in each of 50 classes; ESC-10 is the 400 of ten classes. Mono, 44.1 kHz, about 5 s; one label per
    clip, so every label is known: a missing one is absent. Many clips end in digital silence, because the event was
    shorter.
Checksum
    meta/esc50.csv: MD5 54a0d0055a10bb7df84ad340a148722e.
Split
    The publisher's folds 1 to 5; no Freesound recording is in two folds. Cross-validate over the folds that are there.
Layouts
    The download: ``meta/esc50.csv`` (filename, fold, target, category, esc10, src_file, take) and ``audio/*.wav``.
    Development part of ESC-10: ``meta.csv`` (filename, fold, target, category, src_id and more) and ``audio/*.ogg``;
    its targets 0 to 9 are not those of ESC-50, and here the labels are in their order. Of ESC-50 the labels are in the
    order of the published targets.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Literal

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# In the order of the old ESC-10 targets; the second word is the category's name in esc50.csv where the two differ.
ESC10 = {
    "dog_bark": "dog bark",
    "rain": "rain",
    "sea_waves": "sea waves",
    "baby_cry": "crying baby",
    "clock_tick": "clock tick",
    "person_sneeze": "sneeze",
    "helicopter": "helicopter",
    "chainsaw": "chainsaw",
    "rooster": "rooster",
    "fire_crackling": "crackling fire",
}
ESC50_NAMES = {"dog": "dog bark", "sneezing": "sneeze"}
# In the order of the targets of esc50.csv.
ESC50 = (
    *("dog bark", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow"),
    *("rain", "sea waves", "crackling fire", "crickets", "chirping birds"),
    *("water drops", "wind", "pouring water", "toilet flush", "thunderstorm"),
    *("crying baby", "sneeze", "clapping", "breathing", "coughing"),
    *("footsteps", "laughing", "brushing teeth", "snoring", "drinking sipping"),
    *("door wood knock", "mouse click", "keyboard typing", "door wood creaks", "can opening"),
    *("washing machine", "vacuum cleaner", "clock alarm", "clock tick", "glass breaking"),
    *("helicopter", "chainsaw", "siren", "car horn", "engine", "train", "church bells", "airplane", "fireworks"),
    "hand saw",
)
CITATION = (
    'ESC-10, subset of ESC-50 (K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia '
    "2015, https://doi.org/10.1145/2733373.2806390), CC BY 3.0"
)


def load_esc50(root: Path, subset: Literal["esc10", "esc50"] = "esc50") -> DataSet:
    """Return the records of either layout, in the order of their file names.

    Parameters
    ----------
    root : Path
        The folder that holds ``audio`` and the table.
    subset : str
        "esc10" for the ten classes of ESC-10, "esc50" for all that are there.

    Raises
    ------
    ConfigError
        When the table or one of its columns is missing, or a row contradicts its file name.
    """
    rows = sorted(_rows(root), key=lambda row: row["filename"])
    if subset == "esc10":
        rows = [row for row in rows if row.get("esc10", "True") == "True"]
    records = [_record(root, row) for row in rows]
    return DataSet(
        name=subset,
        labels=tuple(ESC10.values()) if subset == "esc10" else ESC50,
        records=tuple(record for record in records if record.path.is_file()),
        missing=tuple(f"audio/{record.path.name}" for record in records if not record.path.is_file()),
    )


def authors(root: Path) -> tuple[str, ...]:
    """Return the names of the authors of the Freesound recordings behind ESC-10, sorted, each once."""
    for name in ("ATTRIBUTION.md", "LICENSE"):
        if (root / name).is_file():
            lines = (root / name).read_text().splitlines()
            files = {record.path.stem for record in load_esc50(root, "esc10").records}
            # "- [1-100032-A.ogg]: clip derived from ... (http://...) by nfrae [CC0]", or with the target in the name.
            found = (re.match(r"- \[?([\w-]+)\.ogg\]?:.*\) by (.+) [\[(]CC", line) for line in lines)
            takes = {re.sub(r"-\d+$", "", stem) for stem in files}
            named = {match[2] for match in found if match and (match[1] in files or match[1] in takes)}
            return tuple(sorted(named, key=str.casefold))
    raise ConfigError(f"expected ATTRIBUTION.md or LICENSE with the authors in {root}, got neither; download it again")


def _rows(root: Path) -> list[dict[str, str]]:
    tables = [root / "meta" / "esc50.csv", root / "meta.csv"]
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        raise ConfigError(f"expected meta/esc50.csv or meta.csv in {root}, got neither; point --data at the data set")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    needed = {"filename", "fold", "category"}
    if not rows or not needed <= set(rows[0]):
        raise ConfigError(f"expected rows with the columns {sorted(needed)} in {table}, got others; download it again")
    return rows


def _record(root: Path, row: Mapping[str, str]) -> Record:
    match = re.fullmatch(r"(\d)-(\d+)-([A-Z])-(\d+)\.(wav|ogg)", row["filename"])
    if match is None or match[1] != row["fold"]:
        raise ConfigError(
            f"expected a file name FOLD-SOURCE-TAKE-TARGET with fold {row['fold']}, got {row['filename']}; "
            "download the data set again"
        )
    category = row["category"]
    label = ESC10.get(category) or ESC50_NAMES.get(category) or category.replace("_", " ")
    duration_s = number(row["duration_s"], root / "meta.csv") if row.get("duration_s") else None
    return Record(
        root / "audio" / row["filename"], (label,), fold=int(row["fold"]), source=match[2], duration_s=duration_s
    )

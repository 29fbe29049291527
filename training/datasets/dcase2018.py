"""DCASE 2018 task 4: ten-second clips of domestic sounds from YouTube, few of them with labels.

Citation
    R. Serizel, N. Turpault, H. Eghbal-Zadeh, A. Parag Shah, "Large-Scale Weakly Labeled Semi-Supervised Sound Event
    Detection in Domestic Environments", DCASE Workshop 2018, https://hal.inria.fr/hal-01850270.
Source
    Metadata and the script that fetches the audio: https://github.com/DCASE-REPO/dcase2018_baseline, task4/dataset.
Licence
    Metadata and labels come with the baseline (MIT); the recordings keep the terms of their YouTube videos, so no
    audio is published, and some of it is gone: what is missing is counted.
Checksum
    None published.
Content
    44.1 kHz, mono, 10 s or less: a shorter clip has its length in its name. Ten classes, several per clip.
Splits
    "train" (weak.csv, 1,578 clips), "unlabelled" (unlabel_in_domain.csv, 14,412), "unlabelled_out_of_domain" (39,999),
    "validation" (the published test.csv, 288 clips) and "test" (eval.csv, 880). Events of the last two are collapsed
    to labels of the clip. test/files_to_remove.csv names clips that no longer belong to the published test: dropped.
A missing label
    Means absent in "train", "validation" and "test"; a clip with an empty event, 15 of them in "test", has no label
    at all and stays. Of the unlabelled clips nothing is known.
Layout
    ``metadata/{train,test,eval}/*.csv``, tab-separated whatever their suffix, and
    ``audio/{train/{weak,unlabel_in_domain,unlabel_out_of_domain},test,eval}/*.wav``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import on_disk, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS = (
    *("Alarm_bell_ringing", "Blender", "Cat", "Dishes", "Dog"),
    *("Electric_shaver_toothbrush", "Frying", "Running_water", "Speech", "Vacuum_cleaner"),
)
# Metadata and audio folder of each part, its column of labels, and the split it becomes.
PARTS = {
    "weak": ("train", "event_labels", "train"),
    "unlabel_in_domain": ("train", None, "unlabelled"),
    "unlabel_out_of_domain": ("train", None, "unlabelled_out_of_domain"),
    "test": ("test", "event_label", "validation"),
    "eval": ("eval", "event_label", "test"),
}


def load_dcase2018(root: Path, parts: Sequence[str] = tuple(PARTS)) -> DataSet:
    """Return the records of the named metadata files, in their order.

    Parameters
    ----------
    root : Path
        The folder that holds ``metadata`` and ``audio``.
    parts : sequence of str
        Names of metadata files: "weak", "unlabel_in_domain", "unlabel_out_of_domain", "test", "eval".

    Raises
    ------
    ConfigError
        When a metadata file or a column is missing, or a file name or label is none of the data set's.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ConfigError(f"expected parts among {list(PARTS)}, got {unknown}; name those to load")
    listed = [record for part in parts for record in _part(root, part)]
    removed = _removed(root) if "test" in parts else frozenset()
    is_removed = [record.split == "validation" and record.path.name in removed for record in listed]
    records, missing = on_disk(root, (r for r, gone in zip(listed, is_removed, strict=True) if not gone))
    dropped, _ = on_disk(root, (r for r, gone in zip(listed, is_removed, strict=True) if gone))
    return DataSet(
        name="dcase2018",
        labels=LABELS,
        records=records,
        missing=missing,
        dropped=tuple(record.path.relative_to(root).as_posix() for record in dropped),
    )


def _part(root: Path, part: str) -> list[Record]:
    folder, column, split = PARTS[part]
    columns = ("filename",) if column is None else ("filename", column)
    labels_of: dict[str, set[str]] = {}
    for row in read_table(root / "metadata" / folder / f"{part}.csv", columns, delimiter="\t"):
        cell = row[column] if column else ""
        labels_of.setdefault(row["filename"], set()).update(label for label in cell.split(",") if label)
    audio = root / "audio" / folder / part if folder == "train" else root / "audio" / folder
    records = []
    for name, labels in labels_of.items():
        if unknown := sorted(labels - set(LABELS)):
            raise ConfigError(f"expected labels of DCASE 2018 task 4 for {name}, got {unknown}; download it again")
        video, start_s, end_s = _parsed(name)
        records.append(
            Record(
                audio / name,
                tuple(label for label in LABELS if label in labels),
                observed=frozenset() if column is None else None,
                split=split,
                source=video,
                duration_s=round(end_s - start_s, 3),
            )
        )
    return records


def _parsed(name: str) -> tuple[str, float, float]:
    """Return video, start and end from YID_START_END.wav, from the right: an id may hold "_" or begin with "-"."""
    parts = name.removesuffix(".wav").rsplit("_", 2)
    if (
        len(parts) == 3
        and name.endswith(".wav")
        and re.fullmatch(r"Y[\w-]{11}", parts[0])
        and all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts[1:])
    ):
        return parts[0][1:], float(parts[1]), float(parts[2])
    raise ConfigError(f"expected a file name Y, 11 characters, _START_END.wav, got {name}; download the metadata again")


def _removed(root: Path) -> frozenset[str]:
    path = root / "metadata" / "test" / "files_to_remove.csv"
    return frozenset(row["filename"] for row in read_table(path, ["filename"], "\t")) if path.is_file() else frozenset()

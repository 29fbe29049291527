"""Vocal Imitation Set: people imitate 302 sounds with their voice; with the recordings that they imitate.

Citation
    B. Kim, M. Ghei, B. Pardo, Z. Duan, "Vocal Imitation Set: a dataset of vocally imitated sound events using the
    AudioSet ontology", DCASE Workshop 2018.
Source
    https://zenodo.org/record/1340763 (v1.1), https://github.com/interactiveaudiolab/VocalImitationSet
Licence
    The set: CC BY 4.0; the recordings under the Freesound licences in original_recordings_license.csv.
Checksum
    None published.
Content
    5,601 imitations that passed the publisher's test; 302 references, one per class; and, in v1.1, 2,985 recordings in
    all. Sample rates vary. One label per file, its class: a missing one is absent.
Splits
    None published: "imitation", "reference" (what people heard, the canonical recording of its class) and "recording"
    (others of the class) say what a file is. Drafts, training and rejected imitations, 5,641 files, are ``dropped``.
Duplicates
    49 recordings are in two classes, others are cuts of one (duplicates.csv). They have the Freesound number as their
    ``source`` in common; an imitation's source is its participant.
Layouts
    v1.1: ``vocal_imitations/{included,excluded}``, ``original_recordings/{reference,non_reference/CLASS}`` and
    ``original_recordings_classes.txt``. v1.0: ``included``, ``excluded``, ``reference_recordings`` and
    ``reference_audio_categories.txt``. In both ``vocal_imitations.txt``. Tables are tab-separated. A class is known by
    the three digits its names begin with: the rest holds spaces, parentheses and underscores.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import on_disk, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAB = "\t"


def load_vocal_imitation(root: Path) -> DataSet:
    """Return imitations, then references, then other recordings, each in the order of its table.

    Raises
    ------
    ConfigError
        When the tables of neither layout are there, lack columns, or name a file without a class.
    """
    is_first = not (root / "original_recordings_classes.txt").is_file()
    imitations = root if is_first else root / "vocal_imitations"
    recordings = _first_references(root) if is_first else _recordings(root)
    label_of = {record.label[:3]: record.label for record in recordings}
    listed, excluded = [], []
    for row in read_table(root / "vocal_imitations.txt", ["imitation_filename", "included", "participant_id"], TAB):
        if row["included"] not in ("True", "False"):
            raise ConfigError(
                f"expected True or False for {row['imitation_filename']}, got {row['included']!r}; download it again"
            )
        if row["included"] == "False":
            excluded.append(Record(imitations / "excluded" / row["imitation_filename"], ()))
            continue
        name = row["imitation_filename"]
        label = label_of.get(_key(name))
        if label is None:
            raise ConfigError(f"expected a class for {name} in the table of recordings, got none; download it again")
        # Participants are numbered in floating point.
        source = row["participant_id"].removesuffix(".0")
        listed.append(Record(imitations / "included" / name, (label,), split="imitation", source=source))
    records, missing = on_disk(root, [*listed, *recordings])
    dropped = tuple(record.path.relative_to(root).as_posix() for record in on_disk(root, excluded)[0])
    return DataSet("vocal_imitation", tuple(label_of[key] for key in sorted(label_of)), records, missing, dropped)


def _recordings(root: Path) -> list[Record]:
    """Return the references and other recordings of v1.1."""
    columns = ["filename", "classname", "is_reference"]
    rows = read_table(root / "original_recordings_classes.txt", columns, TAB)
    label_of = _labels(rows, "classname")
    folder, references, others = root / "original_recordings", [], []
    credit = _credits(root / "original_recordings_license.csv")
    for row in rows:
        label, source = label_of[_key(row["classname"])], _freesound(row["filename"])
        if row["is_reference"].upper() == "TRUE":
            # The file is named after the class, whatever the table calls it.
            path = folder / "reference" / f"{row['classname']}_reference.wav"
            references.append(Record(path, (label,), split="reference", source=credit.get(path.name, source)))
        else:
            path = folder / "non_reference" / row["classname"] / row["filename"]
            others.append(Record(path, (label,), split="recording", source=source))
    return references + others


def _first_references(root: Path) -> list[Record]:
    """Return the references of v1.0, which has no other recordings."""
    rows = read_table(root / "reference_audio_categories.txt", ["category_id", "reference_filename"], TAB)
    label_of = _labels(rows, "reference_filename")
    folder, credit = root / "reference_recordings", _credits(root / "reference_audio_credits.csv")
    return [
        Record(
            folder / row["reference_filename"],
            (label_of[_key(row["reference_filename"])],),
            split="reference",
            source=credit.get(row["reference_filename"], row["reference_filename"]),
        )
        for row in rows
    ]


def _credits(path: Path) -> dict[str, str]:
    """Return the Freesound number of each file, from its address; none where the table of credits is not there."""
    if not path.is_file():
        return {}
    numbers = {
        row["filename"]: re.search(r"/(\d+)/?$", row["file_url"]) for row in read_table(path, ["filename", "file_url"])
    }
    return {name: match[1] for name, match in numbers.items() if match}


def _labels(rows: Sequence[Mapping[str, str]], column: str) -> dict[str, str]:
    """Return the class of each three digits, without what is no part of its name."""
    return {_key(row[column]): re.sub(r"(___\d+Samples)?(_reference\.wav)?$", "", row[column]) for row in rows}


def _key(name: str) -> str:
    if not re.match(r"\d{3}\D", name):
        raise ConfigError(
            f"expected a name that begins with the three digits of its class, got {name!r}; download it again"
        )
    return name[:3]


def _freesound(name: str) -> str:
    """Return the Freesound number that a recording's name begins with, else the name."""
    match = re.match(r"(\d+)__", name)
    return match[1] if match else name

"""SONYC-UST V1 and V2: ten-second recordings of New York streets, annotated by volunteers and by the project's team.

Citation
    M. Cartwright and others, "SONYC Urban Sound Tagging (SONYC-UST): A Multilabel Dataset from an Urban Acoustic Sensor
    Network", DCASE Workshop 2019; "SONYC-UST-V2: An Urban Sound Tagging Dataset with Spatiotemporal Context",
    arXiv:2009.05188 (2020).
Source
    V1: https://zenodo.org/record/2590742. V2 (2.3, with its test part): https://zenodo.org/record/3966543.
Licence
    CC BY 4.0
Checksum
    annotations.csv of V2.3: MD5 70b507b15bb4cfcce4870925302f276b.
Content
    48 kHz, mono, 16 bits, 10 s. V1: 2,794 recordings in the development release; V2: 18,510. Eight coarse groups of 29
    fine labels, six of which stand for "other or unknown" of their group.
Splits
    The publisher's "train", "validate" (here "validation") and "test"; train and validation differ in sensors, test is
    later in time. ``source`` is the sensor.
Labels
    The 23 fine labels that name a sound, in the order of the taxonomy. In "train" one is present when a volunteer
    (annotator above 0) marked it; in "validation" and "test" when the agreed annotation (annotator 0) has it. Clips
    without an annotation of the needed kind, such as those with marks of single team members (below 0) only, cannot be
    labelled: they are in ``dropped``.
A missing label
    Absent where it is observed. Unknown when nobody annotated it (-1), and when the clip has the "other or unknown"
    of its group, which may be that very sound.
Layout
    ``annotations.csv``, one row per clip and annotator, and the recordings in any folders: the audio-N of the archives
    or a single one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import number, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SPLITS = {"train": "train", "validate": "validation", "test": "test"}
# Where the six labels "X" stand in the taxonomy's list of 29.
UNKNOWN_COLUMNS = (3, 8, 13, 18, 22, 27)


def load_sonyc_ust(root: Path, unannotated: Literal["ignored", "summed"] = "ignored") -> DataSet:
    """Return one record per clip, in the order of the file names.

    Parameters
    ----------
    root : Path
        The folder that holds ``annotations.csv``.
    unannotated : str
        "ignored": a volunteer's -1 says nothing. "summed": it counts as -1, so that it cancels another's mark, and the
        label stays observed; that is the arithmetic of the code behind Gururani and Lerch (2021).

    Raises
    ------
    ConfigError
        When the table is missing, lacks columns, or has values that are none of the published.
    """
    if unannotated not in ("ignored", "summed"):
        raise ConfigError(f"expected ignored or summed for what nobody annotated, got {unannotated!r}; choose one")
    table = root / "annotations.csv"
    rows = read_table(table, ["split", "sensor_id", "audio_filename", "annotator_id"])
    columns = _columns(table, rows)
    by_clip: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        by_clip.setdefault(row["audio_filename"], []).append(row)
    path_of = {path.name: path for path in sorted(root.rglob("*.wav")) if not path.name.startswith(".")}

    records, missing, dropped = [], [], []
    for name, marks in sorted(by_clip.items()):
        split = _split(table, name, marks)
        usable = [
            row
            for row in marks
            if (number(row["annotator_id"], table) > 0 if split == "train" else row["annotator_id"] == "0")
        ]
        if name not in path_of:
            missing.append(name)
        elif not usable:
            dropped.append(path_of[name].relative_to(root).as_posix())
        else:
            labels, observed = _labels(table, usable, columns, summed=unannotated == "summed" and split == "train")
            records.append(
                Record(path_of[name], labels, observed, split=split, source=marks[0]["sensor_id"], duration_s=10.0)
            )
    names = tuple(name for _, fine, name in columns if fine != "X")
    return DataSet("sonyc_ust", names, tuple(records), tuple(missing), tuple(dropped))


def _columns(table: Path, rows: Sequence[Mapping[str, str]]) -> list[tuple[str, str, str]]:
    """Return (group, number or X, name) of the 29 fine labels, X last in each group."""
    header = rows[0] if rows else {}
    found = [match.groups() for column in header if (match := re.fullmatch(r"(\d)-(\d|X)_(.+)_presence", column))]
    # "X" sorts behind the digits.
    columns = sorted((group, fine, name) for group, fine, name in found)
    if len(columns) != 29 or tuple(i for i, column in enumerate(columns) if column[1] == "X") != UNKNOWN_COLUMNS:
        raise ConfigError(f"expected the presence of 29 fine labels in {table}, got {len(columns)}; download it again")
    return columns


def _split(table: Path, name: str, marks: Sequence[Mapping[str, str]]) -> str:
    splits = {row["split"] for row in marks}
    if len(splits) != 1 or not splits <= set(SPLITS):
        raise ConfigError(
            f"expected one of {list(SPLITS)} for {name} in {table}, got {sorted(splits)}; download it again"
        )
    return SPLITS[splits.pop()]


def _labels(
    table: Path, rows: Sequence[Mapping[str, str]], columns: Sequence[tuple[str, str, str]], *, summed: bool
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the labels that the rows agree to be there, and those that are known."""
    present, known = set(), set()
    for column in columns:
        group, fine, name = column
        values = [number(row[f"{group}-{fine}_{name}_presence"], table) for row in rows]
        if not set(values) <= {-1, 0, 1}:
            raise ConfigError(f"expected 1, 0 or -1 for {name}, got {sorted(set(values))}; download the table again")
        if not summed:
            values = [value for value in values if value >= 0]
        if values:
            known.add(column)
        if sum(values) > 0:
            present.add(column)
    masked = {group for group, fine, _ in present if fine == "X"}
    observed = [column for column in columns if column in known and column[0] not in masked and column[1] != "X"]
    return tuple(column[2] for column in observed if column in present), frozenset(column[2] for column in observed)

"""AudioSet: ten-second segments of YouTube videos with 527 kinds of sound.

Citation
    J. F. Gemmeke and others, "Audio Set: An ontology and human-labeled dataset for audio events", ICASSP 2017.
Source
    https://research.google.com/audioset/download.html
Licence
    Labels: CC BY 4.0; ontology: CC BY-SA 4.0. No audio is published, and what people crawled keeps its videos' terms.
Checksum
    None published.
Content
    eval_segments.csv 20,371 segments, balanced_train_segments.csv 22,160, unbalanced_train_segments.csv 2,042,985.
Splits
    "test" (eval) and "train" (both others). ``source`` is the video.
A missing label
    Unknown: labels are weak and name what was found, so only the positives are observed.
Layouts
    The csv files with exactly three lines of comment, ``class_labels_indices.csv``, and recordings anywhere below,
    named ID or YID_START_END, in any format that can be read; an id has 11 characters and may begin with "-" or "Y".
    ``load_audioset_vggish``: 975 segments as quantised VGGish embeddings (``audioset_vggish_small.npz``, ``meta.csv``),
    without audio.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import number, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PARTS = {"balanced_train": "train", "unbalanced_train": "train", "eval": "test"}
N_COMMENTS = 3
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm")


def load_audioset(root: Path, parts: Sequence[str] = ("balanced_train", "eval")) -> DataSet:
    """Return the segments whose recordings are there, in the order of the csv files.

    Parameters
    ----------
    root : Path
        The folder that holds the csv files and, somewhere below, the recordings.
    parts : sequence of str
        Among "balanced_train", "unbalanced_train" and "eval".

    Raises
    ------
    ConfigError
        When a file is missing or not of the published form.
    """
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ConfigError(f"expected parts among {list(PARTS)}, got {unknown}; name those to load")
    names = label_names(root)
    rank = {mid: i for i, mid in enumerate(names)}
    path_of = _recordings(root)
    records, missing = [], []
    for part in parts:
        for video, start_s, end_s, mids in read_segments(root / f"{part}_segments.csv"):
            if unheard := [mid for mid in mids if mid not in names]:
                raise ConfigError(
                    f"expected labels of class_labels_indices.csv for {video}, got {unheard}; download it"
                )
            path = path_of.get((video, start_s)) or path_of.get((video, None))
            if path is None:
                missing.append(f"Y{video}_{start_s:.3f}_{end_s:.3f}")
                continue
            labels = tuple(names[mid] for mid in sorted(set(mids), key=rank.__getitem__))
            observed = frozenset(labels)
            records.append(Record(path, labels, observed, split=PARTS[part], source=video, duration_s=end_s - start_s))
    return DataSet("audioset", tuple(names.values()), tuple(records), tuple(missing))


def label_names(root: Path) -> dict[str, str]:
    """Return the display name of each machine id, in the order of the published indices."""
    rows = read_table(root / "class_labels_indices.csv", ["index", "mid", "display_name"])
    if [row["index"] for row in rows] != [str(i) for i in range(len(rows))]:
        raise ConfigError(f"expected the indices 0 to {len(rows) - 1} in class_labels_indices.csv; download it again")
    return {row["mid"]: row["display_name"] for row in rows}


def read_segments(path: Path) -> Iterator[tuple[str, float, float, list[str]]]:
    """Yield (video id, start_s, end_s, machine ids) of each segment of a published csv file."""
    try:
        file = path.open(newline="", encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"expected {path.name} in {path.parent}, got none; download it") from None
    with file:
        comments = [file.readline() for _ in range(N_COMMENTS)]
        if not all(line.startswith("#") for line in comments):
            raise ConfigError(f"expected {N_COMMENTS} lines of comment in {path}, got others; download it again")
        # A quoted list of labels follows the space behind a comma.
        for row in csv.reader(file, skipinitialspace=True):
            if len(row) != 4 or not re.fullmatch(r"[\w-]{11}", row[0]):
                raise ConfigError(f'expected ID, START, END, "LABELS" in {path}, got {row}; download it again')
            yield row[0], number(row[1], path), number(row[2], path), row[3].split(",")


def load_audioset_vggish(root: Path) -> DataSet:
    """Return the segments of the small set of embeddings, in the order of its rows.

    A record's path is the name that its recording would have; no audio belongs to the set. Labels that are not listed
    are unknown.
    """
    names = tuple(label_names(root).values())
    with _arrays(root) as arrays:
        positive = _array(arrays, "Y_pos").astype(np.bool_)
    rows = read_table(root / "meta.csv", ["video_id", "start_s", "end_s", "label_indices"])
    if positive.shape != (len(rows), len(names)):
        raise ConfigError(f"expected Y_pos of shape {(len(rows), len(names))}, got {positive.shape}; download it again")
    records = []
    for row, flags in zip(rows, positive, strict=True):
        indices = np.flatnonzero(flags).tolist()
        if indices != sorted(int(i) for i in row["label_indices"].split()):
            raise ConfigError(f"expected the labels of meta.csv in Y_pos for {row['video_id']}; download it again")
        labels = tuple(names[i] for i in indices)
        start_s, end_s = float(row["start_s"]), float(row["end_s"])
        path = root / f"Y{row['video_id']}_{start_s:.3f}_{end_s:.3f}.wav"
        records.append(Record(path, labels, frozenset(labels), source=row["video_id"], duration_s=end_s - start_s))
    return DataSet("audioset_vggish", names, tuple(records))


def vggish(root: Path) -> NDArray[np.uint8]:
    """Return the embeddings of ``load_audioset_vggish``'s records, shape (n_records, 10, 128), 0 ... 255."""
    with _arrays(root) as arrays:
        return _array(arrays, "X").astype(np.uint8)


def _arrays(root: Path) -> Any:
    try:
        return np.load(root / "audioset_vggish_small.npz")
    except (OSError, ValueError) as error:
        raise ConfigError(f"expected audioset_vggish_small.npz in {root}, got: {error}; download it again") from None


def _array(arrays: Any, key: str) -> NDArray[Any]:
    if key not in arrays:
        raise ConfigError(
            f"expected the array {key} in audioset_vggish_small.npz, got {list(arrays)}; download it again"
        )
    return np.asarray(arrays[key])


def _recordings(root: Path) -> dict[tuple[str, float | None], Path]:
    """Return the recording of each (video, start), or of each (video, None) where the name has no times."""
    found: dict[tuple[str, float | None], Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        timed = re.fullmatch(r"Y([\w-]{11})_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", path.stem)
        if timed:
            found[timed[1], float(timed[2])] = path
        elif re.fullmatch(r"[\w-]{11}", path.stem):
            found[path.stem, None] = path
    return found

"""OpenMIC-2018: ten-second excerpts of music, each with a few of twenty instruments confirmed or denied.

Citation
    E. J. Humphrey, S. Durand, B. McFee, "OpenMIC-2018: An Open Dataset for Multiple Instrument Recognition",
    ISMIR 2018.
Source
    https://zenodo.org/record/1432913, https://github.com/cosmir/openmic-2018
Licence
    Annotations: CC BY 4.0. Recordings: from the Free Music Archive, each under the licence that the metadata names.
Checksum
    openmic-2018-v1.0.0.tgz: MD5 e4ccf187e2bb5ab2e115416e8aafe7f4.
Content
    20,000 excerpts (OGG, 10 s), 20 instruments; also VGGish embeddings, ten a clip, quantised to 0 ... 255. Ten source
    tracks were corrupt when they were annotated, and the publisher corrected the three labels that this got wrong.
Splits
    partitions/split01_train.csv (14,915) "train" and split01_test.csv (5,085) "test", or train01.txt and test01.txt as
    the publisher's notes call them; disjoint in artists.
A missing label
    Unknown: about 2 of the 20 instruments are observed in a clip. An observed one is present from a relevance of 0.5
    on. ``Y_true`` of openmic-2018.npz is 0.5 where nothing is known, so it means nothing without ``Y_mask``.
Layout
    ``openmic-2018.npz``, ``openmic-2018-aggregated-labels.csv``, ``openmic-2018-metadata.csv``, ``partitions/`` and
    ``audio/KEY[:3]/KEY.ogg`` with keys TRACK_STARTSAMPLE.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import on_disk, read_lines, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LABELS = (
    *("accordion", "banjo", "bass", "cello", "clarinet", "cymbals", "drums", "flute", "guitar", "mallet_percussion"),
    *("mandolin", "organ", "piano", "saxophone", "synthesizer", "trombone", "trumpet", "ukulele", "violin", "voice"),
)
PARTITIONS = {"train": ("split01_train.csv", "train01.txt"), "test": ("split01_test.csv", "test01.txt")}


def load_openmic2018(root: Path, *, audio: bool = True) -> DataSet:
    """Return the records in the order of their keys.

    Parameters
    ----------
    root : Path
        The folder that holds ``openmic-2018.npz``.
    audio : bool
        False for work on ``vggish``: every record, whether its recording is there or not.

    Raises
    ------
    ConfigError
        When a file is missing, or arrays, table and partitions contradict each other.
    """
    with _arrays(root) as arrays:
        relevance, observed = _array(arrays, "Y_true"), _array(arrays, "Y_mask").astype(np.bool_)
    keys = _keys(root, observed)
    split_of, artist_of = _splits(root), _artists(root)
    listed = []
    for key, scores, known in zip(keys, relevance, observed, strict=True):
        if key not in split_of:
            raise ConfigError(f"expected {key} in a file of {root / 'partitions'}, got it in none; download it again")
        listed.append(
            Record(
                root / "audio" / key[:3] / f"{key}.ogg",
                tuple(label for label, score, seen in zip(LABELS, scores, known, strict=True) if seen and score >= 0.5),
                observed=frozenset(label for label, seen in zip(LABELS, known, strict=True) if seen),
                split=split_of[key],
                source=artist_of.get(key) or key.split("_")[0],
                duration_s=10.0,
            )
        )
    records, missing = on_disk(root, listed) if audio else (tuple(listed), ())
    return DataSet("openmic2018", LABELS, records, missing)


def vggish(root: Path, data: DataSet) -> NDArray[np.uint8]:
    """Return the published embeddings of ``data``'s records, shape (n_records, 10, 128), 0 ... 255."""
    with _arrays(root) as arrays:
        embeddings, observed = _array(arrays, "X"), _array(arrays, "Y_mask").astype(np.bool_)
    if embeddings.min(initial=0) < 0 or embeddings.max(initial=0) > 255:
        raise ConfigError(f"expected embeddings in 0 ... 255 in {root / 'openmic-2018.npz'}; download it again")
    row_of = {key: i for i, key in enumerate(_keys(root, observed))}
    return embeddings[[row_of[record.path.stem] for record in data.records]].astype(np.uint8)


def _arrays(root: Path) -> Any:
    try:
        return np.load(root / "openmic-2018.npz")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected the arrays of openmic-2018.npz in {root}, got: {error}; point at the folder of the data set, or "
            "download it again"
        ) from None


def _array(arrays: Any, key: str) -> NDArray[Any]:
    if key not in arrays:
        raise ConfigError(f"expected the array {key} in openmic-2018.npz, got {list(arrays)}; download it again")
    return np.asarray(arrays[key])


def _keys(root: Path, observed: NDArray[np.bool_]) -> list[str]:
    """Return the key of each row of the arrays.

    They are published as pickled objects, and unpickling runs whatever code a file holds. So the keys are those of the
    table of labels, sorted as the rows are, and the table must have observed what the arrays say.
    """
    table = root / "openmic-2018-aggregated-labels.csv"
    known: dict[str, set[str]] = {}
    for row in read_table(table, ["sample_key", "instrument", "relevance", "num_responses"]):
        known.setdefault(row["sample_key"], set()).add(row["instrument"])
    keys = sorted(known)
    class_map = root / "class-map.json"
    if class_map.is_file() and json.loads(class_map.read_text()) != {label: i for i, label in enumerate(LABELS)}:
        raise ConfigError(f"expected the 20 instruments in alphabetical order in {class_map}; download it again")
    if observed.shape != (len(keys), len(LABELS)):
        raise ConfigError(
            f"expected Y_mask of shape {(len(keys), len(LABELS))} for the keys of {table.name}, got {observed.shape}; "
            "download the data set again"
        )
    for key, seen in zip(keys, observed, strict=True):
        if {label for label, one in zip(LABELS, seen, strict=True) if one} != known[key]:
            raise ConfigError(
                f"expected the instruments {sorted(known[key])} of {table.name} in Y_mask for {key}, got others; "
                "download the data set again"
            )
    return keys


def _splits(root: Path) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for split, names in PARTITIONS.items():
        path = next((root / "partitions" / name for name in names if (root / "partitions" / name).is_file()), None)
        if path is None:
            raise ConfigError(f"expected partitions/{names[0]} or {names[1]} in {root}, got neither; download it again")
        for key in read_lines(path):
            if key in split_of:
                raise ConfigError(f"expected {key} in one partition, got it twice; download the data set again")
            split_of[key] = split
    return split_of


def _artists(root: Path) -> dict[str, str]:
    """Return the artist of each clip; nothing without the metadata, and tracks tell clips apart then."""
    path = root / "openmic-2018-metadata.csv"
    return (
        {row["sample_key"]: row["artist_id"] for row in read_table(path, ["sample_key", "artist_id"])}
        if path.is_file()
        else {}
    )

"""Recordings that a conversion measures with: a folder's, with labels where they are known, or made-up ones."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.audio import open_audio
from engine.errors import ConfigError
from engine.golden import synthetic_clip
from engine.scan import find_audio

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.card import ModelCard

MAX_RECORDINGS = 256
WINDOWS_OF_EACH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The beginning of a recording.

    Attributes
    ----------
    path : Path or None
        None for a made-up one.
    samples : ndarray, shape (n_samples,), float32
        At the model's rate, at most four of its windows.
    label : str or None
        What is heard, one of the model's labels; None where nobody said.
    """

    path: Path | None
    samples: NDArray[np.float32]
    label: str | None


def read_recordings(
    folder: str | os.PathLike[str], card: ModelCard, labels_csv: str | os.PathLike[str] | None = None
) -> tuple[Recording, ...]:
    """Read up to 256 recordings, evenly spread over a folder in the order of their names.

    Parameters
    ----------
    folder : path
        Searched with its folders, as ``engine.scan.find_audio`` does.
    card : ModelCard
        Of a model that takes sound.
    labels_csv : path, optional
        A table with the columns ``file`` (a path below the folder, or a name alone) and ``label``; then only recordings
        that it names are taken.

    Raises
    ------
    AudioError
        There are no recordings, or one cannot be read.
    ConfigError
        The model takes no sound, or the table lacks a column, has a label that the model does not have, or names none
        of the recordings.
    """
    if card.sample_rate is None:
        raise ConfigError(f"expected a model that takes sound, {card.name!r} takes embeddings; choose another model")
    found = list(find_audio([folder]))
    labels: dict[Path, str] = {}
    if labels_csv is not None:
        named = _read_labels(Path(labels_csv), card)
        labels = {path: label for path in found if (label := _label_of(path, Path(folder), named)) is not None}
        if not labels:
            raise ConfigError(f"expected {labels_csv} to name recordings in {folder}, it names none; check its paths")
        found = list(labels)
    step = max(1, -(-len(found) // MAX_RECORDINGS))
    length = WINDOWS_OF_EACH * card.window
    return tuple(_read(path, card.sample_rate, length, labels.get(path)) for path in found[::step])


def synthetic_recordings(card: ModelCard) -> tuple[Recording, ...]:
    """Return what a model must bear: the golden clip, a part of it, noise of any level, one sample, and silence."""
    assert card.sample_rate is not None
    golden = synthetic_clip("bursts-chirp-clicks", card.window, card.sample_rate)
    noise = uneven_noise(5 * card.window // 2)
    clips = (golden, golden[: card.window // 3 + 1], noise, noise[:1], np.zeros(card.window, np.float32))
    return tuple(Recording(None, clip, None) for clip in clips)


def uneven_noise(n_samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Return noise between -60 and -10 dB of full scale, shape (n_samples,)."""
    generator = np.random.default_rng(seed)
    level = 10 ** np.interp(np.arange(n_samples), np.linspace(0, n_samples, 9), generator.uniform(-3, -0.5, 9))
    noise: NDArray[np.float32] = (level * generator.standard_normal(n_samples)).clip(-1, 1).astype(np.float32)
    return noise


def _read(path: Path, sample_rate: int, length: int, label: str | None) -> Recording:
    with open_audio(path, sample_rate) as reader:
        return Recording(path, next(iter(reader.blocks(length))), label)


def _read_labels(path: Path, card: ModelCard) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"expected a CSV table of labels, got {path}: {error}; check the file") from error
    if not rows or not {"file", "label"} <= set(rows[0]):
        columns = list(rows[0]) if rows else "no rows"
        raise ConfigError(f"expected the columns file and label in {path}, got {columns}; add them")
    if unknown := sorted({row["label"] for row in rows} - set(card.labels)):
        raise ConfigError(f"expected labels of {card.name!r} in {path}, got unknown {unknown}; use its own words")
    return {row["file"]: row["label"] for row in rows}


def _label_of(path: Path, folder: Path, named: Mapping[str, str]) -> str | None:
    below = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
    return named.get(below, named.get(path.name))

"""Ten-second scenes of several sounds, made from ESC-10 and field recordings: a stand-in for DCASE 2018 task 4.

A scene is a field recording with one to three different sounds of ESC-10 over it, each at a random time and 0 to 20 dB
louder than what it covers. As in DCASE a small part of the training scenes has labels and a larger one has none, and a
few scenes of the evaluation have no sound at all. Every truth is known, that of unlabelled scenes included.

Sources
    Sounds: ESC-10 (training/datasets/esc50.py). Background: any folder of recordings of ten seconds or more; for the
    report, a day of field recordings sampled every quarter of an hour (scikit-maad's, BSD-3-Clause).
Parts
    Two folds of ESC-10 are trained on, one validates and one evaluates, which ones is the seed's choice; no recording
    of Freesound is in two folds. Background is divided by stretches of eight recordings in the order of their names, so
    that neighbours in time are in one part.
A missing label
    Means absent: nothing but the field recordings themselves could hold a sound that is not listed. They were not
    listened through for distant dogs and roosters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.audio import load
from engine.errors import ConfigError
from engine.scan import find_audio
from training.datasets.esc50 import load_esc50
from training.datasets.mixing import fitted, heard, over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.datasets.record import Record

SECONDS = 10.0
PARTS = ("labelled", "unlabelled", "validation", "evaluation")
# Chances of one, two and three sounds; share of the evaluation's scenes without any (15 of 880 in DCASE 2018).
N_SOUNDS = (0.5, 0.3, 0.2)
EMPTY = 0.02
_STRETCH = 8


@dataclass(frozen=True)
class Sound:
    """One sound of a scene.

    Attributes
    ----------
    label : str
    path : Path
    above_db : float
        By how much it is louder than what it covers.
    place : float
        Where it begins, as a share of the room there is.
    """

    label: str
    path: Path
    above_db: float
    place: float


@dataclass(frozen=True)
class Scene:
    """A field recording with sounds over it.

    Attributes
    ----------
    background : Path
    sounds : tuple of Sound
    """

    background: Path
    sounds: tuple[Sound, ...]


@dataclass(frozen=True)
class SceneSet:
    """Scenes in parts.

    Attributes
    ----------
    labels : tuple of str
    parts : mapping from "labelled", "unlabelled", "validation" and "evaluation" to tuples of Scene
    """

    labels: tuple[str, ...]
    parts: Mapping[str, tuple[Scene, ...]]

    def __hash__(self) -> int:
        """Hash what is in it: sets that are equal are one key."""
        return hash((self.labels, tuple(self.parts.items())))

    def targets(self, part: str) -> NDArray[np.uint8]:
        """Return 1 where a sound is in a scene, else 0, shape (n_scenes, n_labels)."""
        made = np.zeros((len(self.parts[part]), len(self.labels)), np.uint8)
        for row, scene in zip(made, self.parts[part], strict=True):
            row[[self.labels.index(sound.label) for sound in scene.sounds]] = 1
        return made


def make_scenes(
    esc10: Path, background: Path, counts: Mapping[str, int], seed: int, first_fold: int | None = None
) -> SceneSet:
    """Draw scenes; the same ones for the same arguments.

    Parameters
    ----------
    esc10, background : Path
        Folders of ESC-10 and of field recordings.
    counts : mapping of str to int
        How many scenes each part has.
    seed : int
    first_fold : int, optional
        Position of the fold that evaluates, the next one validates; by default the seed decides.

    Raises
    ------
    ConfigError
        When there are fewer than four folds, or too few field recordings for three parts.
    """
    data = load_esc50(esc10, "esc10").complete()
    folds = sorted({record.fold for record in data.records if record.fold is not None})
    if len(folds) < 4:
        raise ConfigError(f"expected four folds or more of ESC-10, got {folds}; download it again")
    first = seed if first_fold is None else first_fold
    evaluation, validation = folds[first % len(folds)], folds[(first + 1) % len(folds)]
    train = [fold for fold in folds if fold not in (evaluation, validation)]
    folds_of = {"labelled": train, "unlabelled": train, "validation": [validation], "evaluation": [evaluation]}
    fields = divide_background(sorted(find_audio([background])), seed)
    parts = {}
    for number, part in enumerate(PARTS):
        there = [record for record in data.records if record.fold in folds_of[part]]
        generator = np.random.default_rng((seed, number))
        beneath = fields.get(part, fields["train"])
        empty = EMPTY if part == "evaluation" else 0.0
        parts[part] = tuple(draw_scene(there, beneath, generator, empty) for _ in range(counts[part]))
    return SceneSet(data.labels, parts)


def divide_background(paths: Sequence[Path], seed: int) -> dict[str, list[Path]]:
    """Divide field recordings: half of the stretches train, a quarter validates, a quarter evaluates."""
    stretches = [paths[i : i + _STRETCH] for i in range(0, len(paths), _STRETCH)]
    if len(stretches) < 4:
        raise ConfigError(
            f"expected {3 * _STRETCH + 1} field recordings or more, got {len(paths)}; choose another background"
        )
    order = np.random.default_rng(seed).permutation(len(stretches))
    quarter = len(stretches) // 4
    chosen = {"validation": order[:quarter], "evaluation": order[quarter : 2 * quarter], "train": order[2 * quarter :]}
    return {part: [path for i in sorted(rows) for path in stretches[i]] for part, rows in chosen.items()}


def draw_scene(
    records: Sequence[Record], background: Sequence[Path], generator: Generator, empty: float = 0.0
) -> Scene:
    """Draw one scene; with the chance ``empty`` one without sounds."""
    field = background[int(generator.integers(len(background)))]
    if generator.random() < empty:
        return Scene(field, ())
    labels = sorted({record.label for record in records})
    n_sounds = 1 + int(generator.choice(len(N_SOUNDS), p=N_SOUNDS))
    sounds = []
    for label in generator.permutation(labels)[:n_sounds].tolist():
        of_label = [record for record in records if record.label == label]
        path = of_label[int(generator.integers(len(of_label)))].path
        sounds.append(Sound(label, path, float(generator.uniform(0, 20)), float(generator.random())))
    return Scene(field, tuple(sounds))


def waveforms(scenes: Iterable[Scene], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    """Give each scene's samples, shape (10 s,); every recording is decoded once and kept."""
    n_samples = round(SECONDS * sample_rate)
    fields: dict[Path, NDArray[np.float32]] = {}
    sounds: dict[Path, NDArray[np.float32]] = {}
    for scene in scenes:
        if scene.background not in fields:
            fields[scene.background] = fitted(load(scene.background, sample_rate)[0], n_samples)
        mixed = fields[scene.background]
        for sound in scene.sounds:
            if sound.path not in sounds:
                sounds[sound.path] = heard(load(sound.path, sample_rate)[0])[:n_samples]
            mixed = over(sounds[sound.path], mixed, sound.above_db, sound.place)
        yield mixed

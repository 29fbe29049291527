"""Imbalanced event detection made from labelled recordings: few clips of some events, many of background.

The data protocol of the triple-header paper (section 3) on three corpora. A clip has one event or none; classes stand
in a stated ratio in training and validation, as the paper downsamples them, and all that is left is tested. Clips of
one source (speaker, Freesound recording, video) are on one side only.

keywords
    Three words of Speech Commands, one second each; background is every other word, and silence.
esc10
    Three sounds of ESC-10 over another recording of the other seven, 0 to 20 dB louder where they are heard;
    background is two of those seven mixed in the same way, so that mixing itself says nothing. Five seconds.
audioset
    The paper's events over local clips of AudioSet: background has none of the three nor what the ontology puts under
    them, clips with two of them are left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engine.audio import load
from engine.errors import ConfigError
from training.datasets.audioset import load_audioset
from training.datasets.esc50 import CITATION, authors, load_esc50
from training.datasets.mixing import fitted, heard, over
from training.datasets.speech_commands import load_speech_commands

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import Record

PARTS = ("train", "validation", "test")
SHARES = (0.7, 0.2, 0.1)
# Dog, baby and gun; "Dog" has the number of clips that the paper states, "Bark" has fewer.
AUDIOSET_EVENTS = ("Dog", "Baby cry, infant cry", "Gunshot, gunfire")
BACKGROUND = "background"


@dataclass(frozen=True)
class EventClip:
    """A clip with one event, or with none.

    Attributes
    ----------
    event : int
        Index of the event; background is the number of events.
    path : Path
        The recording, or the event of a mixture.
    under : Path or None
        What lies under a mixture.
    above_db, place : float
        Of a mixture: by how much the event is louder than what is under it while it is heard, and where it begins, as a
        share of the room there is.
    """

    event: int
    path: Path
    under: Path | None = None
    above_db: float = 0.0
    place: float = 0.0

    def waveform(self, sample_rate: int, seconds: float) -> NDArray[np.float32]:
        """Return the clip, zeros behind its end, shape (round(sample_rate * seconds),)."""
        n_samples = round(sample_rate * seconds)
        samples = fitted(load(self.path, sample_rate)[0], n_samples)
        if self.under is None:
            return samples
        under = fitted(load(self.under, sample_rate)[0], n_samples)
        return over(heard(samples), under, self.above_db, self.place)


@dataclass(frozen=True)
class EventSet:
    """Clips of events and of background, in parts.

    Attributes
    ----------
    labels : tuple of str
        The events.
    parts : mapping from "train", "validation" and "test" to tuples of EventClip
    seconds : float
        Length of a clip.
    description, licence, attribution : str
        For the card of a model.
    """

    labels: tuple[str, ...]
    parts: Mapping[str, tuple[EventClip, ...]]
    seconds: float
    description: str
    licence: str
    attribution: str


class Selection(Protocol):
    """What is asked for."""

    @property
    def corpus(self) -> str: ...  # noqa: D102
    @property
    def events(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def ratio(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def most(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def divide_groups(
    records: Sequence[Record], seed: int, shares: tuple[float, ...] = SHARES
) -> dict[str, tuple[Record, ...]]:
    """Divide records into parts of about the given shares, all of one source in one part, at random by the seed."""
    generator = np.random.default_rng(seed)
    sizes: dict[str, int] = {}
    for record in records:
        sizes[record.source] = sizes.get(record.source, 0) + 1
    names = sorted(sizes)
    shuffled = [names[i] for i in generator.permutation(len(names))]
    middle = np.cumsum([sizes[name] for name in shuffled]) - np.array([sizes[name] for name in shuffled]) / 2
    limits = np.cumsum(shares) / np.sum(shares) * len(records)
    part_of = {name: PARTS[int(np.searchsorted(limits, m))] for name, m in zip(shuffled, middle, strict=True)}
    return {part: tuple(r for r in records if part_of[r.source] == part) for part in PARTS}


def in_ratio(classes: NDArray[np.int64], ratio: tuple[int, ...], most: int, seed: int) -> NDArray[np.int64]:
    """Return indices of clips whose classes stand in a ratio, as many as there are; sorted.

    Parameters
    ----------
    classes : ndarray, shape (n_clips,)
    ratio : tuple of int
        One number for each class.
    most : int
        Clips of one part of the ratio at most; 0 sets no limit.
    seed : int

    Raises
    ------
    ConfigError
        A class has fewer clips than its number in the ratio.
    """
    counts = np.bincount(classes, minlength=len(ratio))
    unit = min(int(count) // part for count, part in zip(counts, ratio, strict=True))
    unit = min(unit, most) if most else unit
    if unit < 1:
        raise ConfigError(f"expected at least {ratio} clips of the classes, got {counts.tolist()}; change --ratio")
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(np.flatnonzero(classes == c))[: unit * part] for c, part in enumerate(ratio)]
    return np.sort(np.concatenate(chosen))


def load_events(root: Path, asked: Selection) -> EventSet:
    """Return the clips of a corpus in the parts and the ratio that are asked for.

    Raises
    ------
    ConfigError
        The data set is not there, an event is none of its labels, or there are too few clips for the ratio.
    """
    n_events = len(asked.events) or 3
    if n_events != len(asked.ratio) - 1:
        raise ConfigError(f"expected {n_events} events in --ratio, got {asked.ratio}; give a number for each")
    return {"keywords": _keywords, "esc10": _esc10, "audioset": _audioset}[asked.corpus](root, asked)


def _classes(records: Sequence[Record], labels: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([labels.index(r.label) if r.label in labels else len(labels) for r in records], np.int64)


def _keywords(root: Path, asked: Selection) -> EventSet:
    data = load_speech_commands(root).complete()
    labels = _known(asked.events or ("stop", "yes", "left"), data.labels)
    # Silence is cut from a few recordings of noise, which every part may have: its clips are divided one by one.
    records = [
        replace(record, source=f"{record.label}/{record.path.name}") if record.source == "noise" else record
        for record in sorted(data.records, key=lambda record: record.path.as_posix())
    ]
    parts = _divided(records, labels, asked)
    counts = ", ".join(f"{len(clips)} {part}" for part, clips in parts.items())
    return EventSet(
        labels,
        parts,
        1.0,
        f"Speech Commands v0.02, {counts} clips, speakers disjoint, words and background {asked.ratio} in training",
        "Apache-2.0; the training recordings are CC BY 4.0",
        "Trained on Speech Commands v0.02, Google, CC BY 4.0",
    )


def _divided(records: Sequence[Record], labels: tuple[str, ...], asked: Selection) -> dict[str, tuple[EventClip, ...]]:
    """Divide clips by their sources; training and validation in the ratio, all the rest of the test part."""
    parts = {}
    for part, divided in divide_groups(records, asked.seed).items():
        classes = _classes(divided, labels)
        kept = range(len(divided)) if part == "test" else in_ratio(classes, asked.ratio, asked.most, asked.seed)
        parts[part] = tuple(EventClip(int(classes[i]), divided[i].path) for i in kept)
    return parts


def _audioset(root: Path, asked: Selection) -> EventSet:
    data = load_audioset(root)
    labels = _known(asked.events or AUDIOSET_EVENTS, data.labels)
    related = [descendants(root, label) for label in labels]
    records = []
    for record in data.records:
        heard = [label for label, names in zip(labels, related, strict=True) if names & set(record.labels)]
        # Two target events exclude a clip; a kind of an event without its own label is neither event nor background.
        if len(heard) <= 1 and all(label in record.labels for label in heard):
            records.append(replace(record, labels=tuple(heard) or (BACKGROUND,), observed=None))
    parts = _divided(records, labels, asked)
    counts = ", ".join(f"{len(clips)} {part}" for part, clips in parts.items())
    return EventSet(
        labels,
        parts,
        10.0,
        f"AudioSet, {counts} clips, videos disjoint, events and background {asked.ratio} in training",
        "Apache-2.0; labels of AudioSet are CC BY 4.0, its recordings keep their videos' terms",
        "AudioSet (J. F. Gemmeke and others, ICASSP 2017), labels CC BY 4.0",
    )


def descendants(root: Path, label: str) -> frozenset[str]:
    """Return a label of AudioSet and all that the ontology puts under it; a ConfigError without ``ontology.json``."""
    try:
        nodes = {node["id"]: node for node in json.loads((root / "ontology.json").read_text(encoding="utf-8"))}
    except FileNotFoundError:
        raise ConfigError(f"expected ontology.json in {root}, got none; download it beside the csv files") from None
    waiting = [node["id"] for node in nodes.values() if node["name"] == label]
    found = {label}
    while waiting:
        node = nodes[waiting.pop()]
        found.add(node["name"])
        waiting += [child for child in node["child_ids"] if child in nodes]
    return frozenset(found)


def _esc10(root: Path, asked: Selection) -> EventSet:
    records = load_esc50(root, "esc10").complete().records
    labels = _known(asked.events or ("dog bark", "crying baby", "rooster"), {record.label for record in records})
    folds = sorted({record.fold for record in records if record.fold is not None})
    if len(folds) < 3:
        raise ConfigError(f"expected three folds or more of ESC-10, got {folds}; download it again")
    test, validation = (folds[(asked.seed + i) % len(folds)] for i in (0, 1))
    folds_of = {"train": set(folds) - {test, validation}, "validation": {validation}, "test": {test}}
    most = asked.most or 40
    parts = {}
    for i, part in enumerate(PARTS):
        # As many of each event where it is tested: equal error rates need misses to count.
        ratio = asked.ratio if part != "test" else (2,) * len(labels) + (8,)
        units = most if part == "train" else max(1, most // 2)
        there = [record for record in records if record.fold in folds_of[part]]
        parts[part] = _mixtures(there, labels, [units * n for n in ratio], np.random.default_rng((asked.seed, i)))
    counts = ", ".join(f"{len(clips)} {part}" for part, clips in parts.items())
    return EventSet(
        labels,
        parts,
        5.0,
        f"mixtures of ESC-10, {counts} clips, folds disjoint, events and background {asked.ratio} in training",
        "Apache-2.0; the training recordings are CC0 and CC BY 3.0, and their authors named with the model",
        f"{CITATION}. Freesound recordings by {', '.join(authors(root))}.",
    )


def _mixtures(
    records: Sequence[Record], labels: tuple[str, ...], counts: Sequence[int], generator: np.random.Generator
) -> tuple[EventClip, ...]:
    """Return so many mixtures of each event and of background, each with its own recordings, level and place."""
    of_class: list[list[Record]] = [[] for _ in range(len(labels) + 1)]
    for record, c in zip(records, _classes(records, labels), strict=True):
        of_class[c].append(record)
    beneath = of_class[-1]
    made = []
    for event, (choice, count) in enumerate(zip(of_class, counts, strict=True)):
        for _ in range(count):
            upper = choice[int(generator.integers(len(choice)))]
            others = [record for record in beneath if record.source != upper.source]
            lower = others[int(generator.integers(len(others)))]
            made.append(
                EventClip(event, upper.path, lower.path, float(generator.uniform(0, 20)), float(generator.random()))
            )
    return tuple(made)


def _known(events: tuple[str, ...], labels: Collection[str]) -> tuple[str, ...]:
    if unknown := sorted(set(events) - set(labels)):
        raise ConfigError(f"expected events among {sorted(labels)}, got {unknown}; change --events")
    return tuple(events)

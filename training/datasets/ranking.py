"""Queries and the recordings they mean, for one trial of ranking.

A class has one canonical recording, the target of all its queries; its other recordings are fine distractors, those of
other classes coarse ones. The real data is the Vocal Imitation Set. Words stand in where it is not there: a class is a
word, a query the word said by somebody of whom no reference and no query of the other part comes. They are no
imitations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ConfigError
from training.datasets.record import Record
from training.datasets.table import on_disk, read_table
from training.datasets.vocal_imitation import load_vocal_imitation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RankingClass:
    """One class.

    Attributes
    ----------
    references : tuple of Record
        The first one is the canonical recording.
    originals : tuple of str
        What each reference was cut from; two references of one original are the same audio.
    queries : mapping of str to tuple of Record
        Of the parts "train" and "validation".
    """

    references: tuple[Record, ...]
    originals: tuple[str, ...]
    queries: Mapping[str, tuple[Record, ...]]


@dataclass(frozen=True, eq=False)
class Part:
    """The queries of one part, the references that they are compared with, and which of those they mean.

    Attributes
    ----------
    queries, references : tuple of Record
    query_class : ndarray of int, shape (n_queries,)
    reference_class : ndarray of int, shape (n_references,)
    fits : ndarray of bool, shape (n_queries, n_references)
        Which references a query means; at least one each.
    """

    queries: tuple[Record, ...]
    references: tuple[Record, ...]
    query_class: NDArray[np.int64]
    reference_class: NDArray[np.int64]
    fits: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trial:
    """What is learnt from, and what it is judged by.

    Attributes
    ----------
    labels : tuple of str
        The classes, sorted.
    parts : mapping of str to Part
        "train" and "validation".
    """

    labels: tuple[str, ...]
    parts: Mapping[str, Part]


def draw_trial(classes: Mapping[str, RankingClass], n_classes: int, generator: Generator) -> Trial:
    """Return a trial of ``n_classes`` classes drawn at random; a recording that is in two of them stays in the first.

    Both parts have the same references, as published, and each query means the canonical one of its class.

    Raises
    ------
    ConfigError
        When there are fewer classes.
    """
    if not 1 <= n_classes <= len(classes):
        raise ConfigError(f"expected 1 to {len(classes)} classes for a trial, got {n_classes}; change --n_classes")
    names = sorted(classes)
    labels = tuple(names[i] for i in sorted(generator.choice(len(names), n_classes, replace=False)))
    # Canonical recordings come first into ``seen``: no distractor repeats any of them.
    seen = {classes[label].originals[0] for label in labels}
    references: list[Record] = []
    reference_class: list[int] = []
    canonical: list[int] = []
    for c, label in enumerate(labels):
        canonical.append(len(references))
        kept = [classes[label].references[0]]
        for record, original in list(zip(classes[label].references, classes[label].originals, strict=True))[1:]:
            if original not in seen:
                seen.add(original)
                kept.append(record)
        references += kept
        reference_class += [c] * len(kept)
    parts = {}
    for part in ("train", "validation"):
        members = [(record, c) for c, label in enumerate(labels) for record in classes[label].queries[part]]
        query_class = np.array([c for _, c in members], np.int64)
        fits = np.zeros((len(members), len(references)), np.bool_)
        fits[np.arange(len(members)), np.array(canonical, np.int64)[query_class]] = True
        queries = tuple(record for record, _ in members)
        parts[part] = Part(queries, tuple(references), query_class, np.array(reference_class, np.int64), fits)
    return Trial(labels, parts)


def load_imitations(root: Path, training_share: float, generator: Generator) -> dict[str, RankingClass]:
    """Return the classes of the Vocal Imitation Set, its imitations divided at random class by class, as published.

    A class without a canonical recording, or with fewer than two imitations in reach, is a ConfigError.
    """
    records = load_vocal_imitation(root).records
    made = {}
    for label in sorted({record.label for record in records}):
        mine = [record for record in records if record.label == label]
        canonical = [record for record in mine if record.split == "reference"]
        imitations = [record for record in mine if record.split == "imitation"]
        if len(canonical) != 1 or len(imitations) < 2:
            raise ConfigError(
                f"expected one reference and at least two imitations of {label}, got {len(canonical)} and "
                f"{len(imitations)}; download the data set again"
            )
        others = [record for record in mine if record.split == "recording"]
        references = (*canonical, *others)
        originals = tuple(record.source for record in references)
        made[label] = RankingClass(references, originals, _divided(imitations, training_share, generator))
    return made


def load_words(root: Path, *, takes: int = 1) -> dict[str, list[Record]]:
    """Return who says what in the development part of Speech Commands, by file name.

    The unknown words are words as the others; silence is none.

    Parameters
    ----------
    root : Path
    takes : int
        Of a speaker and word, at most. Copies of one recording, of which the set has 121, count once.
    """
    columns = ["filename", "class", "word", "speaker", "sha256"]
    copies: set[str] = set()
    said: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(read_table(root / "meta.csv", columns), key=lambda row: row["filename"]):
        if row["speaker"]:
            word = row["word"] or row["class"]
            record = Record(root / "audio" / row["filename"], (word,), source=row["speaker"])
            if row["sha256"] not in copies:
                copies.add(row["sha256"])
                said[word][row["speaker"]] = [*said[word][row["speaker"]], record][:takes]
    kept = [record for speakers in said.values() for records in speakers.values() for record in records]
    there, missing = on_disk(root, kept)
    if missing:
        raise ConfigError(f"expected all recordings of {root}, got none of {missing[0]}; download the data set again")
    return by_label(there)


def by_label(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Return the records of each label, labels sorted."""
    made: dict[str, list[Record]] = {label: [] for label in sorted({record.label for record in records})}
    for record in records:
        made[record.label].append(record)
    return made


def divided_by_speaker(
    said: Mapping[str, Sequence[Record]],
    training_share: float,
    generator: Generator,
    *,
    n_references: int = 10,
    n_queries: int = 19,
) -> dict[str, RankingClass]:
    """Return words as classes, no speaker in two roles.

    Half of the speakers give references, the others queries: ``training_share`` of them those of the training part.
    Words with fewer than two references or without a query in either part are left out.

    Parameters
    ----------
    said : mapping of str to sequence of Record
        The recordings of each word; their source is the speaker.
    n_references, n_queries : int
        At most so many of a word, speakers in turn; the paper's trials have about 10 and 19.
    """
    speakers = sorted({record.source for records in said.values() for record in records})
    order = [speakers[i] for i in generator.permutation(len(speakers))]
    n_givers = len(order) // 2
    n_training = n_givers + int(training_share * (len(order) - n_givers))
    roles = {"reference": order[:n_givers], "train": order[n_givers:n_training], "validation": order[n_training:]}
    limits = {"reference": n_references, "train": int(training_share * n_queries)}
    limits["validation"] = n_queries - limits["train"]
    made = {}
    for word, records in sorted(said.items()):
        taken = {role: _in_turn(records, members)[: limits[role]] for role, members in roles.items()}
        if len(taken["reference"]) >= 2 and taken["train"] and taken["validation"]:
            references = taken.pop("reference")
            made[word] = RankingClass(references, tuple(str(record.path) for record in references), taken)
    return made


def _in_turn(records: Sequence[Record], speakers: Sequence[str]) -> tuple[Record, ...]:
    """Return the records of these speakers: the first of each, then the second."""
    takes = [[record for record in records if record.source == speaker] for speaker in speakers]
    return tuple(record for each in zip_longest(*takes) for record in each if record is not None)


def _divided(records: Sequence[Record], share: float, generator: Generator) -> dict[str, tuple[Record, ...]]:
    """Return the queries of one class in two parts, neither of them empty."""
    shuffled = [records[i] for i in generator.permutation(len(records))]
    n = min(max(1, int(share * len(shuffled))), len(shuffled) - 1)
    return {"train": tuple(shuffled[:n]), "validation": tuple(shuffled[n:])}

"""Queries and references for rankers that are to know sounds nobody has met in training: roles divided by source.

A source (a speaker, a recording that clips were cut from) is in one part only, and of the parts that judge, queries and
candidates come from different speakers as well. ``training.datasets.ranking`` has the trials of the paper, in which
both parts share their references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ConfigError
from training.datasets.ranking import Part, Trial
from training.datasets.record import Record
from training.datasets.table import on_disk, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.random import Generator

SPLITS = ("train", "validation")


def spoken_trial(
    said: Mapping[str, Sequence[Record]], training_share: float, n_unheard: int, generator: Generator
) -> Trial:
    """Return a trial in which a query means its word, whoever says it.

    In training every recording of the training speakers is a query and a reference. Of the other speakers half give
    queries and half candidates, one recording per word, drawn.

    Parameters
    ----------
    said : mapping of str to sequence of Record
        Of each word; the source is the speaker.
    training_share : float
        Of the speakers.
    n_unheard : int
        Words that are no part of training, drawn from those with the fewest recordings: a part "unheard" of their own,
        with queries by all the other speakers and candidates by those of training.

    Raises
    ------
    ConfigError
        There are too few speakers or words.
    """
    speakers = sorted({record.source for records in said.values() for record in records})
    order = [speakers[i] for i in generator.permutation(len(speakers))]
    n_training = int(training_share * len(order))
    n_givers = (len(order) - n_training) // 2
    if n_training < 2 or n_givers < 1 or len(said) - n_unheard < 2:
        raise ConfigError(
            f"expected two training speakers, two others and two words to train on, got {len(order)} speakers and "
            f"{len(said)} words, {n_unheard} of them kept out; take more data or change --training_share"
        )
    roles = dict.fromkeys(order[:n_training], "train")
    roles |= dict.fromkeys(order[n_training : n_training + n_givers], "reference")
    roles |= dict.fromkeys(order[n_training + n_givers :], "query")
    rare = sorted(said, key=lambda word: (len(said[word]), word))[: 2 * n_unheard]
    unheard = sorted(rare[i] for i in generator.choice(len(rare), n_unheard, replace=False)) if n_unheard else []
    heard = [word for word in sorted(said) if word not in unheard]

    mine = [(record, c) for c, word in enumerate(heard) for record in said[word] if roles[record.source] == "train"]
    records, classes = tuple(record for record, _ in mine), np.array([c for _, c in mine], np.int64)
    parts = {"train": Part(records, records, classes, classes, classes[:, None] == classes)}
    parts["validation"] = _judged(said, heard, roles, ("query",), "reference", generator)
    if unheard:
        parts["unheard"] = _judged(said, unheard, roles, ("query", "reference"), "train", generator)
    return Trial(tuple(heard), parts)


def _judged(
    said: Mapping[str, Sequence[Record]],
    words: Sequence[str],
    roles: Mapping[str, str],
    asking: tuple[str, ...],
    giving: str,
    generator: Generator,
) -> Part:
    references, queries, meant = [], [], []
    for word in words:
        given = [record for record in said[word] if roles[record.source] == giving]
        asked = [record for record in said[word] if roles[record.source] in asking]
        if given and asked:
            meant += [len(references)] * len(asked)
            references.append(given[generator.integers(len(given))])
            queries += asked
    if len(references) < 2:
        raise ConfigError(
            f"expected two words or more that speakers of both roles say, got {len(references)} of "
            f"{len(words)}; change --training_share or --n_unheard"
        )
    return _one_each(queries, references, np.array(meant, np.int64))


def disguised_trial(
    records: Sequence[Record], training_share: float, generator: Generator, *, n_disguises: int = 4
) -> Trial:
    """Return a trial in which a query is a recording in disguise and means that recording; no source in two parts.

    Fine distractors are other recordings of the label.

    Parameters
    ----------
    records : sequence of Record
    training_share : float
        Of the sources.
    n_disguises : int
        Queries of each recording.
    """
    labels = sorted({record.label for record in records})
    sources = sorted({record.source for record in records})
    order = [sources[i] for i in generator.permutation(len(sources))]
    n_training = min(max(1, int(training_share * len(order))), len(order) - 1)
    parts = {}
    for name, members in zip(SPLITS, (set(order[:n_training]), set(order[n_training:])), strict=True):
        references = [record for record in records if record.source in members]
        meant = np.repeat(np.arange(len(references)), n_disguises)
        classes = np.array([labels.index(record.label) for record in references], np.int64)
        queries = [disguised(record, k) for record in references for k in range(n_disguises)]
        fits = meant[:, None] == np.arange(len(references))
        parts[name] = Part(tuple(queries), tuple(references), classes[meant], classes, fits)
    return Trial(tuple(labels), parts)


def disguised(record: Record, number: int) -> Record:
    """Return a recording that is to be heard in its disguise of that number (``training.disguise``)."""
    return Record(record.path, record.labels, split=f"disguise {number}", source=record.source)


def load_pairs(root: Path) -> Trial:
    """Return the pairs of a table of one's own, ``pairs.csv``: query, reference, split, and class where there is one.

    Paths are relative to ``root``; split is "train" or "validation". A query in several rows means several references.
    Rows of one class are fine distractors of each other; without a class every reference is one of its own. All
    references of a part are compared with all of its queries.

    Raises
    ------
    ConfigError
        A column or file is missing, a split is another, a query is in two classes or a part has no two references.
    """
    rows = read_table(root / "pairs.csv", ["query", "reference", "split"])
    if wrong := sorted({row["split"] for row in rows} ^ set(SPLITS)):
        raise ConfigError(f"expected the splits train and validation in pairs.csv, both, got {wrong} amiss; correct it")
    kinds = [row.get("class") or row["reference"] for row in rows]
    labels = sorted(set(kinds))
    parts = {}
    for split in SPLITS:
        mine = [(row, kind) for row, kind in zip(rows, kinds, strict=True) if row["split"] == split]
        columns = {}
        for side in ("query", "reference"):
            column: dict[str, str] = {}
            for row, kind in mine:
                if column.setdefault(row[side], kind) != kind and "class" in row:
                    raise ConfigError(f"expected one class for {row[side]} in pairs.csv, got two; correct it")
            columns[side] = column
        queries, references = (
            [Record(root / name, (kind,), source=name) for name, kind in columns[side].items()]
            for side in ("query", "reference")
        )
        _, missing = on_disk(root, [*queries, *references])
        if missing or len(references) < 2:
            raise ConfigError(
                f"expected the files of pairs.csv and two references or more to {split}, got {len(references)} and "
                f"none of {list(missing)[:1]}; correct it"
            )
        fits = np.zeros((len(queries), len(references)), np.bool_)
        place = [{name: i for i, name in enumerate(columns[side])} for side in ("query", "reference")]
        for row, _ in mine:
            fits[place[0][row["query"]], place[1][row["reference"]]] = True
        classes = [
            np.array([labels.index(record.label) for record in each], np.int64) for each in (queries, references)
        ]
        parts[split] = Part(tuple(queries), tuple(references), *classes, fits)
    return Trial(tuple(labels), parts)


def _one_each(queries: Sequence[Record], references: Sequence[Record], meant: np.ndarray) -> Part:
    classes = np.arange(len(references))
    return Part(tuple(queries), tuple(references), classes[meant], classes, meant[:, None] == classes)

"""The recipe's corpora, as trials of the paper and as trials with every role divided by source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.datasets.esc50 import load_esc50
from training.datasets.fsdd import load_fsdd
from training.datasets.open_ranking import disguised, disguised_trial, load_pairs, spoken_trial
from training.datasets.ranking import RankingClass, by_label, divided_by_speaker, load_imitations, load_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.random import Generator

    from training.datasets.ranking import Trial
    from training.datasets.record import Record
    from training.recipes.two_tower.config import Config

N_REFERENCES, N_QUERIES = 10, 19  # of a class, as in the paper's trials
TAKES = {"words": 1, "fsdd": 5}  # of a speaker in the paper's trials
OPEN_TAKES = {"words": 20, "fsdd": 10}  # where every recording is learnt from

CREDITS = {
    "words": (
        "words of Speech Commands v0.02, test files",
        "Trained on Speech Commands v0.02 test files, Google, CC BY 4.0",
    ),
    "imitations": ("Vocal Imitation Set", "Trained on the Vocal Imitation Set, CC BY 4.0"),
    "fsdd": ("digits of the Free Spoken Digit Dataset", "Trained on the Free Spoken Digit Dataset, CC BY-SA 4.0"),
    "sounds": ("ESC-10 recordings and disguises of them", "Trained on ESC-10, K. J. Piczak, CC BY 3.0"),
    "pairs": ("pairs of one's own", "see the recordings"),
}
LICENCES = {
    "words": "Apache-2.0; the training recordings are CC BY 4.0, and named with the model",
    "imitations": "that of the recordings: CC BY 4.0, and those of Freesound for what people imitated",
    "fsdd": "CC BY-SA 4.0, as the training recordings",
    "sounds": "Apache-2.0; the training recordings are CC0 and CC BY 3.0, and their authors in ESC-10's own list",
    "pairs": "that of the recordings",
}


def classes_of(data: Path, config: Config, generator: Generator) -> dict[str, RankingClass]:
    """Return the classes of a corpus for the paper's trials."""
    if config.corpus == "imitations":
        return load_imitations(data, config.training_share, generator)
    if config.corpus == "sounds":
        return _sounds(by_label(load_esc50(data, "esc10").complete().records), config.training_share, generator)
    return divided_by_speaker(_said(data, config.corpus, TAKES[config.corpus]), config.training_share, generator)


def open_trial(data: Path, config: Config, generator: Generator) -> Trial:
    """Return a trial whose queries mean any recording of their class, or of disguises and pairs the one they mean.

    Raises
    ------
    ConfigError
        Imitations are asked for: a query there is of one recording.
    """
    if config.corpus in ("pairs", "sounds") and (config.n_unheard or config.n_classes):
        raise ConfigError(
            f"expected --n_unheard=0 and --n_classes=0 for {config.corpus}, which are taken whole, got "
            f"{config.n_unheard} and {config.n_classes}; leave them out"
        )
    if config.corpus == "pairs":
        return load_pairs(data)
    if config.corpus == "imitations":
        raise ConfigError(
            "expected --targets=canonical for imitations, whose reference people heard, got any; change it"
        )
    if config.corpus == "sounds":
        return disguised_trial(load_esc50(data, "esc10").complete().records, config.training_share, generator)
    said = _said(data, config.corpus, OPEN_TAKES[config.corpus])
    if config.n_classes:
        names = sorted(said)
        if config.n_classes > len(names):
            raise ConfigError(f"expected at most {len(names)} classes, got {config.n_classes}; change --n_classes")
        chosen = generator.choice(len(names), config.n_classes, replace=False)
        said = {names[i]: said[names[i]] for i in sorted(chosen)}
    return spoken_trial(said, config.training_share, config.n_unheard, generator)


def _said(data: Path, corpus: str, takes: int) -> Mapping[str, Sequence[Record]]:
    """Return the recordings of each word or digit, so many takes of each speaker."""
    if corpus == "words":
        return load_words(data, takes=takes)
    return {
        digit: [record for i, record in enumerate(records) if _take(records, i) < takes]
        for digit, records in by_label(load_fsdd(data).complete().records).items()
    }


def _take(records: Sequence[Record], i: int) -> int:
    """Return how many recordings of its speaker come before the i-th."""
    return sum(record.source == records[i].source for record in records[:i])


def _sounds(
    sounds: Mapping[str, Sequence[Record]], training_share: float, generator: Generator
) -> dict[str, RankingClass]:
    """Return each label with one canonical recording, its disguises as queries, and others of other sources."""
    made = {}
    n_training = int(training_share * N_QUERIES)
    for label, records in sounds.items():
        order = [records[i] for i in generator.permutation(len(records))]
        first: dict[str, Record] = {}
        for record in order:
            first.setdefault(record.source, record)
        references = tuple(first.values())[:N_REFERENCES]
        queries = [disguised(references[0], k) for k in range(N_QUERIES)]
        parts = {"train": tuple(queries[:n_training]), "validation": tuple(queries[n_training:])}
        made[label] = RankingClass(references, tuple(record.source for record in references), parts)
    return made

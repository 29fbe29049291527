"""The recipe's corpora: waveforms of one length, one map of labels, and the folds that are left out in turn.

esc10, esc50, iemocap
    The published folds: Freesound recordings and sessions are in one each.
keywords
    Speech Commands. The download has a test part: one fold. The development part is the published 12-class test set:
    its speakers are dealt out to folds; silence, cut from a few recordings of noise, clip by clip.
fsdd
    Each speaker is left out in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.audio import load
from engine.errors import ConfigError
from training.datasets.esc50 import CITATION, authors, load_esc50
from training.datasets.folds import speaker_folds
from training.datasets.fsdd import load_fsdd
from training.datasets.iemocap import load_iemocap
from training.datasets.speech_commands import load_speech_commands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import DataSet, Record
    from training.recipes.angular.config import Config


@dataclass(frozen=True)
class Fold:
    """One division of a corpus: which clips are learnt from, and which are scored. None is in both."""

    name: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """A data set as the recipe sees it.

    Attributes
    ----------
    data : DataSet
        Its labels, in their fixed order, are the one map of labels: the same for every fold and run.
    waveforms : ndarray, shape (n_clips, n_samples), float32
        The first seconds of each clip, zeros behind its end.
    truth : ndarray, shape (n_clips,), int64
    folds : tuple of Fold
    sample_rate : int
    licence, attribution : str
        For cards.
    """

    data: DataSet
    waveforms: NDArray[np.float32]
    truth: NDArray[np.int64]
    folds: tuple[Fold, ...]
    sample_rate: int
    licence: str
    attribution: str

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the scores."""
        return self.data.labels


SECONDS = {"esc10": 5.0, "esc50": 5.0, "keywords": 1.0, "fsdd": 1.0, "iemocap": 2.575}
# FSDD has 8 kHz; AST and BEATs hear it at their own rate.
SAMPLE_RATE = {"fsdd": 8_000}


def load_corpus(root: Path, config: Config) -> Corpus:
    """Read a corpus and divide it; ConfigError when it cannot be divided."""
    name = config.corpus
    if name in ("esc10", "esc50"):
        data = load_esc50(root, "esc10" if name == "esc10" else "esc50").complete()
        folds = _left_out([str(record.fold) for record in data.records])
        licence, attribution = "see the recordings", CITATION
        if name == "esc10":
            attribution += f". Freesound recordings by {', '.join(authors(root))}."
    elif name == "fsdd":
        data = load_fsdd(root)
        folds = _left_out([record.source for record in data.records])
        licence, attribution = "CC BY-SA 4.0", "Free Spoken Digit Dataset, Z. Jackson and others"
    elif name == "iemocap":
        data = load_iemocap(root)
        folds = _left_out([str(record.fold) for record in data.records])
        licence, attribution = "not to be passed on", "IEMOCAP, University of Southern California"
    else:
        data = load_speech_commands(root)
        folds = _keyword_folds(data.records, config.n_folds)
        licence, attribution = "CC BY 4.0", "Trained on Speech Commands v0.02, Google, CC BY 4.0"
    rate = 16_000 if config.encoder in ("ast", "beats") else SAMPLE_RATE.get(name, 16_000)
    n_samples = round(SECONDS[name] * rate)
    waveforms = np.zeros((len(data), n_samples), np.float32)
    for row, record in zip(waveforms, data.records, strict=True):
        samples = load(record.path, rate)[0][:n_samples]
        row[: len(samples)] = samples
    column = {label: i for i, label in enumerate(data.labels)}
    truth = np.array([column[record.label] for record in data.records])
    for fold in folds:
        check_labels(data.labels, truth, fold)
    return Corpus(data, waveforms, truth, folds, rate, licence, attribution)


def check_labels(labels: Sequence[str], truth: NDArray[np.int64], fold: Fold) -> None:
    """Raise ConfigError unless what a fold tests is among what it learns: it would count as wrong for ever."""
    if unlearnt := sorted({labels[i] for i in truth[fold.test]} - {labels[i] for i in truth[fold.train]}):
        raise ConfigError(
            f"expected every label of fold {fold.name} in the others too, got {unlearnt} in it alone; take fewer folds"
        )


def _keyword_folds(records: Sequence[Record], n_folds: int) -> tuple[Fold, ...]:
    splits = np.array([record.split for record in records])
    if (splits == "train").any():
        return (Fold("test", np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")),)
    # A clip of silence is a source of its own.
    sources = [record.source if record.label != "silence" else record.path.name for record in records]
    return _left_out([str(fold) for fold in speaker_folds(sources, n_folds)])


def _left_out(groups: Sequence[str]) -> tuple[Fold, ...]:
    names = sorted(set(groups))
    if len(names) < 2:
        raise ConfigError(f"expected two folds or more, got {names}; download more of the data set")
    member = np.array(groups)
    return tuple(Fold(name, np.flatnonzero(member != name), np.flatnonzero(member == name)) for name in names)

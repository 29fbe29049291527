"""An exported model scored on labelled recordings, through the engine and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import Tagger
from engine.errors import ConfigError
from training.metrics import accuracy, confusion_matrix, recall

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import Record


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a model on labelled recordings.

    Attributes
    ----------
    labels : tuple of str
        In the order of the scores.
    scores : ndarray, shape (n_clips, n_labels), float32
    truth : ndarray, shape (n_clips,), int64
        Index of each clip's true label.
    ms_per_clip : float
        Wall time from file to scores, one thread.
    """

    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    truth: NDArray[np.int64]
    ms_per_clip: float

    def to_dict(self) -> dict[str, object]:
        """Return accuracy, recall per label, confusion (rows: truth) and speed as plain values."""
        confusion = confusion_matrix(self.scores, self.truth)
        return {
            "accuracy": accuracy(confusion),
            "recall": dict(zip(self.labels, recall(confusion).tolist(), strict=True)),
            "confusion": confusion.tolist(),
            "n_clips": len(self.truth),
            "ms_per_clip": self.ms_per_clip,
        }


def evaluate(model: Path, records: Sequence[Record]) -> Evaluation:
    """Score every recording with ``engine.Tagger`` on the CPU, one thread.

    Raises
    ------
    ConfigError
        When a record's label is none of the model's.
    AudioError, ModelError
        As the tagger raises them.
    """
    tagger = Tagger(model, device="cpu", threads=1)
    labels = tagger.labels
    if unknown := sorted({record.label for record in records} - set(labels)):
        raise ConfigError(f"expected labels of the model {labels}, got {unknown}; evaluate on the model's own labels")
    started = time.perf_counter()
    scores = np.stack([tagger(record.path).scores for record in records])
    ms_per_clip = 1e3 * (time.perf_counter() - started) / len(records)
    truth = np.array([labels.index(record.label) for record in records])
    return Evaluation(labels, scores, truth, ms_per_clip)

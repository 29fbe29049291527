"""An exported model scored on labelled recordings, through the engine and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import Tagger
from engine.errors import ConfigError
from training.metrics import (
    accuracy,
    confusion_matrix,
    equal_error_rates,
    expected_calibration_error,
    f1_per_label,
    macro_auprc,
    macro_f1,
    mean_average_precision,
    micro_auprc,
    recall,
    two_sided_f1,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import DataSet, Record


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


def evaluate_data_set(model: Path, data: DataSet) -> dict[str, object]:
    """Score every recording with ``engine.Tagger`` on the CPU, one thread, and return all figures that apply.

    Labels of the model that the data set does not have count as not observed. A figure that is missing is None. The
    threshold of F1 is 0.5; ``macro_f1_card`` has the thresholds of the model's card, where it has them.

    Parameters
    ----------
    model : Path
    data : DataSet
        At least one recording.

    Returns
    -------
    dict
        Plain values. Accuracy and calibration error only where every recording has exactly one label and all labels of
        the data set are observed; equal error rates only where all of the model's are.

    Raises
    ------
    ConfigError
        When the data set is empty, has labels that the model lacks, or nothing but unlabelled recordings.
    AudioError, ModelError
        As the tagger raises them.
    """
    if not data.records:
        raise ConfigError(f"expected recordings of {data.name}, got none; download it, or choose another split")
    tagger = Tagger(model, device="cpu", threads=1)
    labels = tagger.labels
    if unknown := sorted(set(data.labels) - set(labels)):
        raise ConfigError(f"expected labels of the model {labels}, got {unknown}; evaluate on the model's own labels")
    columns = [labels.index(label) for label in data.labels]
    targets = np.zeros((len(data), len(labels)), np.uint8)
    mask = np.zeros(targets.shape, np.bool_)
    targets[:, columns], mask[:, columns] = data.targets(), data.mask()
    if not mask.any():
        raise ConfigError(f"expected labelled recordings of {data.name}, got none; choose another split")
    started = time.perf_counter()
    scores = np.stack([tagger(record.path).scores for record in data.records])
    ms_per_clip = 1e3 * (time.perf_counter() - started) / len(data)
    figures: dict[str, object] = {
        "macro_f1": macro_f1(scores, targets, mask),
        "two_sided_f1": two_sided_f1(scores, targets, mask),
        "macro_auprc": macro_auprc(scores, targets, mask),
        "micro_auprc": micro_auprc(scores, targets, mask),
        "mean_average_precision": mean_average_precision(scores, targets, mask),
        "f1": dict(zip(labels, f1_per_label(scores, targets, mask).tolist(), strict=True)),
    }
    if thresholds := tagger.card.thresholds:
        # Shifted so that one common threshold, 0, says what each label's own does.
        own = scores - np.array([thresholds.get(label, 0.5) for label in labels], np.float32)
        figures["macro_f1_card"] = macro_f1(own, targets, mask, threshold=0.0)
    if mask.all():
        overall, rates = equal_error_rates(scores, targets)
        figures |= {"equal_error_rate": overall, "equal_error_rates": dict(zip(labels, rates.tolist(), strict=True))}
    if mask[:, columns].all() and (targets.sum(axis=1) == 1).all():
        right = scores.argmax(axis=1) == targets.argmax(axis=1)
        figures["accuracy"] = float(right.mean())
        figures["expected_calibration_error"] = expected_calibration_error(scores.max(axis=1), right)
    return _plain(figures) | {"n_clips": len(data), "n_missing": len(data.missing), "ms_per_clip": ms_per_clip}


def _plain(figures: dict[str, object]) -> dict[str, object]:
    return {
        name: _plain(value) if isinstance(value, dict) else None if np.isnan(value) else value  # type: ignore[call-overload]
        for name, value in figures.items()
    }

"""The figures of a cross-validation: accuracy, calibration, and thresholds with what they leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from training.examine.outside import Heard, shares_above
from training.examine.thresholds import Thresholds, choose_thresholds
from training.metrics import accuracy, confusion_matrix, expected_calibration_error, recall, spread
from training.taggers.calibration import cross_fitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine import ModelCard

PRECISION = 0.9  # of each label on unseen clips, that thresholds are chosen for


def pooled(done: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scores and truth of all jobs: each clip once per seed, scored by a model that had not seen its fold."""
    scores = np.concatenate([np.array(result["scores"]) for result in done.values()])
    return scores, np.concatenate([np.array(result["truth"]) for result in done.values()])


def over_seeds(figures: Mapping[str, float]) -> dict[str, Any]:
    """Return mean and deviation over seeds of a figure of each job ``seedS-foldF``, and what they are made of."""
    seeds = sorted({job.split("-")[0] for job in figures})
    means = {seed: float(np.mean([figures[job] for job in figures if job.split("-")[0] == seed])) for seed in seeds}
    found = spread(list(means.values()))
    return {"mean": found.mean, "std_over_seeds": found.std, "by_seed": means, "by_fold": dict(figures)}


@dataclass(frozen=True)
class CrossValidated:
    """What the models of a cross-validation gave.

    Attributes
    ----------
    labels : tuple of str
    done : mapping
        Of jobs ``seedS-foldF`` to "scores", "truth", "ms_per_clip" and, where other sounds were heard, "outside".
    softmax : bool
    harmless : tuple of str
        Labels that other sounds may have, such as "silence".
    most_outside : float
        Share of other sounds' windows, on the calibration half, that thresholds leave above one: less than what is
        promised of the test half, since what few recordings choose is kept by fewer.
    """

    labels: tuple[str, ...]
    done: Mapping[str, Any]
    softmax: bool = False
    harmless: tuple[str, ...] = ()
    most_outside: float = 0.01

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """All jobs' scores, calibrated on the other folds of their seed."""
        return np.concatenate(
            [
                calibration.scores(np.array(self.done[job]["scores"]), softmax=self.softmax)
                for job, calibration in cross_fitted(self.done, softmax=self.softmax).items()
            ]
        )

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """Index of the label of each of those."""
        return pooled(self.done)[1]

    @cached_property
    def heard(self) -> Heard | None:
        """What the jobs gave other sounds, calibrated alike, harmless labels at zero; None where none were heard."""
        kinds: list[str] = []
        halves: list[str] = []
        scores = []
        for job, calibration in cross_fitted(self.done, softmax=self.softmax).items():
            if outside := self.done[job].get("outside"):
                given = Heard.from_dict(outside)
                kinds += given.kinds
                halves += given.halves
                scores.append(calibration.scores(given.scores, softmax=self.softmax).astype(np.float32))
        if not scores:
            return None
        together = np.concatenate(scores)
        together[:, [self.labels.index(label) for label in self.harmless]] = 0
        return Heard(tuple(kinds), tuple(halves), together)

    @cached_property
    def thresholds(self) -> Thresholds:
        """Thresholds by these scores and the calibration half of other sounds."""
        outside = np.zeros((0, len(self.labels))) if self.heard is None else self.heard.of("calibration")
        return choose_thresholds(self.scores, self.truth, outside, precision=PRECISION, most=self.most_outside)

    def classification(self) -> dict[str, Any]:
        """Return accuracy over folds and seeds, recall and confusions, and the error of calibrated scores."""
        counts = {job: confusion_matrix(*pooled({job: result})) for job, result in self.done.items()}
        figures = over_seeds({job: accuracy(confusion) for job, confusion in counts.items()})
        total = np.sum(list(counts.values()), axis=0)
        right = self.scores.argmax(axis=1) == self.truth
        return {
            "accuracy": figures["mean"],
            "accuracy_std_over_seeds": figures["std_over_seeds"],
            "accuracy_by_seed": figures["by_seed"],
            "accuracy_by_fold": figures["by_fold"],
            "expected_calibration_error": expected_calibration_error(self.scores.max(axis=1), right),
            "recall": dict(zip(self.labels, recall(total).tolist(), strict=True)),
            "confusion": total.tolist(),
            "ms_per_clip": float(np.mean([result["ms_per_clip"] for result in self.done.values()])),
        }

    def at_thresholds(self) -> dict[str, Any]:
        """Return what the thresholds leave: precision and recall per label, and windows of other sounds above them."""
        chosen = self.thresholds
        found: dict[str, Any] = {
            "precision_asked": PRECISION,
            "precision": dict(zip(self.labels, map(_plain, chosen.precision), strict=True)),
            "recall": dict(zip(self.labels, map(_plain, chosen.recall), strict=True)),
        }
        if self.heard is not None:
            found["calibration_half_above"] = chosen.outside
            found["test_half_above"] = shares_above(self.heard, chosen.values)
        return found

    def into(self, card: ModelCard, metrics: Mapping[str, Any]) -> ModelCard:
        """Return a tagger's card with figures and thresholds."""
        values = [round(float(value), 4) for value in self.thresholds.values]
        method = f"precision of {PRECISION:g} per label on out-of-fold scores, all folds and seeds pooled"
        if self.heard is not None:
            method += f", and at most {self.most_outside:.1%} of the calibration half of other sounds above any"
        chosen = dict(zip(self.labels, values, strict=True))
        return replace(card, metrics=metrics, thresholds=chosen, threshold_method=method)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

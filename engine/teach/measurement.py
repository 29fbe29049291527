"""How well taught classes are heard: every figure on clips whose recordings the head was not fitted to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.teach.calibration import calibration_figures, fit_temperature
from engine.teach.head import activated, fit_head
from engine.teach.learners import average_precision
from engine.teach.thresholds import Threshold, choose_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.teach.folds import Folds
    from engine.teach.pooling import ClipWindows
    from engine.teach.settings import HeadKind, Reduce

# Of a standard normal, on both sides.
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """What cross-validation found.

    Attributes
    ----------
    temperature : float
        For the head, fitted on all measured clips.
    thresholds : list of Threshold
        Per label, chosen on all measured clips.
    accuracy : float
        Share of clips whose best label is right; where labels do not exclude each other, of clips whose labels above
        the thresholds are exactly theirs.
    accuracy_by_fold : tuple of float
    interval : tuple of float
        95 % interval of the accuracy; see ``wilson_interval``.
    n_clips, n_recordings : int
        That were measured.
    labels : tuple of LabelFigures
    before, after : dict
        Calibration figures without and with the temperature; the one of a fold is fitted on the other folds.
    confusion : list of list of int, or None
        Rows are the truth; None where labels do not exclude each other.
    """

    temperature: float
    thresholds: list[Threshold]
    accuracy: float
    accuracy_by_fold: tuple[float, ...]
    interval: tuple[float, float]
    n_clips: int
    n_recordings: int
    labels: tuple[LabelFigures, ...]
    before: dict[str, float]
    after: dict[str, float]
    confusion: list[list[int]] | None

    @property
    def mean_average_precision(self) -> float:
        """Over the labels that could be measured."""
        return float(np.mean([each.average_precision for each in self.labels if each.average_precision is not None]))

    def to_dict(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Return the figures for a card."""
        return {
            "accuracy": self.accuracy,
            "accuracy_by_fold": list(self.accuracy_by_fold),
            "accuracy_std_over_folds": float(np.std(self.accuracy_by_fold)),
            "accuracy_interval_95": list(self.interval),
            "mean_average_precision": self.mean_average_precision,
            "n_clips": self.n_clips,
            "n_recordings": self.n_recordings,
            "labels": {label: each.to_dict() for label, each in zip(labels, self.labels, strict=True)},
            "confusion": self.confusion,
        }


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How well one label is heard.

    Attributes
    ----------
    n_clips : int
        Measured clips that have the label; the figures are None where there are none.
    average_precision : float or None
    precision, recall : float or None
        At thresholds that were chosen on the other folds; precision is None where no clip reached them.
    precision_interval : tuple of float, or None
        95 %, with the clips that reached the threshold as independent.
    """

    n_clips: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    precision_interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a card."""
        interval = None if self.precision_interval is None else list(self.precision_interval)
        return {
            "n_clips": self.n_clips,
            "average_precision": self.average_precision,
            "precision": self.precision,
            "precision_interval_95": interval,
            "recall": self.recall,
        }


def measure(
    windows: ClipWindows,
    targets: NDArray[np.bool_],
    groups: NDArray[np.intp],
    folds: Folds,
    *,
    head: HeadKind,
    reduce: Reduce,
    precision: float,
    exclusive: bool,
    seed: int,
) -> Measurement | None:
    """Fit a head per fold to the other folds and score the clips of the fold; None where there are no folds."""
    if folds.n_folds == 0:
        return None
    measured = folds.fold >= 0
    logits = np.zeros((len(windows.embeddings), targets.shape[1]))
    for number in range(folds.n_folds):
        inside = folds.fold == number
        taught = windows.chosen(~inside)
        rows = taught.spread(targets[~inside])
        fitted = fit_head(head, taught.embeddings, rows, taught.weights, exclusive=exclusive, seed=seed)
        logits[windows.spread(inside)] = fitted.logits(windows.chosen(inside).embeddings)
    outside = _Outside(
        logits[windows.spread(measured)],
        windows.chosen(measured),
        targets[measured],
        folds.fold[measured],
        reduce,
        exclusive,
    )
    return _figures(outside, len(np.unique(groups[measured])), precision)


@dataclass(frozen=True, slots=True, eq=False)
class _Outside:
    """Logits of clips by heads that were not fitted to them."""

    logits: NDArray[np.float64]
    windows: ClipWindows
    targets: NDArray[np.bool_]
    fold: NDArray[np.intp]
    reduce: Reduce
    exclusive: bool

    @property
    def folds(self) -> list[int]:
        return [int(number) for number in np.unique(self.fold)]

    def temperature(self, clips: NDArray[np.bool_]) -> float:
        """Return the temperature of some of the clips; 1 where there are none."""
        if not clips.any():
            return 1.0
        logits, windows = self.logits[self.windows.spread(clips)], self.windows.chosen(clips)
        return fit_temperature(logits, windows, self.targets[clips], self.reduce, exclusive=self.exclusive)

    def scores(self, temperature: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the clips' scores at one temperature, or at one for each clip."""
        divisor = self.windows.spread(np.broadcast_to(temperature, len(self.targets)))[:, np.newaxis]
        return self.windows.pooled(activated(self.logits / divisor, exclusive=self.exclusive), self.reduce)


def _figures(outside: _Outside, n_recordings: int, precision: float) -> Measurement:
    targets, fold = outside.targets, outside.fold
    everyone = np.ones(len(targets), bool)
    temperature = outside.temperature(everyone)
    by_fold = {number: outside.temperature(fold != number) for number in outside.folds}
    crossed = outside.scores(np.array([by_fold[number] for number in fold.tolist()]))
    given = np.zeros(targets.shape, bool)
    for number in outside.folds:
        inside = fold == number
        chosen = choose_thresholds(crossed[~inside], targets[~inside], precision)
        given[inside] = crossed[inside] >= [threshold.score for threshold in chosen]
    best, true = crossed.argmax(axis=1), targets.argmax(axis=1)
    right = best == true if outside.exclusive else (given == targets).all(axis=1)
    confusion = None
    if outside.exclusive:
        counts = np.zeros((targets.shape[1],) * 2, int)
        np.add.at(counts, (true, best), 1)
        confusion = counts.tolist()
    accuracy = float(right.mean())
    return Measurement(
        temperature=temperature,
        thresholds=choose_thresholds(outside.scores(temperature), targets, precision),
        accuracy=accuracy,
        accuracy_by_fold=tuple(float(right[fold == number].mean()) for number in outside.folds),
        interval=wilson_interval(accuracy, n_recordings),
        n_clips=len(targets),
        n_recordings=n_recordings,
        labels=tuple(
            _label_figures(crossed[:, label], targets[:, label], given[:, label]) for label in range(targets.shape[1])
        ),
        before=calibration_figures(outside.scores(1.0), targets, exclusive=outside.exclusive),
        after=calibration_figures(crossed, targets, exclusive=outside.exclusive),
        confusion=confusion,
    )


def _label_figures(scores: NDArray[np.float64], relevant: NDArray[np.bool_], given: NDArray[np.bool_]) -> LabelFigures:
    n_relevant, n_given, n_right = int(relevant.sum()), int(given.sum()), int((given & relevant).sum())
    if n_relevant == 0:
        return LabelFigures(0, None, None, None, None)
    precision = n_right / n_given if n_given else None
    interval = None if precision is None else wilson_interval(precision, n_given)
    return LabelFigures(n_relevant, average_precision(relevant, scores), precision, n_right / n_relevant, interval)


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of Wilson (1927) for a share of ``n`` independent cases.

    Clips of one recording are not independent; the accuracy's ``n`` is therefore the number of recordings.

    Examples
    --------
    >>> [round(limit, 3) for limit in wilson_interval(1.0, 10)]
    [0.722, 1.0]
    """
    centre = share + Z_95**2 / (2 * n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    whole = 1 + Z_95**2 / n
    # The ends are exact where all or none are right: rounding must not put them beside the share.
    return 0.0 if share <= 0 else (centre - half) / whole, 1.0 if share >= 1 else (centre + half) / whole

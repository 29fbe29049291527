"""Events that a tagger finds in scenes, scored against what is known to be there."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Tagger
from training.metrics import Counts, event_counts, mean_f1, segment_counts, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine.results import Clip
    from training.examine.scenes import Scene

COLLAR_S, OFFSET_SHARE, SEGMENT_S = 0.5, 0.5, 1.0
# What is tried for a detector.
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
MERGE_GAPS_S = (0.0, 0.5, 1.0, 2.0, 3.0)
MIN_DURATIONS_S = (0.0, 0.3, 0.6, 1.0)


@dataclass(frozen=True)
class Settings:
    """How scores over time become events: the arguments of ``Clip.events``.

    Attributes
    ----------
    thresholds : mapping of str to float, or None
        None takes the card's.
    merge_gap_s, min_duration_s : float
    """

    thresholds: Mapping[str, float] | None = None
    merge_gap_s: float = 0.0
    min_duration_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        thresholds = None if self.thresholds is None else dict(self.thresholds)
        return {
            "thresholds": thresholds,
            "merge_gap_s": self.merge_gap_s,
            "min_duration_s": self.min_duration_s,
        }


def listen(model: Path, scene: Scene, *, hop_s: float | None = None) -> Clip:
    """Return what the model hears in a scene, by ``engine.Tagger`` on the CPU, one thread.

    Parameters
    ----------
    model : Path
    scene : Scene
    hop_s : float, optional
        From one window's start to the next; the card's by default.
    """
    with Tagger(model, device="cpu", threads=1) as tagger:
        return tagger((scene.samples, scene.sample_rate), hop_s=hop_s)


def score_scene(heard: Clip, scene: Scene, settings: Settings) -> dict[str, dict[str, Counts]]:
    """Return the counts of each label: "onset" (0.5 s collar), "onset_offset" (ends too) and "segment" (1 s).

    Events with labels that the scene does not score are left out.
    """
    found = heard.events(settings.thresholds, settings.merge_gap_s, settings.min_duration_s)
    estimate = [event for event in found if event.label in scene.labels]
    truth = [event for event in scene.events if event.label in scene.labels]
    return {
        "onset": event_counts(truth, estimate, collar_s=COLLAR_S),
        "onset_offset": event_counts(truth, estimate, collar_s=COLLAR_S, offset_share=OFFSET_SHARE),
        "segment": segment_counts(truth, estimate, segment_s=SEGMENT_S),
    }


@dataclass(frozen=True, eq=False)
class Trials:
    """The counts of one scene under every setting that is tried: all that the choice and the figures need of it.

    Attributes
    ----------
    labels : tuple of str
        Those that the scene scores, in the model's order.
    counts : mapping
        By (merge gap, shortest duration), then by threshold from the highest on, what ``score_scene`` gives.
    """

    labels: tuple[str, ...]
    counts: Mapping[tuple[float, float], Mapping[float, Mapping[str, Mapping[str, Counts]]]]

    def at(self, settings: Settings) -> dict[str, dict[str, Counts]]:
        """Return what ``score_scene`` gives for settings among those that were tried, a threshold for each label."""
        assert settings.thresholds is not None
        made: dict[str, dict[str, Counts]] = {}
        for label, threshold in settings.thresholds.items():
            tried = self.counts[settings.merge_gap_s, settings.min_duration_s][threshold]
            for kind, of_labels in tried.items():
                made.setdefault(kind, {}).update({label: of_labels[label]} if label in of_labels else {})
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``from_dict`` reads them back."""
        rows = [
            [*pair, threshold, kind, label, count.hits, count.estimated, count.true]
            for pair, of_thresholds in self.counts.items()
            for threshold, of_kinds in of_thresholds.items()
            for kind, of_labels in of_kinds.items()
            for label, count in of_labels.items()
        ]
        return {"labels": list(self.labels), "counts": rows}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trials:
        """Return what ``to_dict`` gave."""
        kinds = ("onset", "onset_offset", "segment")
        counts: dict[tuple[float, float], dict[float, dict[str, dict[str, Counts]]]] = {}
        for gap_s, shortest_s, threshold, kind, label, *count in values["counts"]:
            of_kinds = counts.setdefault((gap_s, shortest_s), {}).setdefault(threshold, {name: {} for name in kinds})
            of_kinds[kind][label] = Counts(*count)
        return cls(tuple(values["labels"]), counts)


def try_settings(heard: Clip, scene: Scene) -> Trials:
    """Score a scene under every setting of ``MERGE_GAPS_S``, ``MIN_DURATIONS_S`` and ``THRESHOLDS``."""
    return Trials(
        tuple(label for label in heard.labels if label in scene.labels),
        {
            (gap_s, shortest_s): {
                threshold: score_scene(
                    heard, scene, Settings(dict.fromkeys(heard.labels, threshold), gap_s, shortest_s)
                )
                for threshold in sorted(THRESHOLDS, reverse=True)
            }
            for gap_s, shortest_s in itertools.product(MERGE_GAPS_S, MIN_DURATIONS_S)
        },
    )


def choose_settings(trials: Sequence[Trials]) -> Settings:
    """Return the settings that suit these scenes best: what is chosen on some folds and used on another.

    For every pair of ``MERGE_GAPS_S`` and ``MIN_DURATIONS_S`` each label takes the threshold of ``THRESHOLDS`` with the
    largest sum of its event-based (starts, 0.5 s) and segment-based F1 over all scenes, the highest of equal ones; the
    pair with the largest mean of these sums over labels wins, the first of equal ones.

    Parameters
    ----------
    trials : sequence of Trials
        Of scenes that score the same labels, each heard by a model that was not trained on the scene's clips.
    """
    best: tuple[float, Settings] = (-1.0, Settings())
    for gap_s, shortest_s in trials[0].counts:
        merit = {
            threshold: _merit([trial.counts[gap_s, shortest_s][threshold] for trial in trials])
            for threshold in trials[0].counts[gap_s, shortest_s]
        }
        # (merit, threshold) of each label; max takes the first of equal ones, which is the highest threshold.
        chosen = {
            label: max(((of_labels.get(label, 0.0), t) for t, of_labels in merit.items()), key=itemgetter(0))
            for label in trials[0].labels
        }
        mean = float(np.mean([value for value, _ in chosen.values()]))
        if mean > best[0]:
            best = (mean, Settings({label: t for label, (_, t) in chosen.items()}, gap_s, shortest_s))
    return best[1]


def cross_fitted(trials: Mapping[int, Trials]) -> dict[int, Settings]:
    """Return for each fold the settings that suit the scenes of all the others.

    Parameters
    ----------
    trials : mapping of int to Trials
        Of each fold's scene, heard by the model that was not trained on that fold.
    """
    return {fold: choose_settings([trials[other] for other in trials if other != fold]) for fold in trials}


def detection(trials: Mapping[int, Trials]) -> dict[str, Any]:
    """Return the figures of all folds' scenes together, each with the settings of the others, and these settings.

    Parameters
    ----------
    trials : mapping of int to Trials
        As for ``cross_fitted``; two folds or more.
    """
    settings = cross_fitted(trials)
    made = figures(pooled([trials[fold].at(settings[fold]) for fold in trials]))
    return made | {"settings": {str(fold): chosen.to_dict() for fold, chosen in settings.items()}}


def pooled(counts: Sequence[Mapping[str, Mapping[str, Counts]]]) -> dict[str, dict[str, Counts]]:
    """Return the sums over scenes of what ``score_scene`` gives."""
    made: dict[str, dict[str, Counts]] = {}
    for scene in counts:
        for kind, of_labels in scene.items():
            sums = made.setdefault(kind, {})
            for label, count in of_labels.items():
                sums[label] = sums.get(label, Counts(0, 0, 0)) + count
    return made


def figures(counts: Mapping[str, Mapping[str, Counts]]) -> dict[str, Any]:
    """Return plain values: of each kind of count the micro and macro F1, precision, recall and every label's F1."""
    made: dict[str, Any] = {}
    for kind, of_labels in counts.items():
        together = total(of_labels)
        made[kind] = {
            "f1": _plain(together.f1),
            "macro_f1": _plain(mean_f1(of_labels)),
            "precision": _plain(together.precision),
            "recall": _plain(together.recall),
            "n_true": together.true,
            "n_estimated": together.estimated,
            "by_label": {label: _plain(count.f1) for label, count in of_labels.items()},
        }
    return made


def _merit(counts: Sequence[Mapping[str, Mapping[str, Counts]]]) -> dict[str, float]:
    """Return each label's sum of event-based and segment-based F1 over scenes."""
    sums = pooled(counts)
    return {label: count.f1 + sums["segment"][label].f1 for label, count in sums["onset"].items()}


def _plain(figure: float) -> float | None:
    return None if np.isnan(figure) else figure

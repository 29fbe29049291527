"""Scenes scored: which events count, and settings that are chosen on other scenes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import Tagger
from engine.results import Clip, Frames, Labelling, Window
from tests.training.cards import small_card, small_network
from training.examine.detection import (
    Settings,
    Trials,
    choose_settings,
    cross_fitted,
    detection,
    figures,
    listen,
    pooled,
    score_scene,
    try_settings,
)
from training.examine.scenes import Scene
from training.export import export
from training.metrics import Counts, Occurrence

if TYPE_CHECKING:
    from pathlib import Path

LABELS = ("bark", "rain")
EVENTS = (Occurrence(1.0, 2.0, "bark"), Occurrence(4.0, 6.0, "bark"), Occurrence(6.0, 8.0, "rain"))


def scene(labels: tuple[str, ...] = LABELS, events: tuple[Occurrence, ...] = EVENTS) -> Scene:
    return Scene(np.zeros(80_000, np.float32), 8000, events, labels)


def heard(levels: dict[str, float], miss: float = 0.05, delay_s: float = 0.0) -> Clip:
    """A model with frames of 0.1 s that scores ``levels`` during events and ``miss`` elsewhere."""
    scores = np.full((100, 2), miss, np.float32)
    for event in EVENTS:
        first, last = (round(10 * (time + delay_s)) for time in (event.start_s, event.end_s))
        scores[first:last, LABELS.index(event.label)] = levels[event.label]
    labelling = Labelling(LABELS)
    window = Window(0.0, 10.0, scores.max(axis=0), frames=Frames(scores, 0.1, 0.1), labelling=labelling)
    return Clip(None, 10.0, scores.max(axis=0), None, (window,), labelling)


def test_a_perfect_model_is_perfect_and_a_late_one_is_not() -> None:
    exact = figures(score_scene(heard({"bark": 0.9, "rain": 0.9}), scene(), Settings()))
    assert [exact[kind]["f1"] for kind in ("onset", "onset_offset", "segment")] == [1, 1, 1]
    assert exact["onset"]["by_label"] == {"bark": 1.0, "rain": 1.0}
    late = figures(score_scene(heard({"bark": 0.9, "rain": 0.9}, delay_s=0.6), scene(), Settings()))
    # 0.6 s late: no start within 0.5 s, and every event is in one segment more.
    assert late["onset"]["f1"] == 0
    assert late["segment"]["f1"] == pytest.approx(2 * 5 / (5 + 8))


def test_labels_that_the_scene_does_not_score_count_nowhere() -> None:
    counts = score_scene(heard({"bark": 0.9, "rain": 0.9}), scene(("bark",)), Settings())
    assert counts["onset"] == {"bark": Counts(2, 2, 2)}
    assert figures(score_scene(heard({"bark": 0.1, "rain": 0.1}), scene((), ()), Settings()))["onset"]["f1"] is None


def test_settings_are_those_that_a_search_over_all_finds() -> None:
    clips = [heard({"bark": 0.35, "rain": 0.97}, miss=0.22), heard({"bark": 0.45, "rain": 0.96}, miss=0.22)]
    chosen = choose_settings([try_settings(clip, scene()) for clip in clips])
    assert chosen.thresholds == {"bark": 0.3, "rain": 0.95}
    assert figures(pooled([score_scene(clip, scene(), chosen) for clip in clips]))["onset"]["f1"] == 1
    assert chosen.to_dict() == {
        "thresholds": {"bark": 0.3, "rain": 0.95},
        "merge_gap_s": 0.0,
        "min_duration_s": 0.0,
    }


def test_a_folds_own_scene_has_no_say_in_its_settings() -> None:
    clips = {
        1: heard({"bark": 0.5, "rain": 0.3}),
        2: heard({"bark": 0.9, "rain": 0.9}),
        3: heard({"bark": 0.9, "rain": 0.9}),
    }
    trials = {fold: try_settings(clip, scene()) for fold, clip in clips.items()}
    settings = cross_fitted(trials)
    # The highest threshold that finds everything in the others.
    assert settings[1].thresholds == {"bark": 0.9, "rain": 0.9}
    assert settings[2].thresholds == settings[3].thresholds == {"bark": 0.5, "rain": 0.3}
    found = detection(trials)
    assert found["settings"]["1"] == settings[1].to_dict()
    by_hand = [score_scene(clips[fold], scene(), settings[fold]) for fold in clips]
    assert {kind: found[kind] for kind in ("onset", "onset_offset", "segment")} == figures(pooled(by_hand))


def test_trials_come_back_from_plain_values() -> None:
    trials = try_settings(heard({"bark": 0.35, "rain": 0.97}), scene(("bark",)))
    again = Trials.from_dict(json.loads(json.dumps(trials.to_dict())))
    assert again.labels == trials.labels == ("bark",)
    settings = Settings({"bark": 0.3}, 0.5, 0.3)
    expected = score_scene(heard({"bark": 0.35, "rain": 0.97}), scene(("bark",)), settings)
    assert again.at(settings) == trials.at(settings) == expected
    assert choose_settings([again]) == choose_settings([trials])


def test_a_scene_is_heard_as_the_tagger_hears_it(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    made = Scene(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), 8000, (), ("low",))
    clip = listen(tmp_path / "small.onnx", made, hop_s=0.25)
    expected = Tagger(tmp_path / "small.onnx", device="cpu", threads=1)((made.samples, 8000), hop_s=0.25)
    assert len(clip.windows) == len(expected.windows) == 7
    assert np.array_equal(clip.scores, expected.scores)

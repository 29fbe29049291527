"""Results are values: ordered, thresholded and serialised as their docstrings say."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from engine.errors import AudioError
from engine.results import Clip, Tag, Window


def clip(scores: list[float], thresholds: dict[str, float] | None = None, **changes) -> Clip:
    values = np.array(scores, np.float32)
    windows = (Window(0.0, 2.5, values), Window(1.0, 3.0, values / 2))
    given = {"path": "a.wav", "duration_s": 3.0, "labels": ("cat", "dog", "owl"), "scores": values, "embedding": None}
    return Clip(**(given | {"windows": windows, "thresholds": thresholds} | changes))


def test_top_is_best_first_and_keeps_label_order_among_equals() -> None:
    assert clip([0.5, 0.75, 0.5]).top(3) == [Tag("dog", 0.75), Tag("cat", 0.5), Tag("owl", 0.5)]
    assert clip([0.5, 0.75, 0.5]).top() == [Tag("dog", 0.75)]
    assert [len(clip([0.1, 0.2, 0.3]).top(k)) for k in (-1, 0, 2, 9)] == [0, 0, 2, 3]


def test_above_includes_the_threshold_itself() -> None:
    assert [tag.label for tag in clip([0.5, 0.25, 0.75]).above(0.5)] == ["owl", "cat"]


def test_above_without_a_number_takes_the_cards_thresholds_and_one_half_elsewhere() -> None:
    scores, thresholds = [0.4, 0.4, 0.6], {"cat": 0.3, "dog": 0.45}
    assert [tag.label for tag in clip(scores, thresholds).above()] == ["owl", "cat"]
    assert [tag.label for tag in clip(scores).above()] == ["owl"]


def test_to_dict_is_json_with_everything_in_it() -> None:
    values = json.loads(json.dumps(clip([0.5, 0.25, 0.75], error=AudioError("why")).to_dict()))
    assert values["path"] == "a.wav"
    assert values["duration_s"] == 3.0
    assert values["labels"] == ["cat", "dog", "owl"]
    assert values["tags"][0] == {"label": "owl", "score": 0.75}
    assert values["windows"][1] == {"start_s": 1.0, "end_s": 3.0, "scores": [0.25, 0.125, 0.375]}
    assert values["error"] == "why"


def test_results_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        clip([0.1, 0.2, 0.3]).path = "b.wav"

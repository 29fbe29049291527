"""Results are values: ordered, thresholded and serialised as their docstrings say."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from engine.errors import AudioError
from engine.results import Clip, Frames, Labelling, Tag, Window


def clip(scores, thresholds=None, labelled=None, **changes):
    values = np.array(scores, np.float32)
    labelling = Labelling(("cat", "dog", "owl"), thresholds, **labelled or {})
    windows = (
        Window(0.0, 2.5, values, labelling=labelling),
        Window(1.0, 3.0, values / 2, labelling=labelling),
    )
    given = {"path": "a.wav", "duration_s": 3.0, "scores": values, "embedding": None}
    return Clip(**(given | {"windows": windows, "labelling": labelling} | changes))


def test_top_is_best_first_and_keeps_label_order_among_equals():
    assert clip([0.5, 0.75, 0.5]).top(3) == [Tag("dog", 0.75), Tag("cat", 0.5), Tag("owl", 0.5)]
    assert clip([0.5, 0.75, 0.5]).top() == [Tag("dog", 0.75)]
    assert [len(clip([0.1, 0.2, 0.3]).top(k)) for k in (-1, 0, 2, 9)] == [0, 0, 2, 3]


def test_above_includes_the_threshold_itself():
    assert [tag.label for tag in clip([0.5, 0.25, 0.75]).above(0.5)] == ["owl", "cat"]


def test_above_without_a_number_takes_the_cards_thresholds_and_one_half_elsewhere():
    scores, thresholds = [0.4, 0.4, 0.6], {"cat": 0.3, "dog": 0.45}
    assert [tag.label for tag in clip(scores, thresholds).above()] == ["owl", "cat"]
    assert [tag.label for tag in clip(scores).above()] == ["owl"]


def test_to_dict_is_json_with_everything_in_it():
    values = json.loads(json.dumps(clip([0.5, 0.25, 0.75], error=AudioError("why")).to_dict()))
    assert values["path"] == "a.wav"
    assert values["duration_s"] == 3.0
    assert values["labels"] == ["cat", "dog", "owl"]
    assert values["tags"][0] == {"label": "owl", "score": 0.75}
    assert values["windows"][1] == {"start_s": 1.0, "end_s": 3.0, "scores": [0.25, 0.125, 0.375]}
    assert values["error"] == "why"


def test_results_are_frozen():
    with pytest.raises(FrozenInstanceError):
        clip([0.1, 0.2, 0.3]).path = "b.wav"


def test_tags_are_every_label_unless_fewer_were_asked_for():
    scores = [0.5, 0.25, 0.75]
    assert clip(scores).tags == clip(scores).top(3)
    assert clip(scores, labelled={"top_k": 2}).tags == clip(scores).top(2)
    assert clip(scores, labelled={"threshold": 0.5}).tags == clip(scores).above(0.5)
    assert clip(scores, labelled={"threshold": 0.25, "top_k": 1}).tags == clip(scores).top(1)
    assert clip(scores, labelled={"threshold": 0.8, "top_k": 1}).tags == []


def test_windows_are_tagged_as_their_clip_is():
    first, second = clip([0.5, 0.25, 0.75], labelled={"threshold": 0.3}).windows
    assert [tag.label for tag in first.tags] == ["owl", "cat"]
    assert second.tags == [Tag("owl", 0.375)]
    assert second.labels == ("cat", "dog", "owl")
    assert [tag.label for tag in clip([0.1, 0.2, 0.3], labelled={"top_k": 1}).windows[1].tags] == ["owl"]


def test_what_tags_leave_out_stays_in_the_scores_and_the_labels():
    short = clip([0.5, 0.25, 0.75], labelled={"threshold": 0.6, "top_k": 1})
    assert short.labels == ("cat", "dog", "owl")
    assert short.scores.tolist() == [0.5, 0.25, 0.75]
    assert [tag.score for tag in short.top(3)] == [0.75, 0.5, 0.25]
    assert short.to_dict()["tags"] == [{"label": "owl", "score": 0.75}]
    assert short.to_dict()["windows"][0]["scores"] == [0.5, 0.25, 0.75]


def test_above_takes_a_threshold_for_each_label_and_the_cards_for_the_others():
    scores, card = [0.5, 0.5, 0.5], {"dog": 0.4, "owl": 0.6}
    assert {tag.label for tag in clip(scores, card).above({"cat": 0.55})} == {"dog"}
    assert {tag.label for tag in clip(scores, card).above({"cat": 0.45, "owl": 0.5})} == {"cat", "dog", "owl"}
    assert {tag.label for tag in clip(scores, card, labelled={"threshold": {"owl": 0.1}}).tags} == {"cat", "dog", "owl"}


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(0), 0])
def test_any_kind_of_number_is_a_threshold(number):
    assert clip([0.4, 0.25, 0.75]).above(number)[0].label == "owl"
    assert len(clip([0.4, 0.25, 0.75]).above(number)) == (1 if number else 3)


def test_a_failed_recording_has_its_reason_and_nothing_else():
    failed = Clip.failed("b.wav", AudioError("why"))
    assert (failed.path, str(failed.error), failed.duration_s) == ("b.wav", "why", 0)
    assert (failed.scores.shape, failed.labels, failed.windows, failed.embedding) == ((0,), (), (), None)
    assert failed.tags == failed.top(3) == failed.above(0.1) == failed.events() == []
    assert json.loads(json.dumps(failed.to_dict()))["error"] == "why"


def test_frames_are_in_the_dictionary_where_there_are_some():
    frames = Frames(np.array([[0.25], [0.5]], np.float32), hop_s=0.5, length_s=1.0)
    window = Window(0.0, 1.0, np.array([0.5], np.float32), frames=frames)
    assert json.loads(json.dumps(window.to_dict())) == {
        "start_s": 0.0,
        "end_s": 1.0,
        "scores": [0.5],
        "frames": {"hop_s": 0.5, "length_s": 1.0, "scores": [[0.25], [0.5]]},
    }


def test_tags_and_events_are_plain_dictionaries():
    assert Tag("dog", 0.5).to_dict() == {"label": "dog", "score": 0.5}
    (event,) = clip([0.75, 0.0, 0.0]).events(0.7)
    assert event.to_dict() == {"start_s": 0.0, "end_s": 2.5, "label": "cat", "score": 0.75}

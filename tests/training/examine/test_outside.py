"""Other sounds: their halves share no recording, and what a model gives them is counted by window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tests.training.cards import small_card, small_network
from training.examine.outside import Heard, Outside, dealt, formulas, hear, recordings, shares_above
from training.export import export

if TYPE_CHECKING:
    from pathlib import Path


def test_recordings_are_known_by_where_they_lie(tmp_path: Path) -> None:
    for name in (
        "librosa/198-209-0000.ogg",
        "librosa/Kevin_MacLeod_-_Vibe_Ace.ogg",
        "librosa/glacier-bay-humpback.ogg",
        "auditok/a.wav",
        "maad_day/S4A.flac",
        "spinetail/spinetail.wav",
        "spinetail/spinetail_events.csv",
        "made/archive.ogg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    kinds = {found.name: found.kind for found in recordings(tmp_path)}
    assert kinds == {
        "198-209-0000.ogg": "speech",
        "a.wav": "speech",
        "Kevin_MacLeod_-_Vibe_Ace.ogg": "music",
        "glacier-bay-humpback.ogg": "field recordings",
        "S4A.flac": "field recordings",
        "spinetail.wav": "field recordings",
    }


def test_halves_are_dealt_in_turn(tmp_path: Path) -> None:
    found = dealt("birds", [tmp_path / name for name in "abc"])
    assert [(one.half, one.name) for one in found] == [("calibration", "a"), ("test", "b"), ("calibration", "c")]


def test_formulas_differ_between_the_halves() -> None:
    made = formulas()
    assert [one.half for one in made[:2]] == ["calibration", "test"]
    assert len(made) == 14
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert first.name.split()[0] == second.name.split()[0]
        assert np.array_equal(first.sound[0], second.sound[0]) == first.name.startswith("digital")
    again = formulas()
    assert all(np.array_equal(a.sound[0], b.sound[0]) for a, b in zip(made, again, strict=True))


def test_every_window_is_heard_and_counted(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    generator = np.random.default_rng(0)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", generator.uniform(-0.5, 0.5, 9_000), 8_000)
    sounds = [*dealt("noise", [tmp_path / "a.wav", tmp_path / "b.wav"])]
    sounds.append(Outside("hum", "test", "hum", (np.sin(np.arange(4_000) / 3), 8_000)))
    heard = hear(tmp_path / "small.onnx", sounds)
    assert heard.kinds == ("noise",) * 6 + ("hum",)  # 9,000 samples are two windows of 4,000 and a short one
    assert heard.halves == ("calibration",) * 3 + ("test",) * 4
    again = Heard.from_dict(heard.to_dict())
    assert np.array_equal(again.scores, heard.scores)
    thresholds = np.median(heard.scores, axis=0)
    found = shares_above(heard, thresholds)
    assert (found["noise"]["windows"], found["hum"]["windows"], found["all"]["windows"]) == (3, 1, 4)
    expected = np.mean([any(score >= thresholds) for score in heard.scores[3:6]])
    assert found["noise"]["above"] == pytest.approx(expected)
    assert np.isnan(shares_above(heard, thresholds, "calibration")["hum"]["above"])

"""Clips of another data set as other sounds: one of each source, and no source in both halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pytest

from engine.results import Clip, Labelling, Window
from training.datasets.record import Record
from training.examine import outside_clips
from training.examine.outside import Outside
from training.examine.yamnet_peer import CLASSES

if TYPE_CHECKING:
    from pathlib import Path


def test_one_clip_of_each_source_and_every_source_in_one_half(tmp_path: Path) -> None:
    records = [
        Record(tmp_path / f"{source}{take}.wav", ("yes",), source=source)
        for take in (1, 0)
        for source in ("d", "a", "c", "b", "e")
    ]
    found = outside_clips.clips_outside("spoken words", records)
    assert [(sound.half, sound.name) for sound in found] == [
        ("calibration", "a0.wav"),
        ("test", "b0.wav"),
        ("calibration", "c0.wav"),
        ("test", "d0.wav"),
        ("calibration", "e0.wav"),
    ]
    assert {sound.kind for sound in found} == {"spoken words"}
    again = outside_clips.clips_outside("spoken words", records[::-1])
    assert [sound.sound for sound in again] == [sound.sound for sound in found]


def test_the_highest_window_of_each_label_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    names = tuple(name for of_label in CLASSES.values() for name in of_label)
    rows = np.zeros((2, len(names)), np.float32)
    rows[0, names.index("Yip")] = 0.7
    rows[1, names.index("Raindrop")] = 0.4

    class Fake:
        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...
        def __call__(self, sound: object) -> Clip:
            labelling = Labelling(names)
            windows = tuple(Window(0.48 * i, 0.48 * i + 0.96, row, labelling=labelling) for i, row in enumerate(rows))
            return Clip(None, 1.44, rows.max(axis=0), None, windows, labelling)

    monkeypatch.setattr(outside_clips, "Tagger", Fake)
    found = outside_clips.target_scores("yamnet.onnx", [Outside("music", "test", "tune", None)])["tune"]
    assert found["dog bark"] == pytest.approx(0.7)
    assert found["rain"] == pytest.approx(0.4)
    assert found["rooster"] == 0

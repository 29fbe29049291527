"""The peer: what YAMNet's classes and a head make of its windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from engine.labels import read_labels
from engine.results import Clip, Labelling, Window
from training.datasets.esc50 import ESC10, load_esc50
from training.examine.yamnet_peer import CLASSES, Examples, by_classes, convert_yamnet, examples, fit_head

if TYPE_CHECKING:
    from pathlib import Path


def clip(scores: np.ndarray, embeddings: np.ndarray, labels: tuple[str, ...]) -> Clip:
    labelling = Labelling(labels)
    windows = tuple(
        Window(0.48 * i, min(0.48 * i + 0.96, 2.0), row, embedding, labelling=labelling)
        for i, (row, embedding) in enumerate(zip(scores, embeddings, strict=True))
    )
    return Clip(None, 2.0, scores.max(axis=0), embeddings.mean(axis=0), windows, labelling)


def test_every_label_has_classes() -> None:
    assert set(CLASSES) == set(ESC10.values())


def test_a_label_has_the_highest_score_of_its_classes_in_the_middle_of_the_window() -> None:
    names = tuple(sorted({name for names in CLASSES.values() for name in names}))
    scores = np.random.default_rng(0).random((4, len(names))).astype(np.float32)
    made = by_classes(clip(scores, np.zeros((4, 2), np.float32), names))
    assert made.labels == tuple(CLASSES)
    for window, row in zip(made.windows, scores, strict=True):
        by_name = dict(zip(names, row, strict=True))
        assert window.scores.tolist() == [max(by_name[name] for name in names) for names in CLASSES.values()]
    assert [window.start_s for window in made.windows] == pytest.approx([0.24, 0.72, 1.2, 1.68])
    assert [window.end_s for window in made.windows] == pytest.approx([0.72, 1.2, 1.68, 2.0])
    assert np.array_equal(made.scores, np.max([window.scores for window in made.windows], axis=0))


def test_a_head_learns_from_the_chosen_records_alone() -> None:
    rng = np.random.default_rng(0)
    # Records 0 and 1 are two labels in two corners, record 2 is noise; record 3 says the contrary of record 0.
    rows = np.concatenate([rng.normal(at, 0.3, (20, 2)) for at in ((3, 0), (0, 3), (0, 0), (3, 0))])
    labels = ("bark",) * 20 + ("rain",) * 20 + (None,) * 20 + ("rain",) * 20
    known = Examples(rows.astype(np.float32), labels, np.repeat(np.arange(4), 20))
    head = fit_head(known, [0, 1, 2])
    assert head.labels == ("bark", "rain")
    embeddings = np.array([[3, 0], [0, 3], [0, 0], [3, 3]], np.float32)
    made = head(clip(np.zeros((4, 1), np.float32), embeddings, ("x",)))
    assert (np.array([window.scores for window in made.windows])[:3] > 0.5).tolist() == [
        [True, False],
        [False, True],
        [False, False],
    ]
    for column, label in enumerate(head.labels):
        peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        peer.fit(rows[:60], np.array(labels[:60]) == label)
        found = [window.scores[column] for window in made.windows]
        assert found == pytest.approx(peer.predict_proba(embeddings)[:, 1], abs=1e-4)


def test_yamnet_hears_clips_with_the_engine(shared_data: Path, tmp_path: Path) -> None:
    names = read_labels(shared_data / "models" / "yamnet" / "yamnet_class_map.csv")
    assert all(name in names for of_label in CLASSES.values() for name in of_label)
    convert_yamnet(shared_data / "models" / "yamnet", tmp_path / "yamnet.onnx")
    records = [r for r in load_esc50(shared_data / "esc10_dev", "esc10").records if r.label == "rooster"][:2]
    known = examples(tmp_path / "yamnet.onnx", records)
    assert set(known.labels) == {"rooster", None}
    assert sorted(set(known.clips.tolist())) == [0, 1]
    assert known.embeddings.shape == (len(known.labels), 1024)
    # One second of noise is two windows, and the clip is there twice.
    assert known.labels.count(None) == 4
    assert (len(known.labels) - 4) % 2 == 0

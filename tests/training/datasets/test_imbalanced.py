"""Imbalanced sets: ratios, sources on one side, mixtures at their level."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError
from tests.training import trees
from training.datasets.imbalanced import (
    EventClip,
    descendants,
    divide_groups,
    in_ratio,
    load_events,
)
from training.datasets.mixing import heard, over
from training.datasets.record import Record
from training.recipes.triple_header.config import Config


@given(st.lists(st.integers(1, 9), min_size=3, max_size=40), st.integers(0, 50))
@settings(deadline=None)
def test_a_source_is_in_one_part_and_every_record_in_some(sizes, seed):
    records = [Record(Path(f"{s}-{i}.wav"), ("x",), source=f"s{s}") for s, n in enumerate(sizes) for i in range(n)]
    parts = divide_groups(records, seed)
    assert sorted(r.path for part in parts.values() for r in part) == sorted(r.path for r in records)
    sources = [{r.source for r in part} for part in parts.values()]
    assert not any(a & b for i, a in enumerate(sources) for b in sources[i + 1 :])
    assert parts == divide_groups(records, seed)


def test_parts_have_about_their_shares():
    records = [Record(Path(f"{i}.wav"), ("x",), source=str(i % 100)) for i in range(1000)]
    parts = divide_groups(records, 3)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == pytest.approx([700, 200, 100], abs=11)


@given(st.tuples(*[st.integers(1, 6)] * 3), st.lists(st.integers(0, 2), min_size=60, max_size=200), st.integers(0, 3))
@settings(deadline=None)
def test_classes_stand_in_the_ratio(ratio, classes, most):
    classes = np.array(classes)
    counts = np.bincount(classes, minlength=3)
    unit = min(c // r for c, r in zip(counts, ratio, strict=True))
    if unit == 0:
        with pytest.raises(ConfigError, match="change --ratio"):
            in_ratio(classes, ratio, most, 0)
        return
    kept = in_ratio(classes, ratio, most, 0)
    expected = min(unit, most) if most else unit
    assert np.bincount(classes[kept], minlength=3).tolist() == [expected * r for r in ratio]
    assert (np.diff(kept) > 0).all()


@pytest.mark.parametrize("above_db", [0.0, 13.0])
def test_an_event_is_louder_by_what_is_asked_where_it_isheard(above_db):
    generator = np.random.default_rng(0)
    under = generator.standard_normal(8000).astype(np.float32) * 0.01
    event = generator.standard_normal(2000).astype(np.float32) * 0.3
    mixed = over(event, under, above_db, 0.5)
    assert (mixed[:3000] == under[:3000]).all()
    assert (mixed[5000:] == under[5000:]).all()
    added = mixed[3000:5000] - under[3000:5000]
    assert 10 * np.log10(np.mean(added**2) / np.mean(under[3000:5000] ** 2)) == pytest.approx(above_db, abs=1e-3)


def test_silence_on_either_side_divides_by_nothing():
    event, silence = np.full(10, 0.5, np.float32), np.zeros(20, np.float32)
    assert over(event, silence, 10.0, 0.0)[:10].tolist() == [0.5] * 10
    assert over(np.zeros(10, np.float32), silence + 1, 10.0, 1.0).tolist() == [1.0] * 20
    assert np.abs(over(event * 4, silence, 0.0, 0.0)).max() == 1


def test_an_event_is_laid_without_its_silence():
    samples = np.concatenate([np.zeros(5), [1, -1, 0.001, 0.5], np.zeros(7)]).astype(np.float32)
    assert heard(samples).tolist() == pytest.approx([1, -1, 0.001, 0.5])
    assert len(heard(np.zeros(9, np.float32))) == 9


def test_mixtures_of_esc10_have_the_ratio_and_folds_on_one_side(tmp_path):
    root = trees.esc10_dev(tmp_path, folds=(1, 2, 3))
    made = load_events(root, Config(corpus="esc10", ratio=(2, 1, 1, 3), most=4, seed=1))
    assert made.labels == ("dog bark", "crying baby", "rooster")
    counts = [np.bincount([clip.event for clip in made.parts["train"]]).tolist()]
    assert counts == [[8, 4, 4, 12]]
    folds = {
        part: {path.name[0] for clip in clips for path in (clip.path, clip.under)} for part, clips in made.parts.items()
    }
    assert folds == {"train": {"1"}, "validation": {"3"}, "test": {"2"}}
    clip = made.parts["train"][0]
    waveform = clip.waveform(8000, 1.0)
    assert waveform.shape == (8000,)
    assert (waveform == EventClip(**vars(clip)).waveform(8000, 1.0)).all()
    assert np.abs(waveform).max() <= 1


def test_words_are_divided_by_speaker(shared_data):
    made = load_events(shared_data / "speech_commands_dev", Config())
    train = np.bincount([clip.event for clip in made.parts["train"]])
    assert train.tolist() == (train[1] * np.array([6, 1, 2, 16])).tolist()
    speakers = [
        {clip.path.name.split("_nohash_")[0].split("_")[-1] for clip in clips if "nohash" in clip.path.name}
        for clips in made.parts.values()
    ]
    assert sum(map(len, speakers)) == len(set.union(*speakers))


def test_unknown_events_and_short_ratios_are_refused(tmp_path):
    root = trees.esc10_dev(tmp_path, folds=(1, 2, 3))
    with pytest.raises(ConfigError, match="'unicorn'"):
        load_events(root, Config(corpus="esc10", events=("dog bark", "rain", "unicorn")))
    with pytest.raises(ConfigError, match="3 events in --ratio"):
        load_events(root, Config(corpus="esc10", ratio=(1, 2)))
    with pytest.raises(ConfigError, match="three folds"):
        load_events(trees.esc10_dev(tmp_path / "two"), Config(corpus="esc10"))


ONTOLOGY = [
    {"id": "/m/0bt9lr", "name": "Dog", "child_ids": ["/m/05tny_", "/m/unlisted"]},
    {"id": "/m/05tny_", "name": "Bark", "child_ids": ["/m/x"]},
    {"id": "/m/x", "name": "Yip", "child_ids": []},
    {"id": "/m/09x0r", "name": "Speech", "child_ids": []},
]


def test_background_has_no_kind_of_an_event(tmp_path):
    names = {"/m/0bt9lr": "Dog", "/m/05tny_": "Bark", "/m/x": "Yip", "/m/09x0r": "Speech", "/m/cat": "Cat"}
    (tmp_path / "ontology.json").write_text(json.dumps(ONTOLOGY))
    rows = [f'{i},{mid},"{name}"' for i, (mid, name) in enumerate(names.items())]
    (tmp_path / "class_labels_indices.csv").write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    comment = "# Segments csv\n# num\n# YTID, start_seconds, end_seconds, positive_labels\n"
    clips = ["/m/0bt9lr,/m/05tny_", "/m/05tny_", "/m/09x0r", "/m/cat", "/m/0bt9lr,/m/cat"]
    lines = []
    for copy in range(10):
        for i, mids in enumerate(clips):
            video = f"video{copy}{i:05d}"
            lines.append(f'{video}, 0.000, 10.000, "{mids}"')
            trees.write_clip(tmp_path / "audio" / f"{video}.wav", 300.0, 0.1, seed=i)
    (tmp_path / "eval_segments.csv").write_text(comment + "\n".join(lines) + "\n")
    (tmp_path / "balanced_train_segments.csv").write_text(comment)
    assert descendants(tmp_path, "Dog") == {"Dog", "Bark", "Yip"}
    made = load_events(tmp_path, Config(corpus="audioset", events=("Dog", "Cat"), ratio=(1, 1, 1)))
    kinds = {(clip.event, clip.path.stem[-1]) for clips in made.parts.values() for clip in clips}
    # A bark without "Dog" is neither, "Dog" and "Cat" together are two events.
    assert kinds == {(0, "0"), (1, "3"), (2, "2")}
    (tmp_path / "ontology.json").unlink()
    with pytest.raises(ConfigError, match=r"ontology\.json"):
        descendants(tmp_path, "Dog")

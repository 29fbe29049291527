"""Scenes made from ESC-10 and field recordings: what they hold, and that parts share nothing."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from engine.audio import load
from engine.errors import ConfigError
from tests.training import trees
from training.datasets.mixing import fitted, heard
from training.datasets.scenes import EMPTY, PARTS, draw_scene, make_scenes, waveforms

COUNTS = {"labelled": 12, "unlabelled": 30, "validation": 9, "evaluation": 60}


def fields(folder, n):
    folder.mkdir()
    for i in range(n):
        samples = np.random.default_rng(i).standard_normal(80_000) * 0.01
        soundfile.write(folder / f"{i:03d}.wav", samples, 8000)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    esc10, background = trees.esc10_dev(root / "esc10", folds=(1, 2, 3, 4)), fields(root / "fields", 40)
    return esc10, background, make_scenes(esc10, background, COUNTS, 0)


def used(scenes):
    sources = {sound.path.name.split("-")[1] for scene in scenes for sound in scene.sounds}
    return sources, {scene.background for scene in scenes}


def test_parts_share_neither_sources_nor_background(made):
    _, _, scenes = made
    train = used(scenes.parts["labelled"] + scenes.parts["unlabelled"])
    others = [used(scenes.parts[part]) for part in ("validation", "evaluation")]
    for one, other in ((train, others[0]), (train, others[1]), others):
        assert one[0]
        assert not one[0] & other[0]
        assert not one[1] & other[1]
    assert {part: len(scenes.parts[part]) for part in PARTS} == COUNTS


def test_targets_are_the_sounds_and_each_comes_once(made):
    _, _, scenes = made
    for part in PARTS:
        for row, scene in zip(scenes.targets(part), scenes.parts[part], strict=True):
            labels = [sound.label for sound in scene.sounds]
            assert len(labels) == len(set(labels)) <= 3
            assert {scenes.labels[i] for i in np.flatnonzero(row)} == set(labels)
            assert all(0 <= sound.above_db <= 20 for sound in scene.sounds)
    assert scenes.targets("labelled").sum(axis=1).min() >= 1


def test_some_of_the_evaluation_is_empty(made):
    esc10, background, scenes = made
    many = make_scenes(esc10, background, COUNTS | {"evaluation": 2000}, 0).targets("evaluation")
    assert (many.sum(axis=1) == 0).mean() == pytest.approx(EMPTY, abs=0.01)
    empty = draw_scene((), [scenes.parts["labelled"][0].background], np.random.default_rng(0), empty=1.0)
    assert empty.sounds == ()
    silent = next(waveforms([empty], 8000))
    assert silent == pytest.approx(load(empty.background, 8000)[0])


def test_seeds_turn_the_folds_and_draw_anew(made):
    esc10, background, scenes = made
    assert make_scenes(esc10, background, COUNTS, 0) == scenes
    folds = []
    for seed in range(4):
        other = make_scenes(esc10, background, COUNTS, seed)
        folds.append({sound.path.name[0] for scene in other.parts["evaluation"] for sound in scene.sounds})
    assert sorted(min(fold) for fold in folds) == ["1", "2", "3", "4"]


def test_a_sound_is_as_much_louder_as_it_says(made):
    _, _, scenes = made
    scene = next(s for s in scenes.parts["labelled"] if len(s.sounds) == 1)
    (mixed,) = waveforms([scene], 8000)
    under, sound = fitted(load(scene.background, 8000)[0], 80_000), scene.sounds[0]
    event = heard(load(sound.path, 8000)[0])
    start = round(sound.place * (80_000 - len(event)))
    added = (mixed - under)[start : start + len(event)]
    covered = under[start : start + len(event)]
    assert 10 * np.log10(np.mean(added**2) / np.mean(covered**2)) == pytest.approx(sound.above_db, abs=0.1)
    assert np.abs(np.delete(mixed - under, np.s_[start : start + len(event)])).max() < 1e-6


def test_too_little_is_refused(made, tmp_path):
    esc10, background, _ = made
    with pytest.raises(ConfigError, match="25 field recordings or more, got 20"):
        make_scenes(esc10, fields(tmp_path / "few", 20), COUNTS, 0)
    with pytest.raises(ConfigError, match="four folds"):
        make_scenes(trees.esc10_dev(tmp_path / "esc10", folds=(1, 2)), background, COUNTS, 0)

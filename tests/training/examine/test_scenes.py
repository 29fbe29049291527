"""Scenes: what is heard when, at which level, and always the same."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from engine.errors import ConfigError
from tests.training import trees
from training.datasets.esc50 import load_esc50
from training.examine.scenes import make_scene

if TYPE_CHECKING:
    from training.datasets.record import Record

RATE = 16_000


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, ...]:
    """One clip a class, of half a second; that of the sneeze is silent in its second half."""
    root = trees.esc10_dev(tmp_path_factory.mktemp("esc10"), folds=(1,))
    sneeze = next(path for path in (root / "audio").iterdir() if path.stem.endswith("-5"))
    samples, rate = soundfile.read(sneeze)
    samples[len(samples) // 2 :] = 0
    soundfile.write(sneeze, samples, rate)
    return load_esc50(root, "esc10").records


def test_the_same_seed_makes_the_same_scene(records: tuple[Record, ...]) -> None:
    one, same, other = (make_scene(records, seed, seconds=40, n_events=12, sample_rate=RATE) for seed in (3, 3, 4))
    assert np.array_equal(one.samples, same.samples)
    assert one.events == same.events
    assert one.events != other.events
    assert (len(one.samples), one.samples.dtype) == (40 * RATE, np.float32)


@pytest.mark.parametrize("background", ["noise", "rain"])
def test_events_take_turns_and_are_heard_where_they_are_said(records: tuple[Record, ...], background) -> None:
    scene = make_scene(records, 1, background, seconds=60, n_events=30, sample_rate=RATE)
    quiet = np.ones(len(scene.samples), bool)
    for event in scene.events:
        quiet[round(event.start_s * RATE) : round(event.end_s * RATE)] = False
        # The half second that is heard, a quarter for the sneeze; Vorbis smears its edges a little.
        assert event.end_s - event.start_s == pytest.approx(0.25 if event.label == "sneeze" else 0.5, abs=0.05)
    power = np.mean(scene.samples[quiet] ** 2)
    louder = [
        10 * np.log10(np.mean(scene.samples[round(e.start_s * RATE) : round(e.end_s * RATE)] ** 2) / power)
        for e in scene.events
    ]
    # 0 dB above the background is 3 dB with it; the background itself varies, and events overlap.
    assert min(louder) > 1
    assert max(louder) < 25
    per_label = {event.label for event in scene.events}
    assert len(per_label) == (10 if background == "noise" else 7)
    assert ("rain" in scene.labels) == (background == "noise")
    if background == "noise":
        assert sorted(e.label for e in scene.events) == sorted(3 * [record.label for record in records])


def test_at_most_two_events_at_a_time_and_never_twice_the_same(records: tuple[Record, ...]) -> None:
    overlaps = 0
    for seed in range(5):
        events = make_scene(records, seed, seconds=60, n_events=40, sample_rate=RATE).events
        assert events[0].start_s > 0
        assert events[-1].end_s < 60
        assert [e.start_s for e in events] == sorted(e.start_s for e in events)
        overlapping = [after.start_s < before.end_s for before, after in pairwise(events)]
        overlaps += sum(overlapping)
        for over, (before, after) in zip(overlapping, pairwise(events), strict=True):
            assert before.label != after.label or not over
            assert over or after.start_s - before.end_s >= 0.9
    assert 10 <= overlaps <= 60  # of 200, an expected fifth less those in a row


def test_what_cannot_be_made_is_refused(records: tuple[Record, ...]) -> None:
    with pytest.raises(ConfigError, match="fewer events"):
        make_scene(records, 0, seconds=10, n_events=40, sample_rate=RATE)
    dry = [record for record in records if record.label != "rain"]
    with pytest.raises(ConfigError, match="got none; choose noise"):
        make_scene(dry, 0, "rain", seconds=10, n_events=2, sample_rate=RATE)
    with pytest.raises(ConfigError, match="got 0 and 2"):
        make_scene([], 0, n_events=2)

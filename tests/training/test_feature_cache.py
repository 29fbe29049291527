"""The feature cache: the engine's own features, whoever writes them, and never a damaged entry."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import LogMel
from engine.audio import load
from engine.errors import AudioError
from tests.conftest import REPOSITORY
from tests.training import trees
from tests.training.cards import FRONTEND
from training.feature_cache import HEAD, FeatureCache

if TYPE_CHECKING:
    from pathlib import Path

# The root of the repository comes last: the engine is the installed one.
WRITER = """
import sys
from pathlib import Path
sys.path.append(sys.argv.pop())
from tests.training.cards import FRONTEND
from training.feature_cache import FeatureCache
sys.stdin.readline()
for _ in range(20):
    cache = FeatureCache(Path(sys.argv[1]), FRONTEND)
    for clip in sorted(Path(sys.argv[2]).glob("*.wav")):
        print(float(cache(clip).sum()))
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    trees.write_clip(tmp_path / "clip.wav", 440.0, 0.5, seed=0)
    return tmp_path / "clip.wav"


def test_features_are_the_engines_and_computed_once(tmp_path: Path, clip: Path) -> None:
    expected = LogMel(FRONTEND)(load(clip, FRONTEND.sample_rate)[0])
    cache = FeatureCache(tmp_path / "cache", FRONTEND)
    for _ in range(2):
        found = cache(clip)
        assert isinstance(found, np.memmap)
        assert not found.flags.writeable
        assert found.dtype == np.float32
        assert np.array_equal(found, expected)
    assert cache.computed == 1
    again = FeatureCache(tmp_path / "cache", FRONTEND)
    assert np.array_equal(again(clip), expected)
    assert again.computed == 0


def test_another_front_end_or_another_file_is_another_entry(tmp_path: Path, clip: Path) -> None:
    FeatureCache(tmp_path / "cache", FRONTEND)(clip)
    other = FeatureCache(tmp_path / "cache", replace(FRONTEND, f_max=3000.0))
    assert not np.array_equal(other(clip), FeatureCache(tmp_path / "cache", FRONTEND)(clip))
    assert other.computed == 1
    trees.write_clip(clip, 880.0, 0.5, seed=0)
    os.utime(clip, ns=(1, 1))
    changed = FeatureCache(tmp_path / "cache", FRONTEND)
    assert np.array_equal(changed(clip), LogMel(FRONTEND)(load(clip, FRONTEND.sample_rate)[0]))
    assert changed.computed == 1


@pytest.mark.parametrize("damage", ["empty", "short", "long", "head", "values"])
def test_a_damaged_entry_is_computed_again(tmp_path: Path, clip: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path / "cache", FRONTEND)
    expected = np.array(cache(clip))
    entry = cache.path(clip)
    content = bytearray(entry.read_bytes())
    if damage == "head":
        content[9] ^= 1
    if damage == "values":
        content[HEAD.itemsize + 40] ^= 1
    kept = {"empty": content[:0], "short": content[:-4], "long": content + b"1234"}
    entry.write_bytes(kept.get(damage, content))
    assert np.array_equal(cache(clip), expected)
    assert cache.computed == 2
    assert np.array_equal(cache(clip), expected)
    assert cache.computed == 2


def test_two_processes_may_write_the_same_entries(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    for i in range(3):
        trees.write_clip(tmp_path / "audio" / f"{i}.wav", 300.0 * (i + 1), 0.3, seed=i)
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache"), str(tmp_path / "audio"), str(REPOSITORY)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate("\n", timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert len(outputs[0][0].split()) == 60
    assert list((tmp_path / "cache").rglob("*.part")) == []


def test_a_recording_that_is_not_there_is_an_audio_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError):
        FeatureCache(tmp_path / "cache", FRONTEND)(tmp_path / "none.wav")

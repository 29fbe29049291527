"""The example clips: the script makes exactly what is committed, and the shipped model hears what each one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from engine import Tagger

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CLIPS = sorted(path.name for path in EXAMPLES.glob("*.flac"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    subprocess.run([sys.executable, EXAMPLES / "make_examples.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def tagger():
    return Tagger(device="cpu", threads=1)


def test_script_makes_the_committed_clips_and_no_others(made):
    assert 3 <= len(CLIPS) <= 5
    assert sorted(path.name for path in made.iterdir()) == CLIPS


@pytest.mark.parametrize("name", CLIPS)
def test_script_reproduces_the_committed_samples(made, name):
    committed, sample_rate = sf.read(EXAMPLES / name, dtype="int16")
    again, _ = sf.read(made / name, dtype="int16")
    assert sample_rate == 44_100
    assert committed.shape == again.shape == (5 * 44_100,)
    # Another processor's sine may round to the neighbouring 16-bit value; any change of the synthesis goes further.
    assert np.abs(committed.astype(int) - again).max() <= 1


@pytest.mark.parametrize("name", CLIPS)
def test_clip_is_loud_enough_and_does_not_clip(name):
    samples, _ = sf.read(EXAMPLES / name)
    assert 0.3 <= np.abs(samples).max() < 1
    assert abs(samples.mean()) < 1e-3


@pytest.mark.parametrize("name", CLIPS)
def test_shipped_model_names_the_clip_first(tagger, name):
    label = Path(name).stem.replace("_", " ")
    assert label in tagger.labels
    assert tagger(EXAMPLES / name).top(1)[0].label == label

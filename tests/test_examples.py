"""The example clips: the script makes exactly what is committed, and the shipped model hears what each one is."""

from __future__ import annotations

import os
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


FAKE_SOUND_CARD = """
import numpy as np

def query_devices(kind):
    return {"default_samplerate": 48000.0}

class InputStream:
    def __init__(self, samplerate, callback):
        self.callback = callback

    def __enter__(self):
        block = np.zeros((4800, 2), np.float32)
        rng = np.random.default_rng(0)
        for number in range(60):
            block[:] = 0.1 * rng.standard_normal(block.shape)  # the same memory again, as a sound card does
            self.callback(block, 4800, None, "input overflow" if number == 3 else "")
        import os, signal, threading, time

        # What was started in the background of a script ignores Ctrl-C, and so does all that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)

        def press():  # Ctrl-C, and again: one that comes just before the main thread waits for a lock is noticed later
            while True:
                time.sleep(2 if first else 10)
                first.clear()
                os.kill(os.getpid(), signal.SIGINT)

        first = [True]
        threading.Thread(target=press, daemon=True).start()

    def __exit__(self, *_):
        pass
"""


def with_package(folder):
    """The environment with the packages in a folder before all others."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def test_microphone_example_tags_what_a_sound_card_gives(tmp_path):
    (tmp_path / "sounddevice.py").write_text(FAKE_SOUND_CARD)
    environment = with_package(tmp_path)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "microphone.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, *windows = done.stdout.splitlines()
    assert "listens at 48000 Hz" in first
    # Six seconds were heard: windows of 5.12 s end there and half a second later.
    assert [line.split()[0] for line in windows if line] == ["5.1", "5.6"]
    assert done.stderr == "input overflow\n"


def test_microphone_example_says_what_to_install(tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    environment = with_package(tmp_path)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "microphone.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == "expected the package sounddevice with PortAudio, got PortAudio library not found; pip install sounddevice\n"
    )

"""What is measured on."""

from __future__ import annotations

import numpy as np
import pytest

from engine.audio import load
from engine.bench.clip import ENCODINGS, clip, encoded, recording_rate


@pytest.mark.parametrize(("encoding", "error"), [("wav", 0), ("flac", 0), ("ogg", 0.1)])
def test_encoded_clips_decode_to_the_clip(encoding, error):
    samples = clip(2.5, 16000)
    decoded, rate = load(encoded(samples, 16000, encoding))
    assert rate == 16000
    assert len(decoded) == len(samples) == 40000
    assert np.sqrt(np.mean((decoded - samples) ** 2)) <= error


def test_every_encoding_is_another_file():
    files = {encoded(clip(1, 16000), 16000, encoding)[:4] for encoding in ENCODINGS}
    assert files == {b"RIFF", b"fLaC", b"OggS"}


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100, 48000])
def test_recordings_always_have_to_be_resampled(rate):
    assert recording_rate(rate) in (44100, 48000)
    assert recording_rate(rate) != rate


def test_the_shortest_clip_has_a_sample():
    assert clip(1e-9, 8000).shape == (1,)

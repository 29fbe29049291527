"""Sounds of no label: the same from the same seed, all different, and none of them silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import torch

from engine import FrontendConfig
from training.taggers.others import PEAK, noise, other_sounds, speech, tone, tune

if TYPE_CHECKING:
    from pathlib import Path

FRONTEND = FrontendConfig(
    sample_rate=8_000,
    win_length=200,
    hop_length=160,
    n_fft=256,
    n_mels=8,
    f_min=50.0,
    log="dB",
    log_floor=1e-20,
    log_reference="max",
    log_range=80.0,
)


def test_the_seed_decides(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "word.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 8_000), 8_000)
    counts = {"n_noises": 2, "n_tones": 2, "n_tunes": 2, "words": [tmp_path / "word.wav"], "n_speeches": 2}
    first, again, other = (other_sounds(FRONTEND, 0.8, seed, **counts) for seed in (0, 0, 1))
    assert first.power.shape == (8, 41, 8)
    assert first.lengths.tolist() == [41] * 8
    assert torch.equal(first.power, again.power)
    assert not torch.isclose(first.power, other.power).all()
    assert (first.power.sum(dim=(1, 2)) > 0).all()
    for a in range(8):
        for b in range(a):
            assert not torch.equal(first.power[a], first.power[b])
    assert len(other_sounds(FRONTEND, 0.8, 0, **(counts | {"words": []})).power) == 6


def test_noise_and_tones_are_what_they_are_called() -> None:
    generator = np.random.default_rng(1)
    for made in (noise(8_000, 8_000, generator), tone(8_000, 8_000, generator), tune(8_000, 8_000, generator)):
        assert made.shape == (8_000,)
        assert np.abs(made).max() == pytest.approx(PEAK)
    spectrum = np.abs(np.fft.rfft(tone(8_000, 8_000, generator))) ** 2
    assert np.sort(spectrum)[-40:].sum() > 0.9 * spectrum.sum()


def test_speech_holds_its_words_and_is_never_longer(tmp_path: Path) -> None:
    time = np.arange(4_000) / 8_000
    soundfile.write(tmp_path / "word.wav", 0.01 * np.sin(2 * np.pi * 440 * time), 8_000)
    made = speech(24_000, 8_000, [tmp_path / "word.wav"], np.random.default_rng(2))
    assert made.shape == (24_000,)
    assert 0.45 < np.abs(made).max() < 1.1
    spectrum = np.abs(np.fft.rfft(made)) ** 2
    near = slice(3 * 435, 3 * 445)
    assert spectrum[near].sum() > 0.8 * spectrum.sum()

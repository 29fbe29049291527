"""Complex spectra and cepstra against librosa-free oracles: numpy's FFT and scipy's DCT in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from engine.errors import AudioError, ConfigError
from engine.frontend import MFCC, LogMel, stft
from tests import oracles
from tests.test_frontend import SMALL, noise

pytestmark = pytest.mark.filterwarnings("ignore:mel filters")


@pytest.mark.parametrize(("n_fft", "win_length"), [(64, 64), (64, 50), (133, 100), (90, 90), (16, 1), (512, 401)])
@pytest.mark.parametrize("n", [0, 1, 200, 3000])
def test_centred_spectra_have_the_phase_of_their_whole_frame(n_fft: int, win_length: int, n: int) -> None:
    x = noise(n)
    got = stft(x, n_fft, 20, win_length, pad_mode="constant")
    window = np.zeros(n_fft)
    before = (n_fft - win_length) // 2
    window[before : before + win_length] = oracles.window(replace(SMALL, n_fft=n_fft, win_length=win_length))
    padded = np.concatenate([np.zeros(n_fft // 2), x, np.zeros(2 * n_fft)])
    count = 0 if n == 0 else 1 + (n + 2 * (n_fft // 2) - n_fft) // 20
    expected = np.array([np.fft.rfft(padded[20 * t : 20 * t + n_fft] * window) for t in range(count)])
    assert got.dtype == np.complex64
    assert got.shape == (count, n_fft // 2 + 1)
    if count:
        np.testing.assert_allclose(got, expected, atol=3e-6 * np.abs(expected).max())


def test_framing_valid_counts_phases_from_the_window() -> None:
    config = replace(SMALL, framing="valid")
    expected = oracles.stft(config, noise(500))
    got = stft(noise(500), 64, 20, 50, framing="valid")
    np.testing.assert_allclose(got, expected, atol=3e-6 * np.abs(expected).max())


def test_power_is_the_square_of_the_spectrum() -> None:
    x = noise(900)
    np.testing.assert_allclose(LogMel(SMALL).spectrogram(x), np.abs(stft(x, 64, 20, 50)) ** 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lifter", [0.0, 22.0])
@pytest.mark.parametrize("first", [0, 1])
def test_cepstra_are_the_lifted_dct(lifter: float, first: int) -> None:
    x = noise(900)
    expected = scipy.fft.dct(oracles.log_mel(SMALL, x), norm="ortho", axis=1)[:, :9]
    for i in range(9):
        if lifter:
            expected[:, i] *= 1 + lifter / 2 * np.sin(np.pi * (i + first) / lifter)
    got = MFCC(SMALL, n_mfcc=9, lifter=lifter, lifter_first=first)(x)
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="win_length from 1 to n_fft=64, got 65"):
        stft(noise(100), 64, 20, 65)
    with pytest.raises(ConfigError, match="expected 64 window values, got 2"):
        stft(noise(100), 64, 20, window=(1.0, 2.0))
    with pytest.raises(ConfigError, match="window among hann"):
        stft(noise(100), 64, 20, window="hanning")
    with pytest.raises(AudioError, match="shape"):
        stft(np.zeros((2, 100), np.float32), 64, 20)
    with pytest.raises(ConfigError, match="n_mfcc from 1 to n_mels=12, got 13"):
        MFCC(SMALL, n_mfcc=13)
    with pytest.raises(ConfigError, match="lifter"):
        MFCC(SMALL, n_mfcc=5, lifter=-1.0)

"""Recordings in disguise: other pitch, tempo, channel and noise, and the same one each time."""

import numpy as np
import pytest

from training.disguise import SNR_DB, disguise, stretched, through_channel

RATE = 16_000


def tone(frequency, seconds=1.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def peak_hz(wave):
    return np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * RATE / len(wave)


@pytest.mark.parametrize("length", [8_000, 16_000, 25_600])
def test_a_stretched_tone_keeps_its_pitch(length):
    wave = stretched(tone(440).astype(np.float64), length, RATE)
    assert len(wave) == length
    # Windows that overlap out of step move the peak by a part of their own width at most.
    assert peak_hz(wave) == pytest.approx(440, abs=17)


def test_the_same_length_is_nearly_the_same_wave():
    wave = tone(440).astype(np.float64)
    inner = slice(2000, -2000)
    np.testing.assert_allclose(stretched(wave, len(wave), RATE)[inner], wave[inner], atol=0.02)


def test_a_channel_takes_away_what_is_outside():
    noise = np.random.default_rng(0).standard_normal(RATE)
    power = np.abs(np.fft.rfft(through_channel(noise, RATE, np.random.default_rng(1)))) ** 2
    assert power[:100].sum() < 1e-12 * power.sum()
    assert power[5001:].sum() < 1e-12 * power.sum()


def test_disguises_differ_in_pitch_and_length_and_are_drawn_by_their_generator_alone():
    waves = [disguise(tone(600), RATE, np.random.default_rng(seed)) for seed in range(12)]
    again = disguise(tone(600), RATE, np.random.default_rng(0))
    np.testing.assert_array_equal(waves[0], again)
    pitches = [peak_hz(wave) for wave in waves]
    assert 600 * 2 ** (-7 / 12) - 20 < min(pitches) < 560
    assert 640 < max(pitches) < 600 * 2 ** (7 / 12) + 20
    assert len({len(wave) for wave in waves}) == 12
    assert all(wave.dtype == np.float32 and np.abs(wave).max() == pytest.approx(1) for wave in waves)


def test_noise_is_as_loud_as_it_should_be():
    assert SNR_DB[0] >= 0
    silent = disguise(np.zeros(RATE, np.float32), RATE, np.random.default_rng(0))
    assert np.isfinite(silent).all()


@pytest.mark.parametrize("n_samples", [1, 2, 100, 1000])
def test_short_recordings(n_samples):
    assert np.isfinite(disguise(np.full(n_samples, 0.1, np.float32), RATE, np.random.default_rng(0))).all()

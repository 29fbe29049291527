from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AudioError, ConfigError
from engine.take import check_trim, prepared_take

RATE = 8000
VOICE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def quiet(n_samples, level=1e-4):
    return (level * np.random.default_rng(0).standard_normal(n_samples)).astype(np.float32)


def test_silence_around_a_voice_is_cut_to_a_frame():
    take = np.concatenate([quiet(3000), VOICE, quiet(5000)])
    heard = prepared_take(take, RATE)
    assert VOICE.size <= heard.size <= VOICE.size + 2 * RATE // 100
    assert np.abs(heard).max() == 1


def test_silence_inside_stays():
    take = np.concatenate([VOICE, quiet(4000), VOICE])
    assert prepared_take(take, RATE).size == take.size


def test_nothing_is_cut_without_trim():
    take = np.concatenate([quiet(3000), VOICE])
    assert prepared_take(take, RATE, None).size == take.size


def test_a_wider_trim_keeps_more():
    take = np.concatenate([quiet(3000, 1e-2), VOICE])
    assert prepared_take(take, RATE, 60.0).size == take.size
    assert prepared_take(take, RATE, 20.0).size <= VOICE.size + RATE // 100


@settings(max_examples=30, deadline=None)
@given(st.integers(-12, 0), st.integers(1, 400), st.integers(0, 5))
def test_powers_of_two_change_no_bit(power, n_samples, seed):
    take = np.random.default_rng(seed).normal(0, 0.2, n_samples).astype(np.float32)
    take[0] += 0.01
    if n_samples > 1:
        np.testing.assert_array_equal(prepared_take(take, RATE), prepared_take(take * np.float32(2.0**power), RATE))


def test_other_levels_change_rounding_only():
    take = np.concatenate([quiet(999), VOICE, quiet(999)])
    np.testing.assert_allclose(prepared_take(take, RATE), prepared_take(take * np.float32(0.0137), RATE), atol=1e-6)


def test_an_offset_is_no_sound():
    take = np.concatenate([quiet(3000), VOICE, quiet(5000)]) + np.float32(0.2)
    assert prepared_take(take, RATE).size <= VOICE.size + 2 * RATE // 100


@pytest.mark.parametrize("take", [np.zeros(100, np.float32), np.full(100, 0.25, np.float32)])
def test_silence_is_refused_by_name(take):
    with pytest.raises(AudioError, match=r"hum\.wav is silent.*record it again"):
        prepared_take(take, RATE, label="hum.wav")


@pytest.mark.parametrize("trim_db", [0, -3.0, float("nan"), float("inf"), "40", True])
def test_other_trims_are_refused(trim_db):
    with pytest.raises(ConfigError, match="trim_db"):
        check_trim(trim_db)

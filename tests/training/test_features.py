"""Features: the split front end is the whole one, the cache changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from engine import FrontendConfig, LogMel
from engine.audio import load
from engine.errors import ConfigError
from tests.training import trees
from training.datasets.esc50 import load_esc50
from training.features import MelPower, band_statistics, before_window_steps, mel_power, window_steps

if TYPE_CHECKING:
    from pathlib import Path

    from training.datasets.record import Record

FRONTEND = FrontendConfig(
    sample_rate=16_000,
    win_length=400,
    hop_length=160,
    n_fft=512,
    n_mels=16,
    f_min=50.0,
    log="dB",
    log_floor=1e-20,
    log_reference="max",
    log_range=80.0,
)
NORMALISED = replace(FRONTEND, mean=tuple(range(-16, 0)), std=tuple(range(1, 17)))


@pytest.fixture
def records(tmp_path: Path) -> tuple[Record, ...]:
    return load_esc50(trees.esc10_dev(tmp_path / "data", folds=(1,)), "esc10").records


@pytest.mark.parametrize("kind", ["noise", "faint", "tone then silence", "silence"])
def test_both_halves_together_are_the_engines_front_end(kind: str) -> None:
    rng = np.random.default_rng(0)
    clip = rng.normal(0, 0.1, 8000).astype(np.float32)
    if kind == "faint":
        clip *= 1e-4
    if kind == "tone then silence":
        clip = np.sin(np.arange(8000, dtype=np.float32) * 0.3) * (np.arange(8000) < 3000).astype(np.float32)
    if kind == "silence":
        clip = np.zeros(8000, np.float32)
    power = torch.from_numpy(10 ** (LogMel(before_window_steps(NORMALISED))(clip) / 10))
    # Frames of zeros stand for digital silence in training.
    got = window_steps(torch.where(power > 1e-19, power, 0)[None], NORMALISED)[0].numpy()
    np.testing.assert_allclose(got, LogMel(NORMALISED)(clip), atol=2e-4)


def test_window_steps_take_each_window_for_itself() -> None:
    power = torch.rand(3, 20, 16, generator=torch.Generator().manual_seed(0))
    together = window_steps(power * torch.tensor([1.0, 100.0, 0.0])[:, None, None], FRONTEND)
    torch.testing.assert_close(together[1], window_steps(power[1:2], FRONTEND)[0], atol=1e-4, rtol=0)
    assert together[2].abs().max() == 0
    assert together.max() == 0


@pytest.mark.parametrize(
    "change", [{"log": "ln"}, {"log_reference": 1.0}, {"spectrum": "magnitude"}, {"zscore": True}, {"log_offset": 1.0}]
)
def test_a_front_end_that_cannot_be_split_so_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        before_window_steps(replace(FRONTEND, **change))


def test_mel_power_is_each_recording_by_itself(records: tuple[Record, ...], tmp_path: Path) -> None:
    trees.write_clip(records[0].path, 300.0, 0.25, seed=0)
    features = mel_power(records, FRONTEND, tmp_path)
    log_mel = LogMel(before_window_steps(FRONTEND))
    assert features.lengths.tolist() == [26] + [51] * 9
    for i, record in enumerate(records):
        expected = log_mel(load(record.path, 16_000)[0])
        length = int(features.lengths[i])
        np.testing.assert_allclose(10 * np.log10(features.power[i, :length].numpy()), expected, atol=1e-4)
        assert features.power[i, length:].abs().sum() == 0


def test_the_cache_gives_the_same_and_knows_what_it_holds(records: tuple[Record, ...], tmp_path: Path) -> None:
    first = mel_power(records, FRONTEND, tmp_path)
    again = mel_power(records, NORMALISED, tmp_path)
    assert torch.equal(first.power, again.power)
    assert torch.equal(first.lengths, again.lengths)
    assert len(list(tmp_path.glob("mel-power-*"))) == 1
    other = mel_power(records, replace(FRONTEND, n_mels=8), tmp_path)
    fewer = mel_power(records[:3], FRONTEND, tmp_path)
    trees.write_clip(records[0].path, 300.0, 0.25, seed=0)
    changed = mel_power(records, FRONTEND, tmp_path)
    assert other.power.shape[2] == 8
    assert len(fewer.power) == 3
    assert changed.lengths[0] == 26
    assert len(list(tmp_path.glob("mel-power-*.npz"))) == 4
    assert not list(tmp_path.glob("*.part"))


def test_band_statistics_are_those_of_the_true_frames() -> None:
    rng = np.random.default_rng(0)
    lengths = [5, 9]
    power = np.zeros((2, 9, 16), np.float32)
    rows = []
    for clip, length in zip(power, lengths, strict=True):
        clip[:length] = rng.exponential(size=(length, 16))
        level = 10 * np.log10(np.maximum(clip[:length].astype(np.float64), 1e-20))
        rows.append(np.maximum(level - level.max(), -80))
    expected = np.concatenate(rows)
    got = band_statistics(MelPower(torch.from_numpy(power), torch.tensor(lengths)), FRONTEND)
    np.testing.assert_allclose(got.mean, expected.mean(0), atol=1e-3)
    np.testing.assert_allclose(got.std, expected.std(0, ddof=1), atol=1e-3)

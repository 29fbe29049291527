"""The four transformations against loops over frames and bands."""

from __future__ import annotations

import pytest
import torch

from training.transformations import additive_noise, mixing, multiplicative_noise, translation


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def segments(n=4, n_frames=6, n_mels=5, seed=1):
    return torch.rand(n, n_frames, n_mels, generator=generator(seed)) + 0.1


def test_multiplicative_noise_only_adds_and_leaves_silence_silent():
    mel = torch.ones(2, 500, 64)
    mel[1] = 0
    noisy = multiplicative_noise(mel, 0.5, generator())
    assert (noisy[0] >= 1).all()
    assert (noisy[1] == 0).all()
    # The mean of |e| is sigma sqrt(2 / pi).
    assert float(noisy[0].mean()) == pytest.approx(1 + 0.5 * (2 / torch.pi) ** 0.5, abs=0.01)


def test_additive_noise_has_its_deviation():
    noise = additive_noise(torch.zeros(1, 500, 64), 0.5, generator())
    assert float(noise.std()) == pytest.approx(0.5, abs=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)


def test_translation_rolls_frames_and_shifts_bands_with_true_zeros():
    mel = segments(200)
    moved = translation(mel, 3, generator())
    seen = set()
    for before, after in zip(mel, moved, strict=True):
        fits = [
            (roll, shift)
            for roll in range(6)
            for shift in range(-3, 4)
            if all(
                after[t, f] == (before[(t - roll) % 6, f - shift] if 0 <= f - shift < 5 else 0)
                for t in range(6)
                for f in range(5)
            )
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert {roll for roll, _ in seen} == set(range(6))
    assert {shift for _, shift in seen} == set(range(-3, 4))


def test_mixing_weighs_by_energy():
    mel, others = segments(), 100 * segments(seed=2)
    mixed = mixing(mel, others, 0.25)
    for x, n, m in zip(mel, others, mixed, strict=True):
        torch.testing.assert_close(m, x + 0.25 * x.sum() / n.sum() * n)
        assert float(m.sum()) == pytest.approx(1.25 * float(x.sum()), rel=1e-5)


def test_mixing_with_silence_changes_nothing():
    mel, silence = segments(), torch.zeros(4, 6, 5)
    assert torch.equal(mixing(mel, silence, 0.25), mel)
    assert torch.equal(mixing(silence, mel, 0.25), silence)


def test_a_generator_decides_alone():
    mel = segments()
    for change in (lambda g: multiplicative_noise(mel, 0.5, g), lambda g: translation(mel, 3, g)):
        assert torch.equal(change(generator(5)), change(generator(5)))
        assert not torch.equal(change(generator(5)), change(generator(6)))

"""Augmentations: against loops, with true zeros, repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from training import augment

if TYPE_CHECKING:
    from collections.abc import Callable


def generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def spectrograms(batch: int = 6, n_frames: int = 50, n_mels: int = 8) -> Tensor:
    return torch.rand(batch, n_frames, n_mels, generator=generator(99)) + 0.1


ALL: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "crop_stretched": lambda x, g: augment.crop_stretched(x, torch.full((len(x),), x.shape[1]), 20, 1.25, g),
    "keep_part": lambda x, g: augment.keep_part(x, 0.5, 5, g),
    "mix": lambda x, g: augment.mix(x, torch.eye(len(x)), 0.5, 10.0, g)[0],
    "mixup": lambda x, g: augment.mixup(x, torch.eye(len(x)), 0.5, g)[0],
    "lay_under": lambda x, g: augment.lay_under(x, x.flip(0), 0.5, (0.0, 20.0), g),
    "splice": lambda x, g: augment.splice(x, torch.eye(len(x)), 0.5, 0, g)[0],
    "equalise": lambda x, g: augment.equalise(x, 6.0, 5, g),
    "add_noise": lambda x, g: augment.add_noise(x, 0.5, (10.0, 40.0), 20.0, g),
    "limit_band": lambda x, g: augment.limit_band(x, 0.5, 4, g),
    "mix_styles": lambda x, g: augment.mix_styles(x, 0.5, g),
    "mask": lambda x, g: augment.mask(x, 2, 10, 3, g),
}


@pytest.mark.parametrize("name", ALL)
def test_the_generator_decides_and_the_input_stays(name: str) -> None:
    given = spectrograms()
    before = given.clone()
    results = [ALL[name](given, generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(given, before)


@pytest.mark.parametrize("name", ALL)
def test_silence_stays_finite(name: str) -> None:
    assert ALL[name](torch.zeros(6, 50, 8), generator()).abs().max() == 0
    faint = torch.full((6, 50, 8), 1e-30)
    faint[::2] = 1e6
    assert ALL[name](faint, generator()).isfinite().all()


def test_a_crop_at_the_recorded_speed_is_a_stretch_of_the_recording() -> None:
    given = torch.arange(40.0)[None, :, None].expand(3, 40, 2) + 1
    got = augment.crop_stretched(given, torch.tensor([40, 40, 40]), 15, 1.0, generator())
    steps = got[:, 1:] - got[:, :-1]
    torch.testing.assert_close(steps, torch.ones_like(steps), atol=1e-4, rtol=0)
    assert got.min() >= 1
    assert got.max() <= 40


def test_a_crop_at_another_speed_reads_between_the_frames() -> None:
    ramp = torch.arange(1000.0)[None, :, None].expand(200, 1000, 1) + 1
    got = augment.crop_stretched(ramp, torch.full((200,), 1000), 100, 1.25, generator())
    speeds = (got[:, -1, 0] - got[:, 0, 0]) / 99
    assert speeds.min() < 0.85
    assert speeds.max() > 1.2
    assert ((speeds > 0.799) & (speeds < 1.251)).all()


def test_a_short_recording_lies_whole_between_zeros() -> None:
    given = torch.zeros(50, 30, 2)
    given[:, :6] = 1.0
    given[:, 6:] = 1e9  # after the end, never to be read
    got = augment.crop_stretched(given, torch.full((50,), 6), 20, 1.0, generator())
    assert got.max() <= 1
    # Interpolation spreads the edges over one frame more; the power stays.
    torch.testing.assert_close(got.sum(dim=(1, 2)), torch.full((50,), 12.0))
    assert (got[:, :, 0] > 0).float().argmax(dim=1).unique().numel() > 5


def test_a_shifted_crop_reaches_over_the_ends() -> None:
    power = torch.arange(1, 21).float()[None, :, None].expand(64, 20, 2)
    cut = augment.crop_stretched(power, torch.full((64,), 20), 20, 1.0, generator(), 6.0)
    starts = set()
    for row in cut:
        heard = torch.nonzero(row[:, 0], as_tuple=True)[0]
        first, last = heard[0].item(), heard[-1].item()
        assert first == 0 or last == 19
        step = row[first + 1 : last, 0].diff()
        torch.testing.assert_close(step, torch.ones_like(step))
        starts.add(round(row[10, 0].item() - 11))
    assert min(starts) <= -4
    assert max(starts) >= 4
    assert max(map(abs, starts)) <= 6


def test_the_louder_of_two_places_is_kept() -> None:
    given = torch.zeros(400, 100, 1)
    given[:, 60:70] = 1.0
    got = augment.crop_stretched(given, torch.full((400,), 100), 20, 1.0, generator())
    # One place touches the burst with probability (20 + 10) / 80, about 0.37, the better of two with 0.6.
    assert 0.5 < (got.sum(dim=(1, 2)) > 0).float().mean() < 0.7


def test_kept_parts_are_one_stretch_of_at_least_the_shortest() -> None:
    got = augment.keep_part(spectrograms(batch=300), 0.5, 5, generator())
    alive = (got.sum(dim=2) > 0).int()
    starts = (alive.diff(dim=1, prepend=torch.zeros(300, 1, dtype=torch.int)) == 1).sum(dim=1)
    lengths = alive.sum(dim=1)
    assert (starts == 1).all()
    assert lengths.min() >= 4
    assert 0.4 < (lengths < 50).float().mean() < 0.6
    assert torch.equal(got[lengths == 50], spectrograms(batch=300)[lengths == 50])


def test_a_frame_is_audible_down_to_a_level_under_the_loudest() -> None:
    power = torch.ones(4, 5, 2)
    power[1] *= 0.11
    power[2] *= 0.09
    power[3] = 0
    power[0, 2:4] = 0
    got = augment.audible(power, torch.full((4,), 2.0), 10.0)
    assert got.tolist() == [[1, 1, 0, 0, 1], [1] * 5, [0] * 5, [0] * 5]
    assert augment.audible(power[3:], torch.zeros(1), 10.0).sum() == 0


def test_what_lies_under_a_sound_is_weaker_by_the_given_decibels() -> None:
    power, below = spectrograms(batch=64), spectrograms(batch=64).flip(0) * torch.logspace(-6, 6, 64)[:, None, None]
    below[7] = 0
    got = augment.lay_under(power, below, 0.5, (5.0, 30.0), generator()) - power
    changed = got.sum(dim=(1, 2)) > 0
    assert 20 < changed.sum() < 44
    assert not changed[7]
    for i in changed.nonzero().flatten():
        assert 4.99 < 10 * torch.log10(power[i].mean() / got[i].mean()) < 30.01
        # Sums of single precision: what was added is far weaker than what it was added to.
        np.testing.assert_allclose(got[i] / got[i].mean(), below[i] / below[i].mean(), atol=1e-2)


def test_joined_words_are_one_beginning_and_another_end() -> None:
    power = torch.arange(64.0)[:, None, None].expand(64, 30, 4) + 1
    targets = torch.eye(4)[torch.arange(64) % 4]
    joined, wanted = augment.splice(power, targets, 0.5, 3, generator())
    n_joined = 0
    for i in range(64):
        first, last = joined[i, 0, 0], joined[i, -1, 0]
        assert first == i + 1
        changes = (joined[i, 1:, 0] != joined[i, :-1, 0]).nonzero().flatten().tolist()
        if not changes:
            assert torch.equal(wanted[i], targets[i])
            continue
        n_joined += 1
        assert len(changes) == 1
        assert 9 <= changes[0] <= 19
        assert wanted[i].tolist() == [0, 0, 0, 1]
        assert not torch.equal(targets[i], targets[int(last) - 1])
    assert 10 < n_joined < 40


def test_a_mixture_holds_both_sounds_and_both_labels() -> None:
    power = spectrograms(batch=64) * torch.logspace(-6, 6, 64)[:, None, None]
    targets = torch.eye(64)
    mixed, wanted = augment.mix(power, targets, 1.0, 10.0, generator())
    for i in range(64):
        added = mixed[i] - power[i]
        labels = wanted[i].nonzero().flatten().tolist()
        if labels == [i]:  # its own partner
            continue
        (partner,) = set(labels) - {i}
        below_db = 10 * torch.log10(power[i].mean() / added.mean())
        assert -0.01 < below_db < 10.01
        np.testing.assert_allclose(added / added.mean(), power[partner] / power[partner].mean(), rtol=1e-3)


def test_silence_is_neither_mixed_in_nor_mixed_into() -> None:
    power = spectrograms(batch=8)
    power[::2] = 0
    mixed, wanted = augment.mix(power, torch.eye(8), 1.0, 10.0, generator())
    assert mixed[::2].sum() == 0
    assert torch.equal(wanted[::2], torch.eye(8)[::2])
    assert wanted[1::2, ::2].sum() == 0
    assert mixed.isfinite().all()


def test_nothing_is_mixed_at_share_zero() -> None:
    power = spectrograms()
    mixed, wanted = augment.mix(power, torch.eye(6), 0.0, 10.0, generator())
    assert torch.equal(mixed, power)
    assert torch.equal(wanted, torch.eye(6))


def test_mixup_weighs_sounds_and_labels_alike() -> None:
    power = spectrograms(batch=64)
    targets = torch.eye(64)
    mixed, wanted = augment.mixup(power, targets, 0.5, generator())
    untouched = 0
    for i, row in enumerate(wanted):
        (held,) = torch.nonzero(row, as_tuple=True)
        assert len(held) <= 2
        assert row.sum().item() == pytest.approx(1)
        assert row[i] >= 0.5
        untouched += len(held) == 1
        by_hand = sum(row[k] * power[k] for k in held.tolist())
        torch.testing.assert_close(mixed[i], by_hand)
    assert 20 <= untouched <= 44


def test_mixup_holds_in_each_frame() -> None:
    power, active = spectrograms(), torch.zeros(6, 50, 6)
    for i in range(6):
        active[i, 8 * i : 8 * i + 8, i] = 1
    _, wanted = augment.mixup(power, active, 1.0, generator())
    _, whole = augment.mixup(power, torch.eye(6), 1.0, generator())
    for i in range(6):
        for frame in range(50):
            torch.testing.assert_close(wanted[i, frame], whole[i] * active[torch.arange(6), frame, torch.arange(6)])


def test_the_equaliser_is_one_curve_of_lines_within_its_range() -> None:
    power = spectrograms(n_mels=17)
    gain_db = 10 * torch.log10(augment.equalise(power, 6.0, 5, generator()) / power)
    torch.testing.assert_close(gain_db, gain_db[:, :1].expand_as(gain_db), atol=1e-4, rtol=0)
    assert gain_db.abs().max() <= 6.001
    bends = gain_db[:, 0].diff(n=2, dim=1).abs()
    straight = [i for i in range(15) if (i + 1) % 4]  # lines from points 0, 4, 8, 12, 16
    assert bends[:, straight].max() < 1e-3
    assert bends.max() > 0.1


def test_noise_has_the_asked_ratio() -> None:
    power = spectrograms(batch=40)
    noise = augment.add_noise(power, 0.5, (10.0, 20.0), 20.0, generator()) - power
    level = noise.mean(dim=(1, 2)) / power.mean(dim=(1, 2))
    noisy = level > 0
    assert 10 < noisy.sum() < 30
    ratio_db = -10 * torch.log10(level[noisy])
    assert ((ratio_db > 9.99) & (ratio_db < 20.01)).all()


def test_a_limited_band_ends_at_or_above_the_lowest() -> None:
    power = spectrograms(batch=300)
    got = augment.limit_band(power, 0.5, 4, generator())
    alive = (got[:, 0] > 0).sum(dim=1)
    assert set(alive.tolist()) == {5, 6, 7, 8}
    for kept, before, after in zip(alive, power, got, strict=True):
        assert torch.equal(after[:, :kept], before[:, :kept])
        assert after[:, kept:].sum() == 0
    assert 0.3 < (alive < 8).float().mean() < 0.5


def test_masks_are_bands_of_zeros() -> None:
    given = torch.ones(100, 30, 12)
    got = augment.mask(given, 1, 10, 4, generator())
    hidden_frames = (got.sum(dim=2) == 0).sum(dim=1)
    hidden_mels = (got.sum(dim=1) == 0).sum(dim=1)
    expected = 30 * 12 - (30 - hidden_frames) * (12 - hidden_mels)
    assert torch.equal((got == 0).sum(dim=(1, 2)), expected)
    assert 5 < hidden_frames.max() <= 10
    assert 2 < hidden_mels.max() <= 4


def test_styles_lie_between_two_recordings_and_patterns_stay() -> None:
    log_mel = spectrograms(batch=40) * torch.linspace(1, 5, 40)[:, None, None] + torch.arange(40.0)[:, None, None]
    mixed = augment.mix_styles(log_mel, 0.5, generator())
    changed = (mixed != log_mel).any(dim=2).any(dim=1)
    assert 10 < changed.sum() < 30
    for i in changed.nonzero().flatten():
        pattern, before = ((x - x.mean(dim=0)) / x.std(dim=0) for x in (mixed[i], log_mel[i]))
        torch.testing.assert_close(pattern, before, atol=2e-3, rtol=0)
        # The mean of the others is from 0.6 to 43; at most half the way to it.
        means = log_mel.mean(dim=1)
        low, high = ((means[i] + other) / 2 for other in (means.amin(dim=0), means.amax(dim=0)))
        assert (mixed[i].mean(dim=0) > low - 1e-3).all()
        assert (mixed[i].mean(dim=0) < high + 1e-3).all()

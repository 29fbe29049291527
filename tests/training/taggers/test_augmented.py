"""Batches: who is heard where, and what lies beside and under."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.features import MelPower
from training.taggers.augmented import augmented, per_step
from training.taggers.config import TaggerConfig
from training.taggers.examples import Examples, examples

PLAIN = TaggerConfig(
    hop_s=0.01,
    crop_s=0.4,
    max_stretch=1.0,
    part_share=0.0,
    equaliser_db=0.0,
    mix_share=0.0,
    noise_share=0.0,
    band_share=0.0,
    lowest_band=2,
    inaudible_db=20.0,
)


def clips(n: int = 8, n_frames: int = 40, level: float = 1.0, *, labelled: bool = True) -> Examples:
    """Clips of constant power in the first half and a hundredth of a hundredth of it in the second."""
    power = torch.full((n, n_frames, 4), level)
    power[:, n_frames // 2 :] *= 1e-4
    truth = torch.arange(n) % 3 if labelled else None
    return examples(MelPower(power, torch.full((n,), n_frames)), truth, 3)


def test_a_label_holds_in_the_frames_that_are_heard() -> None:
    given = clips()
    batch = augmented(given, None, PLAIN, torch.Generator().manual_seed(0))
    assert batch.power.shape == (8, 40, 4)
    assert torch.equal(batch.targets, given.targets)
    assert torch.equal(batch.active[:, :20], given.targets[:, None].expand(8, 20, 3))
    assert batch.active[:, 20:].sum() == 0


def test_a_crop_far_below_its_recording_has_no_label() -> None:
    given = replace(clips(), loudest=torch.full((8,), 1e6))
    assert augmented(given, None, PLAIN, torch.Generator().manual_seed(0)).targets.sum() == 0


def test_sounds_of_no_label_come_beside_the_clips() -> None:
    batch = augmented(clips(), clips(5, labelled=False), replace(PLAIN, other_share=0.5), torch.Generator())
    assert batch.power.shape == (12, 40, 4)
    assert batch.targets[:8].sum() == 8
    assert batch.targets[8:].sum() == 0


def test_sounds_of_no_label_lie_under_the_clips_and_change_no_label() -> None:
    given = clips()
    config = replace(PLAIN, under_share=1.0, under_db=(10.0, 10.0))
    batch = augmented(given, clips(5, level=7.0, labelled=False), config, torch.Generator())
    assert torch.equal(batch.targets, given.targets)
    torch.testing.assert_close(batch.power, given.features.power * 1.1)


def test_in_a_mixture_each_sound_keeps_its_frames() -> None:
    early, late = clips(4), clips(4)
    power = torch.cat([early.features.power, late.features.power.flip(1)])
    given = examples(MelPower(power, torch.full((8,), 40)), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]), 2)
    active = augmented(given, None, replace(PLAIN, mix_share=1.0), torch.Generator().manual_seed(1)).active
    both = active.amax(dim=1).sum(dim=1) == 2
    assert both.any()
    assert (active[both][:, :20] == torch.tensor([1.0, 0.0])).all()
    assert (active[both][:, 20:] == torch.tensor([0.0, 1.0])).all()


def test_mixed_up_clips_have_two_labels_by_weight() -> None:
    batch = augmented(clips(), None, replace(PLAIN, mixup_share=1.0), torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(8))
    assert ((batch.targets > 0).sum(dim=1) == 2).sum() >= 3
    torch.testing.assert_close(batch.active[:, 0], batch.targets)
    assert batch.active[:, 20:].sum() == 0


def test_sounds_of_no_label_stay_where_they_are_longer_than_the_clips() -> None:
    joined = clips(2, 10).and_also(clips(3, 16, labelled=False))
    assert joined.features.power.shape == (5, 16, 4)
    assert joined.features.power[:2, 10:].sum() == 0
    assert joined.features.lengths.tolist() == [10, 10, 16, 16, 16]


@pytest.mark.parametrize("n_frames", [1, 4, 7, 8])
def test_a_step_has_the_labels_of_any_of_its_frames(n_frames: int) -> None:
    active = (torch.rand(3, n_frames, 2, generator=torch.Generator().manual_seed(0)) > 0.7).float()
    got = per_step(active, 4)
    assert got.shape == (3, -(-n_frames // 4), 2)
    for i in range(got.shape[1]):
        assert torch.equal(got[:, i], active[:, 4 * i : 4 * i + 4].amax(dim=1))

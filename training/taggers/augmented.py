"""One batch as the network is to see it: crops, parts, mixtures, noise and lost bands, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from training import augment

if TYPE_CHECKING:
    from training.taggers.config import TaggerConfig
    from training.taggers.examples import Examples


class Batch(NamedTuple):
    """What a network is shown, and what it should say.

    Attributes
    ----------
    power : Tensor, shape (batch, n_frames, n_mels)
        Mel power.
    targets : Tensor, shape (batch, n_labels)
    active : Tensor, shape (batch, n_frames, n_labels)
        The labels of each frame.
    """

    power: Tensor
    targets: Tensor
    active: Tensor


def augmented(clips: Examples, others: Examples | None, config: TaggerConfig, generator: Generator) -> Batch:
    """Return an augmented crop of each clip, and of ``other_share`` as many sounds of no label.

    A label holds in the frames that lie at most ``inaudible_db`` under the loudest frame of its recording, and of a
    crop when it holds in any of them. Of two sounds in a mixture each keeps the frames that it had alone.
    """
    if others is not None and (n_others := round(config.other_share * len(clips))):
        clips = clips.and_also(others[torch.randint(len(others), (n_others,), generator=generator)])
    power = crops(clips, config, generator)
    power, targets = augment.splice(power, clips.targets, config.joined_share, config.joined_label, generator)
    power = augment.keep_part(power, config.part_share, round(config.shortest_part_s / config.hop_s), generator)
    active = augment.audible(power, clips.loudest, config.inaudible_db)[..., None] * targets[:, None]
    power = augment.equalise(power, config.equaliser_db, 5, generator)
    power, active = augment.mix(power, active, config.mix_share, config.mix_below_db, generator)
    if config.mixup_share:
        power, active = augment.mixup(power, active, config.mixup_share, generator)
    if others is not None and config.under_share:
        below = others[torch.randint(len(others), (len(power),), generator=generator)]
        low, high = config.under_db
        power = augment.lay_under(power, crops(below, config, generator), config.under_share, (low, high), generator)
    power = augment.add_noise(power, config.noise_share, (10.0, 40.0), 20.0, generator)
    power = augment.limit_band(power, config.band_share, config.lowest_band, generator)
    return Batch(power, active.amax(dim=1), active)


def crops(clips: Examples, config: TaggerConfig, generator: Generator) -> Tensor:
    """Return a cut of each clip at a random place and speed."""
    n_frames, shift = round(config.crop_s / config.hop_s), config.shift_s / config.hop_s
    power, lengths = clips.features.power, clips.features.lengths
    return augment.crop_stretched(power, lengths, n_frames, config.max_stretch, generator, shift)


def per_step(active: Tensor, frames_per_step: int) -> Tensor:
    """Return the labels of steps of several frames, those of any of their frames.

    Parameters
    ----------
    active : Tensor, shape (batch, n_frames, n_labels)
    frames_per_step : int

    Returns
    -------
    Tensor, shape (batch, ceil(n_frames / frames_per_step), n_labels)
    """
    missing = -active.shape[1] % frames_per_step
    padded = torch.nn.functional.pad(active, (0, 0, 0, missing))
    return padded.unflatten(1, (-1, frames_per_step)).amax(dim=2)

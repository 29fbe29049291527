"""Sounds that are still the same sound: how positives of unlabelled anchors are made.

Turpault et al. 2019, section 2.2, after Jansen et al. 2018. All but temporal proximity, which chooses another segment,
are pure functions of linear mel segments, shape (batch, n_frames, n_mels), with an explicit generator; the logarithm
and the normalisation come afterwards.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def multiplicative_noise(mel: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Return x (1 + |e|), e normal with deviation ``sigma``: never negative, so that its logarithm exists.

    Adding the noise to the linear values, as the paper may be read, would make many of them negative.
    """
    return mel * (1 + (sigma * torch.randn(mel.shape, generator=generator)).abs())


def additive_noise(normalised: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Return x + e on segments that are already logarithmic and normalised: the other reading."""
    return normalised + sigma * torch.randn(normalised.shape, generator=generator)


def translation(mel: Tensor, max_bands: int, generator: Generator) -> Tensor:
    """Roll in time by 0 to n_frames - 1 frames, and shift by up to ``max_bands`` bands either way.

    Frames come in again at the other end; bands that are left are zeros, which is silence in the linear domain.
    """
    batch, n_frames, n_mels = mel.shape
    roll = torch.randint(n_frames, (batch, 1), generator=generator)
    shift = torch.randint(-max_bands, max_bands + 1, (batch, 1), generator=generator)
    frames = (torch.arange(n_frames) - roll) % n_frames
    bands = torch.arange(n_mels) - shift
    inside = (bands >= 0) & (bands < n_mels)
    rolled = mel.gather(1, frames[:, :, None].expand(-1, -1, n_mels))
    moved = rolled.gather(2, (bands * inside)[:, None, :].expand(-1, n_frames, -1))
    return moved * inside[:, None, :]


def mixing(mel: Tensor, others: Tensor, alpha: float) -> Tensor:
    """Return x + alpha E(x) / E(other) other: another sound ``alpha`` as strong, E the sum over a segment.

    A silent segment is mixed with nothing, and what is mixed with a silent one stays as it is.

    Parameters
    ----------
    others : Tensor, shape of ``mel``
        Segments drawn at random.
    """
    energy, other = (segments.sum(dim=(1, 2), keepdim=True) for segments in (mel, others))
    return mel + alpha * torch.where(other > 0, energy / other.clamp_min(torch.finfo(mel.dtype).tiny), 0.0) * others

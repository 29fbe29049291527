"""What a tagger learns from: mel power of clips, their labels, and sounds that have none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from engine import FrontendConfig
from training.features import MelPower

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.taggers.config import TaggerConfig


@dataclass(frozen=True)
class Examples:
    """Labelled clips.

    Attributes
    ----------
    features : MelPower
    targets : Tensor, shape (n_clips, n_labels), float32
    loudest : Tensor, shape (n_clips,)
        Power of each clip's loudest frame, summed over its bands.
    """

    features: MelPower
    targets: Tensor
    loudest: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, rows: NDArray[np.int64] | Tensor) -> Examples:
        """Return some of the clips."""
        features = MelPower(self.features.power[rows], self.features.lengths[rows])
        return Examples(features, self.targets[rows], self.loudest[rows])

    def and_also(self, other: Examples) -> Examples:
        """Return these clips and then those of ``other``; the shorter spectrograms get zeros behind their end."""
        longest = max(self.features.power.shape[1], other.features.power.shape[1])
        powers = [
            functional.pad(part.features.power, (0, 0, 0, longest - part.features.power.shape[1]))
            for part in (self, other)
        ]
        features = MelPower(torch.cat(powers), torch.cat([self.features.lengths, other.features.lengths]))
        return Examples(features, torch.cat([self.targets, other.targets]), torch.cat([self.loudest, other.loudest]))


def examples(features: MelPower, truth: Tensor | None, n_labels: int) -> Examples:
    """Return clips with one label each, or, without ``truth``, with none.

    Parameters
    ----------
    features : MelPower
    truth : Tensor, shape (n_clips,), int64, or None
        Index of each clip's label.
    n_labels : int
    """
    n = len(features.power)
    targets = torch.zeros(n, n_labels) if truth is None else functional.one_hot(truth, n_labels).float()
    return Examples(features, targets, features.power.sum(dim=2).amax(dim=1))


def front_end(config: TaggerConfig) -> FrontendConfig:
    """Return the front end: decibels under the model window's maximum, 80 dB of them."""
    win_length = round(config.win_s * config.sample_rate)
    return FrontendConfig(
        sample_rate=config.sample_rate,
        win_length=win_length,
        hop_length=round(config.hop_s * config.sample_rate),
        n_fft=1 << (win_length - 1).bit_length(),
        n_mels=config.n_mels,
        f_min=50.0,
        f_max=config.f_max,
        log="dB",
        log_floor=1e-20,  # 200 dB under full scale: a recording's level does not matter, however low
        log_reference="max",
        log_range=80.0,
    )

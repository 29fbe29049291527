"""Towers of a few thousand parameters over the inputs of TL-IMINET, for trials without an accelerator.

TL-IMINET takes 0.3 G multiplications a pair and 40 steps an epoch; these take two million, under the same losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks.two_tower import QUERY_FRAMES, REFERENCE_KEPT, standardised

SIZE = 128  # of either embedding


class SmallTower(nn.Module):
    """Means of neighbouring cells, three convolutions with stride two, then mean and maximum over time and frequency.

    Parameters
    ----------
    kept : int
        Frames that it looks at, from the first.
    pool : tuple of int
        Frames and bands of which the mean is taken at first.
    """

    def __init__(self, kept: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.kept = kept
        layers: list[nn.Module] = [nn.AvgPool2d(pool)]
        for n_in, n_out in ((1, 12), (12, 24), (24, SIZE // 2)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map log-mel (batch, n_frames, n_mels) to embeddings (batch, 128)."""
        maps = self.layers(standardised(log_mel[:, : self.kept]).unsqueeze(1)).flatten(2)
        return torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)


def small_imitation_tower() -> SmallTower:
    """Return the tower of queries: frames of 33 ms, 19 bands."""
    return SmallTower(QUERY_FRAMES, (4, 2))


def small_recording_tower() -> SmallTower:
    """Return the tower of references: frames of 46 ms, 32 bands."""
    return SmallTower(REFERENCE_KEPT, (2, 4))

"""Towers of a few thousand parameters over the inputs of TL-IMINET, for trials without an accelerator.

TL-IMINET takes 0.3 G multiplications a pair and 40 steps an epoch; these take a fortieth, under the same losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.networks.two_tower import QUERY_FRAMES, REFERENCE_KEPT, SimilarityHead, TwoTower, standardised

SIZE = 128  # of either embedding


class SmallTower(nn.Module):
    """Three convolutions with stride two, then mean and maximum over time and frequency together.

    Parameters
    ----------
    kept : int
        Frames that it looks at, from the first.
    """

    def __init__(self, kept: int) -> None:
        super().__init__()
        self.kept = kept
        layers: list[nn.Module] = []
        for n_in, n_out in ((1, 12), (12, 24), (24, SIZE // 2)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map log-mel (batch, n_frames, n_mels) to embeddings (batch, 128)."""
        maps = self.layers(standardised(log_mel[:, : self.kept]).unsqueeze(1)).flatten(2)
        return torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)


def small_towers(dropout: float = 0.0) -> TwoTower:
    """Return two small towers and the head of TL-IMINET over them."""
    return TwoTower(SmallTower(QUERY_FRAMES), SmallTower(REFERENCE_KEPT), SimilarityHead(SIZE, SIZE, dropout=dropout))

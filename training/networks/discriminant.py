"""A tagger with an embedding and scores that are fitted to what it has learnt, not learnt with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from training.networks.residual import FrameTagger

# Steps that are heard together for the scores of the middle one, and the weight of what the network itself says of it.
NEAR, LEARNT = 3, 0.5


class DiscriminantTagger(nn.Module):
    """A frame tagger behind whose embedding stand two linear layers: one turns it, one scores what comes of that.

    A step is scored by the same layers, which hear it with its neighbours as they hear a window, and by the network's
    own layer for steps, at half its weight: the first tell labels apart, the second was taught when they begin.

    Parameters
    ----------
    network : FrameTagger
    n_labels : int

    Attributes
    ----------
    whiten : nn.Linear
        Of embeddings to embeddings; see ``training.taggers.discriminant``.
    classify : nn.Sequential
        Of one linear layer, from the new embedding of a window to logits.
    classify_steps : nn.Linear
        The same for a step: a layer of its own, since windows are calibrated and steps matched to them.
    """

    def __init__(self, network: FrameTagger, n_labels: int) -> None:
        super().__init__()
        size = network.standardise.num_features
        self.network = network
        self.whiten = nn.Linear(size, size)
        self.classify = nn.Sequential(nn.Linear(size, n_labels))
        self.classify_steps = nn.Linear(size, n_labels)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, embedding (rows of length one) and the logits of each step; shapes as for ``FrameTagger``."""
        heard = self.network.over_time(log_mel)
        whole = heard.mean(dim=2, keepdim=True) + heard.amax(dim=2, keepdim=True)
        near = functional.avg_pool1d(heard, NEAR, 1, NEAR // 2, count_include_pad=False)
        near = near + functional.max_pool1d(heard, NEAR, 1, NEAR // 2)
        # The window and its steps at once: what takes the time here is the number of operations.
        n_batch, n_channels, n_steps = heard.shape
        rows = torch.cat([whole, near], dim=2).transpose(1, 2).reshape(-1, n_channels)
        turned = self.turned(rows).reshape(n_batch, 1 + n_steps, -1)
        embedding = turned[:, 0]
        steps = self.classify_steps(turned[:, 1:]) + LEARNT * self.network.classify_steps(heard.transpose(1, 2))
        return self.classify(embedding), embedding, steps

    def turned(self, heard: Tensor) -> Tensor:
        """Map mean plus maximum over time, (n, n_channels), to embeddings of length one, (n, embedding_size)."""
        return functional.normalize(self.whiten(self.network.embedding(self.network.embed(heard))), dim=1)

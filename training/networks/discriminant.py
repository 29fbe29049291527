"""A tagger with an embedding and scores that are fitted to what it has learnt, not learnt with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from training.networks.residual import FrameTagger


class DiscriminantTagger(nn.Module):
    """A frame tagger behind whose embedding stand two linear layers: one turns it, one scores what comes of that.

    The scores of steps stay the network's own.

    Parameters
    ----------
    network : FrameTagger
    n_labels : int

    Attributes
    ----------
    whiten : nn.Linear
        Of embeddings to embeddings; see ``training.taggers.discriminant``.
    classify : nn.Sequential
        Of one linear layer, from the new embedding to logits.
    """

    def __init__(self, network: FrameTagger, n_labels: int) -> None:
        super().__init__()
        size = network.standardise.num_features
        self.network = network
        self.whiten = nn.Linear(size, size)
        self.classify = nn.Sequential(nn.Linear(size, n_labels))

    @property
    def classify_steps(self) -> nn.Linear:
        """The layer that scores steps."""
        return self.network.classify_steps

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, embedding (rows of length one) and the logits of each step; shapes as for ``FrameTagger``."""
        _, learnt, steps = self.network(log_mel)
        embedding = functional.normalize(self.whiten(learnt), dim=1)
        return self.classify(embedding), embedding, steps

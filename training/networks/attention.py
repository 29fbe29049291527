"""Tagging of sequences of embeddings with attention over time (Gururani and Lerch 2021, section III-B)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class AttentionTagger(nn.Module):
    """Dense layers at each step, a residual connection, and scores weighted by an attention of each label's own.

    What the paper leaves out is its code's: batch normalisation of the input, of which the residual takes the values
    before it; attention limited to 1e-7 from either end.

    Parameters
    ----------
    size : int
        Of the embeddings, and of the layers: the residual needs them equal.
    n_labels : int
    n_layers : int
        Three for OpenMIC, one for SONYC-UST.
    dropout : float
    """

    def __init__(self, size: int, n_labels: int, n_layers: int = 3, dropout: float = 0.6) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm1d(size)
        layers: list[nn.Module] = []
        for _ in range(n_layers):
            layers += [nn.Conv1d(size, size, 1, bias=False), nn.BatchNorm1d(size), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.attend, self.classify = nn.Conv1d(size, n_labels, 1), nn.Conv1d(size, n_labels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                bound = math.sqrt(2 / size) * math.sqrt(3)
                nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map (batch, n_steps, size) to scores from 0 to 1, (batch, n_labels)."""
        return self.with_features(embeddings)[0]

    def with_features(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores, and the mean over time of what they are made from, (batch, size)."""
        features = self._features(embeddings)
        weights, scores = self._attended(features)
        return (weights * scores).sum(dim=2).clamp(0, 1), features.mean(dim=2)

    def over_time(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Return the share of the attention and the score of each step, both (batch, n_labels, n_steps).

        The attention a = sigmoid(...) over its sum is the softmax of ln a: where all attention is small, the ratio of
        small sigmoids would lose the digits that onnxruntime's do not have.
        """
        return self._attended(self._features(embeddings))

    def _features(self, embeddings: Tensor) -> Tensor:
        steps = embeddings.transpose(1, 2)
        features: Tensor = self.layers(self.normalise(steps)) + steps
        return features

    def _attended(self, features: Tensor) -> tuple[Tensor, Tensor]:
        attention = (-nn.functional.softplus(-self.attend(features))).clamp(math.log(1e-7), math.log(1 - 1e-7))
        return attention.softmax(dim=2), torch.sigmoid(self.classify(features))

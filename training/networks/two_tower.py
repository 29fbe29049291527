"""Two towers and a similarity: a query and a reference through networks of their own, and a head that compares them.

TL-IMINET, vocal imitations on the left and recordings on the right, is here as M. Margolis, J. Ghei and B. Pardo used
it, "Applying triplet loss to Siamese-style networks for audio similarity ranking", DCASE 2018. The paper's 6x6 pooling
leaves no room for the next convolution, and it names no batch normalisation; sizes here are those of the network as it
was run: 2,640 and 2,400 features, 799,417 parameters, and 528 more in the scales and offsets of batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

QUERY_FRAMES, QUERY_MELS = 482, 39  # 4 s of the preset "iminet_imitation"
REFERENCE_FRAMES, REFERENCE_MELS = 173, 128  # 4 s of the preset "iminet_reference"
REFERENCE_KEPT = 128  # frames that the reference tower looks at, the first 2.97 s
QUERY_FEATURES, REFERENCE_FEATURES = 2640, 2400


class TwoTower(nn.Module):
    """Two encoders and a head.

    Parameters
    ----------
    query, reference : Module
        log-mel (batch, n_frames, n_mels) to embedding (batch, size).
    head : Module
        Embeddings of queries (batch or 1, query size) and of references (batch, reference size) to logits (batch,); its
        method ``table`` gives those of all with all.
    """

    def __init__(self, query: nn.Module, reference: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.query = query
        self.reference = reference
        self.head = head

    def forward(self, query: Tensor, reference: Tensor) -> Tensor:
        """Return the logits of pairs, shape (batch,); their sigmoid is the similarity.

        Parameters
        ----------
        query, reference : Tensor, shape (batch, n_frames, n_mels)
            Each with its own sizes.
        """
        logits: Tensor = self.head(self.query(query), self.reference(reference))
        return logits


class TripletComparison(nn.Module):
    """Which of two references is the one that a query means: the siamese network around a ``TwoTower``.

    Equation: p = sigmoid(50 s(q, a) - 50 s(q, b)), with the similarities s in [0, 1] of one set of weights. The two
    factors are fixed; as buffers no optimiser reaches them.

    Parameters
    ----------
    network : TwoTower
    """

    factors: Tensor

    def __init__(self, network: TwoTower) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("factors", torch.tensor([50.0, -50.0]))

    def forward(self, query: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the logits of p, shape (batch,), positive where the first reference fits better.

        They go into a binary cross entropy with logits: behind a sigmoid in float32 the gradient of a badly wrong
        triplet is zero.
        """
        towers = self.network
        return self.compare(towers.query(query), towers.reference(first), towers.reference(second))

    def compare(self, query: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the same of embeddings, shapes (batch, query size) and twice (batch, reference size)."""
        similarities = [self.network.head(query, each).sigmoid() for each in (first, second)]
        return torch.stack(similarities, dim=1) @ self.factors


def tl_iminet(dropout: float = 0.0) -> TwoTower:
    """Return TL-IMINET; the published runs have no dropout, an option of 0.2 exists."""
    return TwoTower(ImitationTower(), RecordingTower(), SimilarityHead(dropout=dropout))


class ImitationTower(nn.Module):
    """The left tower: 39 bands by 482 frames to 48 maps of 1 by 55, as one vector of 2,640 features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(1, 48, 6),
            nn.MaxPool2d(2),
            *_convolution(48, 48, 6),
            nn.MaxPool2d(2),
            *_convolution(48, 48, 6),
            nn.MaxPool2d((1, 2)),
            nn.Flatten(),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map log-mel (batch, 482, 39), of mean 0 and deviation 1 each, to features (batch, 2640)."""
        features: Tensor = self.layers(log_mel.transpose(1, 2).unsqueeze(1))
        return features


class RecordingTower(nn.Module):
    """The right tower: the first 128 of 173 frames, normalised, to 48 maps of 25 by 2, as one vector of 2,400."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(1, 24, 5),
            nn.MaxPool2d((2, 4)),
            *_convolution(24, 48, 5),
            nn.MaxPool2d((2, 4)),
            *_convolution(48, 48, 5),
            nn.Flatten(),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map log-mel (batch, 173, 128), in dB under the four seconds' maximum, to features (batch, 2400)."""
        kept = standardised(log_mel[:, :REFERENCE_KEPT])
        features: Tensor = self.layers(kept.transpose(1, 2).unsqueeze(1))
        return features


class SimilarityHead(nn.Module):
    """A hidden layer over both embeddings together, and one logit.

    The first layer's product is taken apart into the share of either embedding, so that one query meets many
    references without being repeated; parameters and values are those of one layer over the two joined.

    Parameters
    ----------
    query_size, reference_size, hidden : int
    dropout : float
        Before either layer, while training.
    """

    def __init__(
        self,
        query_size: int = QUERY_FEATURES,
        reference_size: int = REFERENCE_FEATURES,
        hidden: int = 108,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.query_size = query_size
        self.join = nn.Linear(query_size + reference_size, hidden)
        self.compare = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, reference: Tensor) -> Tensor:
        """Map embeddings (batch or 1, query_size) and (batch, reference_size) to logits (batch,)."""
        ours, theirs = self.join.weight.split([self.query_size, self.join.in_features - self.query_size], dim=1)
        joined = functional.linear(self.dropout(query), ours) + functional.linear(
            self.dropout(reference), theirs, self.join.bias
        )
        logits: Tensor = self.compare(self.dropout(torch.relu(joined)))
        return logits.squeeze(-1)

    def table(self, queries: Tensor, references: Tensor) -> Tensor:
        """Map (n_queries, query_size) and (n_references, reference_size) to the logits of all with all, a matrix."""
        logits: Tensor = self(queries[:, None], references[None])
        return logits


class CosineHead(nn.Module):
    """The cosine of both embeddings, which are of one size, stretched and shifted to a logit; both factors are learnt.

    Attributes
    ----------
    scale, offset : Parameter, scalars
    """

    def __init__(self, scale: float = 14.0, offset: float = -7.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, query: Tensor, reference: Tensor) -> Tensor:
        """Map embeddings (batch or 1, size) and (batch, size) to logits (batch,)."""
        cosines = (functional.normalize(query, dim=-1) * functional.normalize(reference, dim=-1)).sum(dim=-1)
        return self.scale * cosines + self.offset

    def table(self, queries: Tensor, references: Tensor) -> Tensor:
        """Map (n_queries, size) and (n_references, size) to the logits of all with all, a matrix."""
        cosines = functional.normalize(queries, dim=1) @ functional.normalize(references, dim=1).T
        return self.scale * cosines + self.offset


def standardised(spectrograms: Tensor) -> Tensor:
    """Return each of a batch of spectrograms with mean 0 and standard deviation 1 over all its values.

    One of a single value, digital silence for instance, becomes zeros.
    """
    values = spectrograms.flatten(1)
    # Rounding would leave a constant with a deviation that is not quite zero.
    values = values - values[:, :1]
    centred = values - values.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1, keepdim=True)
    # Before the root, whose slope at zero is infinite.
    variance = torch.where(variance > 0, variance, torch.ones_like(variance))
    return (centred / variance.sqrt()).reshape_as(spectrograms)


def _convolution(n_in: int, n_out: int, size: int) -> tuple[nn.Module, ...]:
    """Return a convolution without padding, batch normalisation with Keras's momentum (1 - 0.99) and epsilon, ReLU."""
    return nn.Conv2d(n_in, n_out, size), nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01), nn.ReLU()

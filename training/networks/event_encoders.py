"""The networks of the triple-header paper: encoders of log-mel to directions, the layer of clusters, the detector.

With ``precision="bfloat16"`` an encoder multiplies in that while it learns; in evaluation mode, and so in clustering,
scoring and export, it is float32 either way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class LstmEncoder(nn.Module):
    """One LSTM layer; its last output, on the unit sphere. The paper does not say which output it takes.

    Parameters
    ----------
    n_mels : int
    size : int
        Units, and the size of the embedding.
    precision : str
        "float32" or "bfloat16".
    """

    def __init__(self, n_mels: int, size: int = 128, *, precision: str = "float32") -> None:
        super().__init__()
        self.precision = precision
        self.recurrent = nn.LSTM(n_mels, size, batch_first=True)
        self.embedding_size = size

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map (batch, n_frames, n_mels) to rows of length one, (batch, embedding_size)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training and self.precision == "bfloat16"):
            outputs, _ = self.recurrent(log_mel)
        return functional.normalize(outputs[:, -1].float(), dim=1, eps=1e-12)


class CnnEncoder(nn.Module):
    """Two 7x7 convolutions, each with ReLU, batch normalisation, pooling and dropout; flattened, on the unit sphere.

    Parameters
    ----------
    n_frames, n_mels : int
        The only input size that it takes.
    channels : tuple of int
    pool_frames : tuple of int
        Over time; the paper's 5 and 100 leave two steps of 1,000 frames.
    pool_mels : int
        Over frequency, twice.
    dropout : float
    precision : str
        "float32" or "bfloat16".
    """

    def __init__(
        self,
        n_frames: int,
        n_mels: int,
        channels: tuple[int, int] = (32, 64),
        pool_frames: tuple[int, int] = (5, 100),
        pool_mels: int = 4,
        dropout: float = 0.3,
        *,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.precision = precision
        layers: list[nn.Module] = []
        for n_in, n_out, pool in zip((1, channels[0]), channels, pool_frames, strict=True):
            layers += [nn.Conv2d(n_in, n_out, 7, padding=3), nn.ReLU(), nn.BatchNorm2d(n_out)]
            layers += [nn.MaxPool2d((pool, pool_mels)), nn.Dropout(dropout)]
        # Channels last: batch normalisation and pooling are the most of a step, which is 1.4 times as fast then.
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = n_frames // pool_frames[0] // pool_frames[1]
        self.embedding_size = channels[1] * steps * (n_mels // pool_mels // pool_mels)
        if not self.embedding_size:
            raise ValueError(f"expected at least one step after pooling, got none of {n_frames} frames, {n_mels} bands")

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map (batch, n_frames, n_mels) to rows of length one, (batch, embedding_size)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training and self.precision == "bfloat16"):
            maps = self.layers(log_mel.unsqueeze(1))
        return functional.normalize(maps.flatten(1).float(), dim=1, eps=1e-12)


class ClusterHead(nn.Module):
    """The dense layer of the clusters, no bias: its columns' directions are centroids, their lengths the scale alpha.

    Parameters
    ----------
    centroids : Tensor, shape (n_clusters, embedding_size)
        Rows of length one.
    scale : float
        alpha_0: the length that the columns begin with.
    """

    def __init__(self, centroids: Tensor, scale: float) -> None:
        super().__init__()
        self.columns = nn.Parameter(scale * centroids)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, embedding_size) to alpha times the cosine with each centroid, (batch, n_clusters)."""
        return embedding @ self.columns.T

    @property
    def scale(self) -> Tensor:
        """Lengths of the columns, shape (n_clusters,)."""
        return self.columns.norm(dim=1)


class Detector(nn.Module):
    """Encoder, the cluster layer where there is one, and a dense layer with one output per event.

    Parameters
    ----------
    encoder : LstmEncoder or CnnEncoder
    head : ClusterHead or None
        Kept below the new layer ("without discarding the dense layer"); None is the baseline.
    n_events : int
    """

    def __init__(self, encoder: LstmEncoder | CnnEncoder, head: ClusterHead | None, n_events: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        width = encoder.embedding_size if head is None else len(head.columns)
        self.detect = nn.Linear(width, n_events)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map (batch, n_frames, n_mels) to logits (batch, n_events) and embedding (batch, embedding_size)."""
        embedding: Tensor = self.encoder(log_mel)
        return self.logits(embedding), embedding

    def logits(self, embedding: Tensor) -> Tensor:
        """Map (batch, embedding_size) to (batch, n_events)."""
        logits: Tensor = self.detect(embedding if self.head is None else self.head(embedding))
        return logits

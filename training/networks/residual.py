"""A small residual convolutional tagger with an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualTagger(nn.Module):
    """Residual CNN over a log-mel spectrogram of any length.

    A strided stem and one residual block per further entry of ``channels``, each halving time and frequency; the mean
    over frequency, then the mean plus the maximum over time (the texture of rain, the peak of a bark); a linear layer
    with batch normalisation is the embedding, and a linear layer on its positive part gives the logits.
    The block is the one of He et al., "Deep Residual Learning for Image Recognition" (2016), figure 2 left.

    Parameters
    ----------
    n_labels : int
    channels : tuple of int
        Feature maps of the stem and of each residual block.
    embedding_size : int
    dropout : float
        Share of the embedding's values dropped before the last layer while training.
    """

    def __init__(
        self,
        n_labels: int,
        channels: tuple[int, ...] = (24, 32, 64, 128),
        embedding_size: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(1, channels[0], stride=2), nn.ReLU())
        self.blocks = nn.Sequential(*map(ResidualBlock, channels, channels[1:]))
        self.embed = nn.Sequential(nn.Linear(channels[-1], embedding_size, bias=False), nn.BatchNorm1d(embedding_size))
        self.classify = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(embedding_size, n_labels))

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding.

        Parameters
        ----------
        log_mel : Tensor, shape (batch, n_frames, n_mels)
            At least one frame.

        Returns
        -------
        logits : Tensor, shape (batch, n_labels)
        embedding : Tensor, shape (batch, embedding_size)
            Rows of length one.
        """
        maps = self.blocks(self.stem(log_mel.unsqueeze(1)))
        over_time = maps.mean(dim=3)
        embedding = self.embed(over_time.mean(dim=2) + over_time.amax(dim=2))
        return self.classify(embedding), functional.normalize(embedding, dim=1)


class FrameTagger(ResidualTagger):
    """Residual tagger that says when, too, and hears changes apart from colour.

    Beside log-mel it sees log-mel less its mean over time: what a room or a microphone does to every frame alike is
    gone there. A linear layer of its own scores each step of the last maps. The embedding is the positive part that the
    labels are told from, each number less its mean and by its deviation over the training data.

    Parameters as for ``ResidualTagger``.

    Attributes
    ----------
    frames_per_step : int
        Frames of log-mel to one step.
    """

    def __init__(
        self,
        n_labels: int,
        channels: tuple[int, ...] = (24, 32, 64, 128),
        embedding_size: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(n_labels, channels, embedding_size, dropout)
        self.stem = nn.Sequential(_convolution(2, channels[0], stride=2), nn.ReLU())
        self.standardise = nn.BatchNorm1d(embedding_size, affine=False)
        self.frames_per_step = 2 ** len(channels)
        self.classify_steps = nn.Linear(channels[-1], n_labels)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Return logits, embedding, and the logits of each step.

        Parameters
        ----------
        log_mel : Tensor, shape (batch, n_frames, n_mels)

        Returns
        -------
        logits : Tensor, shape (batch, n_labels)
        embedding : Tensor, shape (batch, embedding_size)
            Rows of length one.
        steps : Tensor, shape (batch, ceil(n_frames / frames_per_step), n_labels)
        """
        over_time = self.over_time(log_mel)
        hidden = self.embed(over_time.mean(dim=2) + over_time.amax(dim=2))
        return self.classify(hidden), self.embedding(hidden), self.classify_steps(over_time.transpose(1, 2))

    def over_time(self, log_mel: Tensor) -> Tensor:
        """Return what is heard in each step, shape (batch, channels[-1], n_steps)."""
        seen = torch.stack([log_mel, log_mel - log_mel.mean(dim=1, keepdim=True)], dim=1)
        heard: Tensor = self.blocks(self.stem(seen)).mean(dim=3)
        return heard

    def embedding(self, hidden: Tensor) -> Tensor:
        """Return the embedding, rows of length one, for what ``embed`` gives, shape (n, embedding_size)."""
        return functional.normalize(self.standardise(torch.relu(hidden).float()), dim=1)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions that halve both axes, added to a 1x1 convolution of the input."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = _convolution(n_in, n_out, stride=2)
        self.second = _convolution(n_out, n_out)
        self.skip = _convolution(n_in, n_out, size=1, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, n_in, time, frequency) to (batch, n_out, ceil(time / 2), ceil(frequency / 2))."""
        return torch.relu(self.second(torch.relu(self.first(maps))) + self.skip(maps))


def _convolution(n_in: int, n_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size up to its stride, with batch normalisation."""
    convolution = nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out))

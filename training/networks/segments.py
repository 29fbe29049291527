"""The networks of Turpault et al. 2019: a CNN that embeds segments, a recurrent tagger, the CRNN baseline.

Layers, their order, batch normalisation and dropout are those of the baseline of DCASE 2018 task 4, of which the paper
lists the rest. All take log-mel as (batch, n_frames, n_mels) of any length.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SegmentCnn(nn.Module):
    """Three convolutions that keep every frame and fold frequency away.

    Parameters
    ----------
    n_mels : int
        Divided by ``pool_mels`` in each block; one band must be left.
    channels : tuple of int
    pool_mels : int
    dropout : float
    """

    def __init__(
        self, n_mels: int = 64, channels: tuple[int, ...] = (64, 64, 64), pool_mels: int = 4, dropout: float = 0.3
    ) -> None:
        super().__init__()
        if n_mels // pool_mels ** len(channels) != 1:
            raise ValueError(f"expected one band after pooling, got {n_mels} / {pool_mels}^{len(channels)}")
        layers: list[nn.Module] = []
        for n_in, n_out in zip((1, *channels), channels, strict=False):
            convolution = nn.Conv2d(n_in, n_out, 3, padding=1)
            nn.init.xavier_uniform_(convolution.weight)
            layers += [convolution, nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d((1, pool_mels)), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = channels[-1]

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map to an embedding of each frame, (batch, n_frames, size)."""
        maps: Tensor = self.layers(log_mel.unsqueeze(1))
        return maps.squeeze(3).transpose(1, 2)


class FrameTagger(nn.Module):
    """Bidirectional GRU layers and a dense layer with a sigmoid at each frame; a clip's scores are the frames' mean.

    Parameters
    ----------
    size : int
        Of what comes in at each frame: an embedding, or the bands of log-mel.
    n_labels : int
    units : int
        In each direction.
    n_layers : int
    dropout : float
        Of the input.
    """

    def __init__(self, size: int, n_labels: int, units: int = 64, n_layers: int = 2, dropout: float = 0.3) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.GRU(size, units, n_layers, batch_first=True, bidirectional=True)
        self.dense = nn.Linear(2 * units, n_labels)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, n_frames, size) to scores of the frames, (batch, n_frames, n_labels)."""
        outputs, _ = self.recurrent(self.dropout(frames))
        scores: Tensor = self.dense(outputs).sigmoid()
        return scores


class ClipTagger(nn.Module):
    """An embedding of frames with a tagger on it, as one network.

    Parameters
    ----------
    embed : Module or None
        None for a tagger on log-mel itself.
    tagger : FrameTagger
    pool : int
        Frames whose mean the tagger takes as one; the fewest that the network takes.
    """

    def __init__(self, embed: SegmentCnn | None, tagger: FrameTagger, pool: int = 1) -> None:
        super().__init__()
        self.embed, self.tagger, self.pool = embed, tagger, pool

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Map (batch, n_frames, n_mels) to scores (batch, n_labels) and the mean of pooled frames (batch, size)."""
        return self.tag(self.frames(log_mel))

    def frames(self, log_mel: Tensor) -> Tensor:
        """Map to what the tagger takes, (batch, n_frames // pool, size)."""
        return pooled(log_mel if self.embed is None else self.embed(log_mel), self.pool)

    def tag(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map those (batch, n_frames, size) to what ``forward`` returns."""
        return self.tagger(frames).mean(dim=1), frames.mean(dim=1)


def pooled(frames: Tensor, pool: int) -> Tensor:
    """Return the means of every ``pool`` frames, a rest left out: (batch, n_frames // pool, size)."""
    return frames if pool == 1 else nn.functional.avg_pool1d(frames.transpose(1, 2), pool).transpose(1, 2)

"""A small convolutional recurrent tagger with an embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class RecurrentTagger(nn.Module):
    """Convolutions over a log-mel spectrogram of any length, a recurrent layer in both directions, its mean over time.

    Each block halves frequency, and all but the first halve time; the mean over frequency goes to the recurrent layer.
    The form is that of Cakir et al., "Convolutional recurrent neural networks for polyphonic sound event detection"
    (2017), with one label per clip.

    Parameters
    ----------
    n_labels : int
    channels : tuple of int
        Feature maps of each block.
    embedding_size : int
        Even: half of it from each direction.
    dropout : float
        Share of the embedding's values dropped before the last layer while training.
    """

    def __init__(
        self, n_labels: int, channels: tuple[int, ...] = (16, 32, 64), embedding_size: int = 64, dropout: float = 0.2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (n_in, n_out) in enumerate(zip((1, *channels), channels, strict=False)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=(1 if number == 0 else 2, 2), padding=1, bias=False)]
            layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.recurrent = nn.GRU(channels[-1], embedding_size // 2, batch_first=True, bidirectional=True)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding_size, n_labels))

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
        maps = self.layers(log_mel.unsqueeze(1))
        outputs, _ = self.recurrent(maps.mean(dim=3).transpose(1, 2))
        embedding = outputs.mean(dim=1)
        return self.classify(embedding), functional.normalize(embedding, dim=1)

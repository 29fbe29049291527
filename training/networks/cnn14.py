"""Cnn14, the 14-layer network of PANNs, with the names of its published checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

# Published checkpoints hold their front end as convolutions and a matrix. The engine's preset "panns32k" takes their
# place; their shapes tell it from the front ends of the 8 and 16 kHz variants: 513 bins of 1024 samples, 64 bands.
FRONTEND_SHAPES = {
    "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
    "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
    "logmel_extractor.melW": (513, 64),
}
# Five poolings halve the time axis, and the last maps need one frame.
SHORTEST = 32


class Cnn14(nn.Module):
    """Convolutional tagger over a log-mel spectrogram in dB, trained on AudioSet by its authors.

    Six blocks of two 3x3 convolutions with average pooling between them; the mean over frequency, then the mean plus
    the maximum over time; one hidden layer, whose output is the embedding.
    Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition" (2020), table II.

    Parameters
    ----------
    n_labels : int
        527 for AudioSet.
    width : int
        Feature maps of the first block; each further block has twice as many. 64 in the paper: 81 M parameters.
    n_mels : int
    """

    def __init__(self, n_labels: int = 527, width: int = 64, n_mels: int = 64) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(n_mels)
        self.conv_block1 = ConvBlock(1, width)
        self.conv_block2 = ConvBlock(width, 2 * width)
        self.conv_block3 = ConvBlock(2 * width, 4 * width)
        self.conv_block4 = ConvBlock(4 * width, 8 * width)
        self.conv_block5 = ConvBlock(8 * width, 16 * width)
        self.conv_block6 = ConvBlock(16 * width, 32 * width)
        self.fc1 = nn.Linear(32 * width, 32 * width)
        self.fc_audioset = nn.Linear(32 * width, n_labels)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding.

        Parameters
        ----------
        log_mel : Tensor, shape (batch, n_frames, n_mels)
            In dB, as the preset "panns32k" gives it; at least 32 frames.

        Returns
        -------
        logits : Tensor, shape (batch, n_labels)
        embedding : Tensor, shape (batch, 32 * width)
            Not negative, of any length.
        """
        # The first normalisation has one mean and deviation per mel band, which stand where channels do.
        maps = self.bn0(log_mel.transpose(1, 2).unsqueeze(3)).permute(0, 3, 2, 1)
        for block in (self.conv_block1, self.conv_block2, self.conv_block3, self.conv_block4, self.conv_block5):
            maps = functional.dropout(functional.avg_pool2d(block(maps), 2), 0.2, self.training)
        maps = functional.dropout(self.conv_block6(maps), 0.2, self.training)
        over_time = maps.mean(dim=3)
        pooled = functional.dropout(over_time.amax(dim=2) + over_time.mean(dim=2), 0.5, self.training)
        embedding = torch.relu(self.fc1(pooled))
        return self.fc_audioset(embedding), embedding


class ConvBlock(nn.Module):
    """Two 3x3 convolutions that keep the size, each with batch normalisation and ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, n_in, time, frequency) to (batch, n_out, time, frequency)."""
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(maps))))))


def load_checkpoint(path: Path) -> Cnn14:
    """Return the network of a published checkpoint, or of one fine-tuned from it, in evaluation mode.

    Parameters
    ----------
    path : Path
        As PANNs saves them, for example ``Cnn14_mAP=0.431.pth``: a dict whose ``"model"`` is the state dict. The number
        of labels and the width are those of its weights.

    Raises
    ------
    ModelError
        The file cannot be read as weights alone, lacks some, has others, or is of another sample rate.
    """
    weights = {name: value for name, value in _read(path).items() if not _is_frontend(path, name, value)}
    sizes = {}
    for size, name in {"n_labels": "fc_audioset.bias", "width": "conv_block1.bn1.bias", "n_mels": "bn0.bias"}.items():
        if name not in weights:
            raise ModelError(f"expected a checkpoint of Cnn14, {path} has no weight {name!r}; name another file")
        sizes[size] = len(weights[name])
    network = Cnn14(**sizes)
    _check_weights(network, weights, path)
    network.load_state_dict(weights)
    return network.eval()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"expected a checkpoint, got {path}: {error.strerror}; check the path") from error
    except Exception as error:  # damaged files fail in the unpickler, the archive reader or the tensors' constructors
        raise ModelError(
            f"expected a checkpoint of weights alone, torch refuses {path}; get it again, or, where its maker is "
            "trusted, save its weights anew: torch.save({'model': torch.load(OLD, weights_only=False)['model']}, NEW)"
        ) from error
    weights = checkpoint.get("model") if isinstance(checkpoint, dict) else None
    if not (isinstance(weights, dict) and all(isinstance(value, Tensor) for value in weights.values())):
        raise ModelError(f"expected the state dict of a network under 'model' in {path}, got none; save it there")
    return weights


def _is_frontend(path: Path, name: str, value: Tensor) -> bool:
    wanted = FRONTEND_SHAPES.get(name)
    if wanted is not None and tuple(value.shape) != wanted:
        raise ModelError(
            f"expected the front end of the 32 kHz network in {path}, {name!r} of shape {wanted}, got "
            f"{tuple(value.shape)}; use a checkpoint for 32 kHz"
        )
    return wanted is not None


def _check_weights(network: Cnn14, weights: dict[str, Tensor], path: Path) -> None:
    wanted = network.state_dict()
    if missing := sorted(wanted.keys() - weights.keys()):
        raise ModelError(f"expected every weight of Cnn14 in {path}, got it without {missing}; use another checkpoint")
    if unknown := sorted(weights.keys() - wanted.keys()):
        raise ModelError(f"expected only weights of Cnn14 in {path}, got also {unknown}; use another checkpoint")
    for name, value in weights.items():
        if value.shape != wanted[name].shape:
            raise ModelError(
                f"expected {name!r} of shape {tuple(wanted[name].shape)} in {path}, got {tuple(value.shape)}; use "
                "another checkpoint"
            )

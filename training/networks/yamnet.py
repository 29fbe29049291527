"""YAMNet, with its weights out of the published TensorFlow Lite files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ModelError
from training.networks.tflite_layers import read_layers

if TYPE_CHECKING:
    from pathlib import Path

N_FRAMES, N_MELS = 96, 64
# Stride and feature maps of each separable convolution (tensorflow/models research/audioset/yamnet/yamnet.py).
SEPARABLE = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512), (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024)),
)


class Yamnet(nn.Module):
    """MobileNetV1 over a log-mel patch of 96 frames of 64 bands, trained on AudioSet by its authors.

    A strided 3x3 convolution, 13 depthwise separable ones, the mean over time and frequency as embedding, and a linear
    layer. Batch normalisation is part of the convolutions, as in a network made for inference.
    Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications" (2017), table 1;
    Plakal and Ellis, "YAMNet" (2020).

    Parameters
    ----------
    n_labels : int
        521 in the published network.
    ceiling : float
        Largest value after an activation: infinity for the published Keras network, 6 for its files for small devices.
    """

    def __init__(self, n_labels: int = 521, ceiling: float = float("inf")) -> None:
        super().__init__()
        self.ceiling = ceiling
        convolutions = [nn.Conv2d(1, 32, 3, stride=2)]
        for stride, n_out in SEPARABLE:
            n_in = convolutions[-1].out_channels
            convolutions += [nn.Conv2d(n_in, n_in, 3, stride=stride, groups=n_in), nn.Conv2d(n_in, n_out, 1)]
        self.convolutions = nn.ModuleList(convolutions)
        self.classify = nn.Linear(convolutions[-1].out_channels, n_labels)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding.

        Parameters
        ----------
        log_mel : Tensor, shape (batch, 96, 64)
            As the preset "yamnet" gives it.

        Returns
        -------
        logits : Tensor, shape (batch, n_labels)
        embedding : Tensor, shape (batch, 1024)
            Not negative, of any length.
        """
        maps = log_mel.unsqueeze(1)
        for convolution in self.convolutions:
            if convolution.kernel_size == (3, 3):
                # TensorFlow's "same" on even sizes: nothing before and one zero after where the size is halved.
                maps = functional.pad(maps, (0, 1, 0, 1) if convolution.stride == (2, 2) else (1, 1, 1, 1))
            maps = convolution(maps).clamp(0.0, self.ceiling)
        embedding = maps.mean(dim=(2, 3))
        return self.classify(embedding), embedding


def load_tflite(path: Path) -> Yamnet:
    """Return the network of a TensorFlow Lite file of YAMNet, in evaluation mode.

    Files that take the waveform and files that take the log-mel patch are read alike: only the network is taken.
    Weights of 8 bits become the float32 numbers that they stand for; activations are not rounded to 8 bits.

    Raises
    ------
    ModelError
        The file is none, or its layers are not YAMNet's; or the package that reads such files is missing.
    """
    layers = read_layers(path)
    kinds = ["CONV_2D", *["DEPTHWISE_CONV_2D", "CONV_2D"] * len(SEPARABLE), "FULLY_CONNECTED"]
    # A front end inside the file has its mel filters as a linear layer, before the first convolution.
    layers = layers[-len(kinds) :]
    ceilings = {layer.ceiling for layer in layers[:-1]}
    if [layer.kind for layer in layers] != kinds or len(ceilings) != 1:
        raise ModelError(
            f"expected the {len(kinds) - 1} convolutions and the linear layer of YAMNet in {path}, got "
            f"{[layer.kind for layer in layers]}; name a file of YAMNet"
        )
    network = Yamnet(len(layers[-1].bias), ceilings.pop())
    for layer, module in zip(layers, [*network.convolutions, network.classify], strict=True):
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        if weight.shape != module.weight.shape or bias.shape != module.bias.shape:
            raise ModelError(
                f"expected a layer of shape {tuple(module.weight.shape)} as in YAMNet in {path}, got "
                f"{tuple(weight.shape)}; name a file of YAMNet"
            )
        module.load_state_dict({"weight": weight, "bias": bias})
    return network.eval()

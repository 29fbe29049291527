"""The paper's figure 1: three classes of 1:1:4 on a sphere, the large one in four clusters.

    python -m training.recipes.triple_header.toy toy.png

The paper does not give the distribution of its 1,000 samples in 20 dimensions. Here a class of one part is one
Gaussian, the class of four parts is four of them with means of their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from training.cluster_stage import cluster, embed, learn_embedding
from training.networks.event_encoders import LstmEncoder
from training.recipes.triple_header.config import Config

if TYPE_CHECKING:
    from torch import Tensor

    from training.networks.event_encoders import ClusterHead

CONFIG = Config(outer_iterations=5, inner_epochs=10, last_epochs=30, batch_size=64, learning_rate=1e-2)


@dataclass(frozen=True, eq=False)
class Toy:
    """What was learnt.

    Attributes
    ----------
    embeddings : Tensor, shape (n_samples, 3)
    classes, groups : Tensor, shape (n_samples,), int64
        The class of each sample, and the Gaussian it was drawn from.
    own : Tensor, shape (n_samples,), int64
        Its cluster in the learnt space.
    head : ClusterHead
    """

    embeddings: Tensor
    classes: Tensor
    groups: Tensor
    own: Tensor
    head: ClusterHead


def samples(n_samples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return samples (n_samples, 1, 20), their classes 0, 1 and 2 (1:1:4) and the Gaussians they were drawn from."""
    generator = np.random.default_rng(seed)
    groups = np.arange(n_samples) % 6
    means = 1.5 * generator.standard_normal((6, 20))
    values = means[groups] + 0.5 * generator.standard_normal((n_samples, 20))
    classes = np.minimum(groups, 2)
    return torch.from_numpy(values[:, None].astype(np.float32)), torch.from_numpy(classes), torch.from_numpy(groups)


def learn(seed: int = 0, n_samples: int = 1000, config: Config = CONFIG) -> Toy:
    """Train one LSTM layer of three units on the toy samples."""
    values, classes, groups = samples(n_samples, seed)
    torch.manual_seed(seed)
    encoder = LstmEncoder(20, 3)
    head = learn_embedding(encoder, values, classes, config, seed)
    embeddings = embed(encoder, values)
    own, _, _ = cluster(embeddings, classes, config, seed)
    return Toy(embeddings, classes, groups, own, head)


def plot(toy: Toy, path: Path) -> None:
    """Draw the sphere from two sides, a colour for each class, a cross for each column of the head."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), subplot_kw={"projection": "3d"})
    columns = torch.nn.functional.normalize(toy.head.columns.detach(), dim=1)
    for axis, azimuth in zip(axes, (30, 210), strict=True):
        for c, name in enumerate(("1 part", "1 part", "4 parts")):
            x, y, z = toy.embeddings[toy.classes == c].T
            axis.scatter(x, y, z, s=4, label=f"class {c}, {name}")
        axis.scatter(*columns.T, marker="x", color="black", label="columns of the head")
        axis.view_init(25, azimuth)
        axis.set_box_aspect((1, 1, 1))
    axes[0].legend(loc="upper left", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    plot(learn(), Path(sys.argv[1]))

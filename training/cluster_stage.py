"""A stage that teaches an encoder clusters of equal size before its recipe goes on: ``--embedding triple_header``.

Source
    "Triple-header cross entropy" for imbalanced acoustic event detection (ICASSP 2019), Algorithm 1: cluster each class
    in the space of the embeddings, learn the head and then the encoder to keep clusters apart, and again.

Where clips have several labels, a class is a set of them (``label_sets``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ConfigError
from training.clusters import clusters_per_class, spherical_kmeans
from training.losses.triple_header import READINGS, triple_header
from training.networks.event_encoders import ClusterHead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

EMBEDDINGS = ("none", "triple_header")
# Clips that a set of labels needs to be a class: one of a single clip would make every clip a cluster of its own.
FEWEST = 8


@dataclass(frozen=True)
class ClusterStage:
    """Every number of the stage; defaults are the paper's where it gives a number."""

    outer_iterations: int = 5  # N_c
    head_epochs: int = 2
    inner_epochs: int = 30
    last_epochs: int = 150
    scale: float = 10.0  # alpha_0, the length of the head's columns at first; below about 10 no loss can become small
    same_margin: float = 0.0  # beta
    other_margin: float = 5.0  # beta'
    reading: str = "A"  # of the margins: training/losses/triple_header.py
    balanced: bool = True  # clusters of equal size; false is plain spherical k-means
    class_weight: str = "inverse"  # 1 / w'; equal, or direct for the other direction
    batch_size: int = 64  # the paper's for each of its eight processors
    learning_rate: float = 1e-3

    @classmethod
    def of(cls, epochs: tuple[int, int, int], batch_size: int, learning_rate: float) -> ClusterStage:
        """Return a stage of so many clusterings, epochs after each but the last, and epochs after the last."""
        return cls(
            outer_iterations=epochs[0],
            inner_epochs=epochs[1],
            last_epochs=epochs[2],
            batch_size=batch_size,
            learning_rate=learning_rate,
        )

    def __post_init__(self) -> None:
        """Refuse numbers that no stage can have."""
        for name, values in (("reading", READINGS), ("class_weight", ("inverse", "equal", "direct"))):
            if getattr(self, name) not in values:
                raise ConfigError(
                    f"expected --{name} to be one of {', '.join(values)}, got {getattr(self, name)!r}; change it"
                )
        for name in ("outer_iterations", "last_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least one of {name}, got {getattr(self, name)!r}; change --{name}")


class Encoder(nn.Module):
    """A network of a recipe seen as what the stage trains: rows of length one.

    Parameters
    ----------
    network : Module
    embedding : callable
        Of inputs to rows, by the network's own parameters.
    """

    def __init__(self, network: nn.Module, embedding: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.embedding = network, embedding

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, ...) to (batch, size)."""
        return functional.normalize(self.embedding(inputs).float(), dim=1)


def label_sets(targets: Tensor, fewest: int = FEWEST) -> tuple[Tensor, Tensor]:
    """Return which clips have a set of labels that ``fewest`` or more have, and the number of that set.

    Parameters
    ----------
    targets : Tensor of 0 and 1, shape (n_clips, n_labels)
        No label is a set as well.
    fewest : int

    Returns
    -------
    rows : Tensor, shape (n_kept,), int64
        In order.
    classes : Tensor, shape (n_kept,), int64
        From 0 on, without gaps.

    Raises
    ------
    ConfigError
        Where fewer than two sets are left: nothing can be kept apart.
    """
    sets, of_clip, counts = torch.unique(targets, dim=0, return_inverse=True, return_counts=True)
    frequent = counts >= fewest
    if int(frequent.sum()) < 2:
        raise ConfigError(
            f"expected two sets of labels with {fewest} clips or more for triple_header, got {int(frequent.sum())} of "
            f"{len(sets)}; take more clips, or --embedding=none"
        )
    rows = torch.nonzero(frequent[of_clip]).flatten()
    return rows, (frequent.cumsum(dim=0) - 1)[of_clip[rows]]


def learn_embedding(
    encoder: nn.Module,
    inputs: Tensor,
    classes: Tensor,
    config: ClusterStage,
    seed: int,
    *,
    drawn: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    state: Mapping[str, Any] | None = None,
    after: Callable[[dict[str, Any], float], None] = lambda _state, _loss: None,
) -> ClusterHead:
    """Train an encoder in place and return its last head.

    Parameters
    ----------
    encoder : Module
        Inputs to rows of length one.
    inputs : Tensor, shape (n_clips, ...)
        Of the training part only, such as normalised log-mel (n_clips, n_frames, n_mels).
    classes : Tensor, shape (n_clips,), int64
        The class of each clip: its event or background, or its set of labels.
    config : ClusterStage
    seed : int
    drawn : callable or None
        What the encoder is shown of some rows while it learns, by a generator; the inputs themselves where it is None.
    state : mapping or None
        What `after` was last called with, to go on from there.
    after : callable
        Called with the state and the mean loss after each outer iteration.
    """
    head, first = None, 0
    if state is not None:
        encoder.load_state_dict(state["encoder"])
        head, first = ClusterHead(state["columns"], 1.0), state["iterations"]
        torch.set_rng_state(state["random"])
    for iteration in range(first, config.outer_iterations):
        generator = torch.Generator().manual_seed(_mixed(seed, iteration))
        torch.manual_seed(_mixed(seed, iteration, 1))  # dropout
        own, cluster_class, centroids = cluster(embed(encoder, inputs), classes, config, _mixed(seed, iteration, 2))
        # Numbers of clusters are new at every clustering, so the head and its optimiser begin anew together.
        head = ClusterHead(centroids, config.scale)
        weights = cluster_weights(cluster_class, config.class_weight)
        last = iteration == config.outer_iterations - 1
        loss = 0.0
        for parts, n_epochs in (
            ([head], config.head_epochs),
            ([encoder, head], config.last_epochs if last else config.inner_epochs),
        ):
            # A network that is not trained is not to change by its running means either.
            encoder.train(encoder in parts)
            optimizer = torch.optim.Adam(_parameters(parts), lr=config.learning_rate)
            for _ in range(n_epochs):
                losses = []
                for batch in batches(len(classes), config.batch_size, generator):
                    shown = inputs[batch] if drawn is None else drawn(batch, generator)
                    with torch.set_grad_enabled(encoder in parts):
                        embedding = encoder(shown)
                    value = triple_header(
                        head(embedding),
                        own[batch],
                        cluster_class,
                        same_margin=config.same_margin,
                        other_margin=config.other_margin,
                        reading=config.reading,
                        scale=head.scale,
                        weights=weights,
                    )
                    optimizer.zero_grad()
                    value.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    losses.append(value.item())
                loss = float(np.mean(losses))
        after(
            {
                "encoder": encoder.state_dict(),
                "columns": head.columns.detach().clone(),
                "iterations": iteration + 1,
                "random": torch.get_rng_state(),
            },
            loss,
        )
    encoder.eval()
    assert head is not None
    return head


def embed(encoder: nn.Module, inputs: Tensor, batch_size: int = 256) -> Tensor:
    """Return the embeddings of all clips, shape (n_clips, embedding_size), in evaluation mode and without gradients."""
    encoder.eval()
    with torch.no_grad():
        return torch.cat([encoder(part) for part in inputs.split(batch_size)])


def cluster(embeddings: Tensor, classes: Tensor, config: ClusterStage, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split each class into clusters about as large as the smallest class.

    Returns
    -------
    own : Tensor, shape (n_clips,), int64
        The cluster of each clip.
    cluster_class : Tensor, shape (n_clusters,), int64
    centroids : Tensor, shape (n_clusters, embedding_size)
    """
    counts = clusters_per_class(np.bincount(classes.numpy()))
    own = torch.empty_like(classes)
    cluster_class: list[int] = []
    centroids = []
    for c, n_clusters in enumerate(counts.tolist()):
        rows = torch.nonzero(classes == c).flatten()
        if not n_clusters:
            continue
        found = spherical_kmeans(embeddings[rows].numpy(), n_clusters, seed + c, balanced=config.balanced)
        own[rows] = torch.from_numpy(found.members) + len(cluster_class)
        cluster_class += [c] * n_clusters
        centroids.append(torch.from_numpy(found.centroids))
    return own, torch.tensor(cluster_class), torch.cat(centroids)


def cluster_weights(cluster_class: Tensor, kind: str) -> Tensor:
    """Return the weight of each cluster's clips, shape (n_clusters,).

    Parameters
    ----------
    kind : str
        "inverse" is the paper's 1 / (clusters of the class), "equal" is one, "direct" the number itself.
    """
    size = (cluster_class[:, None] == cluster_class).sum(dim=1).float()
    return {"inverse": 1 / size, "equal": torch.ones_like(size), "direct": size}[kind]


def batches(n_rows: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield all rows in random order, in batches of equal sizes of at least ``size`` (or all in one)."""
    yield from torch.randperm(n_rows, generator=generator).tensor_split(max(1, n_rows // size))


def _parameters(parts: list[nn.Module]) -> list[nn.Parameter]:
    return [parameter for part in parts for parameter in part.parameters()]


def _mixed(*seeds: int) -> int:
    """Return one well-mixed seed from several small numbers."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0] >> 1)

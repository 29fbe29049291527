"""Stage one: embeddings that respect clusters of equal size (the paper's Algorithm 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from training.clusters import clusters_per_class, spherical_kmeans
from training.losses.triple_header import triple_header
from training.networks.event_encoders import ClusterHead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from training.networks.event_encoders import CnnEncoder, LstmEncoder
    from training.recipes.triple_header.config import Config

    Encoder = LstmEncoder | CnnEncoder


def learn_embedding(
    encoder: Encoder,
    log_mel: Tensor,
    classes: Tensor,
    config: Config,
    seed: int,
    *,
    state: Mapping[str, Any] | None = None,
    after: Callable[[dict[str, Any], float], None] = lambda _state, _loss: None,
) -> ClusterHead:
    """Train an encoder in place and return its last head.

    Parameters
    ----------
    encoder : Module
        log-mel to rows of length one.
    log_mel : Tensor, shape (n_clips, n_frames, n_mels)
        Of the training part only, normalised.
    classes : Tensor, shape (n_clips,), int64
        The class of each clip: its event, or background.
    config : Config
    seed : int
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
        own, cluster_class, centroids = cluster(embed(encoder, log_mel), classes, config, _mixed(seed, iteration, 2))
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
                    with torch.set_grad_enabled(encoder in parts):
                        embedding = encoder(log_mel[batch])
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


def embed(encoder: Encoder, log_mel: Tensor, batch_size: int = 256) -> Tensor:
    """Return the embeddings of all clips, shape (n_clips, embedding_size), in evaluation mode and without gradients."""
    encoder.eval()
    with torch.no_grad():
        return torch.cat([encoder(part) for part in log_mel.split(batch_size)])


def cluster(embeddings: Tensor, classes: Tensor, config: Config, seed: int) -> tuple[Tensor, Tensor, Tensor]:
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

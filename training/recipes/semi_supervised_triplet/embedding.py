"""Section 2 of the paper in time: the embedding learns from triplets that are drawn and mined anew at every epoch.

Or from clusters of labelled segments, the stage of paper 4, to compare with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from training.cluster_stage import ClusterStage, Encoder, label_sets
from training.cluster_stage import learn_embedding as learn_from_clusters
from training.losses.embedding import embedding_loss
from training.losses.triplet import triplet_loss
from training.recipes.semi_supervised_triplet.triplets import choose_anchors, draw, mine, nearest_segments
from training.sampling.batches import epoch_generator, ratio_keeping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from training.networks.segments import SegmentCnn
    from training.recipes.semi_supervised_triplet.config import Config
    from training.recipes.semi_supervised_triplet.triplets import Segments


def learn_embedding(
    network: SegmentCnn,
    segments: Segments,
    config: Config,
    *,
    state: Mapping[str, Any] | None = None,
    after: Callable[[dict[str, Any], dict[str, float]], None] = lambda _state, _figures: None,
) -> None:
    """Train the network in place.

    Parameters
    ----------
    network : SegmentCnn
    segments : Segments
    config : Config
    state : mapping or None
        What ``after`` was last called with, to go on from there.
    after : callable
        Called with the state and figures of each epoch: mean loss, the numbers of anchors, of semi-hard negatives that
        were mined, and of those that fell back to the farthest.
    """
    labelled, unlabelled = choose_anchors(segments, config, epoch_generator(config.seed, 0))
    nearest = nearest_segments(segments, config) if config.strategy == "S3" and len(unlabelled) else None
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    first = 0
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epochs"]
    for epoch in range(first, config.epochs):
        # Every epoch has generators of its own: an interrupted run draws what an uninterrupted one would have drawn.
        generator = epoch_generator(config.seed, 1, epoch)
        torch.manual_seed(int(generator.integers(2**62)))  # dropout
        triplets = draw(segments, labelled, unlabelled, nearest, config, generator)
        targets = targets_of(triplets.anchors, segments)
        negatives, n_without = mine(
            triplets, segments, lambda inputs: embed(network, inputs, config), config, generator
        )
        losses = []
        network.train()
        streams = [np.arange(len(labelled)), len(labelled) + np.arange(len(unlabelled))]
        for batch in ratio_keeping(streams, config.batch_size, generator):
            sides = (
                segments.inputs(triplets.anchors[batch]),
                triplets.positives[torch.from_numpy(batch)],
                segments.inputs(negatives[batch]),
            )
            anchors, *others = aggregated(network(torch.cat(sides)), config).chunk(3)
            if config.gradient == "anchor":
                others = [other.detach() for other in others]
            loss = triplet_loss(anchors, *others, config.margin, squared=config.squared)
            extra = embedding_loss(config.embedding_loss, anchors, targets[torch.from_numpy(batch)])
            loss = loss + config.embedding_weight * extra
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item() * len(batch))
        figures = {
            "loss": sum(losses) / len(triplets.anchors),
            "labelled": len(labelled),
            "unlabelled": len(unlabelled),
            "mined": int((triplets.negatives < 0).sum()),
            "farthest": n_without,
        }
        reached = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1}
        after(reached, figures)
    network.eval()


def learn_clusters(
    network: SegmentCnn,
    segments: Segments,
    config: Config,
    *,
    state: Mapping[str, Any] | None = None,
    after: Callable[[dict[str, Any], float], None] = lambda _state, _loss: None,
) -> None:
    """Train the network in place to keep the sets of labels of labelled segments apart; as ``learn_embedding``."""
    rows, classes = label_sets(torch.from_numpy(segments.targets))
    stage = ClusterStage.of(config.embedding_epochs, config.batch_size, config.learning_rate)
    encoder = Encoder(network, lambda inputs: aggregated(network(inputs), config))
    learn_from_clusters(encoder, segments.inputs(rows.numpy()), classes, stage, config.seed, state=state, after=after)


def targets_of(anchors: NDArray[np.int64], segments: Segments) -> Tensor:
    """Return the labels of anchors, shape (n, n_labels); zeros where there are none, which the losses leave out."""
    targets = torch.zeros(len(anchors), segments.targets.shape[1])
    rows = np.flatnonzero(anchors < segments.n_labelled)
    targets[torch.from_numpy(rows)] = torch.from_numpy(segments.targets[anchors[rows]]).float()
    return targets


def aggregated(frames: Tensor, config: Config) -> Tensor:
    """Return a segment's embedding of its frames (batch, n_frames, size): all of them in a row, or their mean."""
    return frames.flatten(1) if config.aggregate == "flatten" else frames.mean(dim=1)


def embed(network: SegmentCnn, inputs: Tensor, config: Config, batch_size: int = 128) -> Tensor:
    """Return the embeddings of segments in evaluation mode, without gradients."""
    network.eval()
    with torch.no_grad():
        return torch.cat([aggregated(network(part), config) for part in inputs.split(batch_size)])

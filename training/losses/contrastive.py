"""Losses on the cosines of a batch in which every clip is an anchor: supervised contrastive, and batch-hard triplets.

Labels are rows of shares, as mixing makes them; scaled to unit length, their products say how alike two clips are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.angular import SAME_LABEL, distances


def supervised_contrastive(embeddings: Tensor, targets: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the mean cross entropy of an anchor's positives among all other clips of the batch.

    Khosla et al., "Supervised contrastive learning" (2020), equation 2. A positive counts by how alike its labels are.

    Parameters
    ----------
    embeddings : Tensor, shape (batch, size)
    targets : Tensor, shape (batch, n_labels)
    temperature : float

    Returns
    -------
    Tensor, scalar
        The mean over anchors that have a positive; 0, with a gradient of 0, where none has.
    """
    own = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    logits = ((1 - distances(embeddings)) / temperature).masked_fill(own, -torch.inf)
    alike = (1 - distances(targets.to(logits.dtype)).detach()).clamp_min(0).masked_fill(own, 0)
    anchors = alike.sum(dim=1) > 0
    if not anchors.any():
        return embeddings.sum() * 0
    log_p = logits[anchors].log_softmax(dim=1).masked_fill(own[anchors], 0)
    return -((alike[anchors] * log_p).sum(dim=1) / alike[anchors].sum(dim=1)).mean()


def batch_hard_triplet(embeddings: Tensor, targets: Tensor, margin: float = 0.2) -> Tensor:
    """Return the mean over anchors of [farthest positive - nearest negative + margin]_+.

    Hermans et al., "In defense of the triplet loss for person re-identification" (2017), equation 5, by the Euclidean
    distance of embeddings of length one. Positives have the same labels, negatives share none.

    Parameters
    ----------
    embeddings : Tensor, shape (batch, size)
    targets : Tensor, shape (batch, n_labels)
    margin : float

    Returns
    -------
    Tensor, scalar
        The mean over anchors that have both; 0, with a gradient of 0, where none has.
    """
    # 1e-8 under the root: its gradient is finite where two embeddings are the same.
    distance = (2 * distances(embeddings).clamp_min(0) + 1e-8).sqrt()
    apart = distances(targets.to(distance.dtype))
    own = torch.eye(len(distance), dtype=torch.bool, device=distance.device)
    same, different = (apart < SAME_LABEL) & ~own, apart > 1 - SAME_LABEL
    anchors = same.any(dim=1) & different.any(dim=1)
    if not anchors.any():
        return embeddings.sum() * 0
    farthest = distance[anchors].masked_fill(~same[anchors], -torch.inf).amax(dim=1)
    nearest = distance[anchors].masked_fill(~different[anchors], torch.inf).amin(dim=1)
    return torch.relu(farthest - nearest + margin).mean()

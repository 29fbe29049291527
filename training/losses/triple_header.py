"""Cross-entropy over the clusters of imbalanced classes.

The triple-header cross entropy for imbalanced acoustic event detection (2019), equations 4 to 9: the own cluster, the
other clusters of its class and those of other classes stand in one softmax with different margins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import where

if TYPE_CHECKING:
    from torch import Tensor


def triple_header(
    activations: Tensor,
    clusters: Tensor,
    class_of: Tensor,
    same_margin: float = 0.0,
    other_margin: float = 5.0,
) -> Tensor:
    """Return the mean over the batch of -log v, weighted so that every class counts alike.

    v is the softmax of the activations plus margins: 0 for the own cluster, ``same_margin`` for others of its class,
    ``other_margin`` for those of other classes (equations 5 to 7). The weight of a clip is 1 / number of clusters of
    its class (equations 8 and 9), and the sum is divided by the sum of weights. An empty batch gives 0.

    Parameters
    ----------
    activations : Tensor, shape (batch, n_clusters)
        Scaled cosines alpha * h, as of a dense layer without offset on unit embeddings.
    clusters : Tensor, shape (batch,), int64
        The cluster of each clip.
    class_of : Tensor, shape (n_clusters,), int64
        The class of each cluster.
    same_margin, other_margin : float
        beta and beta' of the paper.
    """
    if not len(activations):
        return activations.sum()
    own_class = class_of[clusters]
    same = class_of[None, :] == own_class[:, None]
    margin = where(same, same_margin, other_margin).to(activations.dtype)
    margin = margin.scatter(1, clusters[:, None], 0.0)
    log_v = (activations + margin).log_softmax(dim=1).gather(1, clusters[:, None])[:, 0]
    weight = 1 / same.sum(dim=1).to(activations.dtype)
    return -(weight * log_v).sum() / weight.sum()

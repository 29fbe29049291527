"""The losses on embeddings by name, to be added to the loss of any recipe: ``--embedding-loss=add``.

Each is ``training.losses.angular``'s or ``training.losses.contrastive``'s, over the whole batch. Targets are label
indices, or one row of label shares per clip; the second kind, which mixing makes, only some of the losses are defined
for (``SOFT``). Of these ``add`` has a term that lets networks which start from nothing put all distances to one
(docs/papers/angular.md): take ``add_pooled``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.losses.angular import (
    angular_distance_distribution,
    orthogonal_projection,
    soft_angular_distance_distribution,
)
from training.losses.contrastive import batch_hard_triplet, supervised_contrastive

if TYPE_CHECKING:
    from torch import Tensor

# add is the paper's, of hard and of soft labels; add_plain and add_pooled are the two forms of its code; opl is as its
# authors have it, opl_scaled as the code of add compares with it; supcon and batch_hard are yardsticks.
EMBEDDING_LOSSES = ("none", "add", "add_plain", "add_pooled", "opl", "opl_scaled", "supcon", "batch_hard")
SOFT = ("none", "add", "add_pooled", "supcon", "batch_hard")


def embedding_loss(
    name: str,
    embeddings: Tensor,
    targets: Tensor,
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
) -> Tensor:
    """Return one of ``EMBEDDING_LOSSES`` over a batch; 0 for "none".

    Parameters
    ----------
    name : str
    embeddings : Tensor, shape (batch, size)
    targets : Tensor, shape (batch,), int64, or (batch, n_labels)
        Shares of labels, of any sum. Rows without a label say nothing of how far apart clips are, and are left out.
    weights : tuple of float
        Of the terms of "add" and "add_plain"; the first two are those of soft labels.

    Raises
    ------
    ValueError
        For a name that is none of them, and for shares of labels where the loss needs one label per clip.
    """
    if name not in EMBEDDING_LOSSES:
        raise ValueError(f"expected one of the losses {', '.join(EMBEDDING_LOSSES)}, got {name!r}; choose one of them")
    if name == "none":
        return embeddings.new_zeros(())
    if targets.ndim == 1:
        return _of_labels(name, embeddings, targets, weights)
    if name not in SOFT:
        raise ValueError(f"expected one label per clip for {name}, got shares of labels; give indices, or use add")
    labelled = targets.sum(dim=1) > 0
    embeddings, targets = embeddings[labelled], targets[labelled]
    return _of_shares(name, embeddings, targets, weights)


def _of_shares(name: str, embeddings: Tensor, targets: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    if name == "add":
        return soft_angular_distance_distribution(embeddings, targets, weights[:2])
    if name == "supcon":
        return supervised_contrastive(embeddings, targets)
    if name == "batch_hard":
        return batch_hard_triplet(embeddings, targets)
    return soft_angular_distance_distribution(embeddings, targets, (1.0, 0.0), count_diagonal=True)


def _of_labels(name: str, embeddings: Tensor, labels: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    if name == "add":
        return angular_distance_distribution(embeddings, labels, weights)
    if name == "add_plain":
        return angular_distance_distribution(embeddings, labels, weights, "plain")
    if name == "opl":
        return orthogonal_projection(embeddings, labels)
    if name == "opl_scaled":
        return 0.1 * orthogonal_projection(embeddings, labels, 2.0, absolute=True)
    return _of_shares(name, embeddings, (labels[:, None] == labels.unique()).to(embeddings.dtype), weights)

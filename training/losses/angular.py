"""Losses on the angular distances of a batch.

Almudevar et al., "Angular distance distribution loss for audio classification" (2024), equations 3 to 6, and two forms
of its published code; Ranasinghe et al., "Orthogonal projection loss" (2021). All are means over pairs, gradients flow
into both embeddings of a pair, and a batch without the pairs that a term needs gives 0 for this term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# Under the root of a standard deviation, whose gradient has no end at zero.
VARIANCE_FLOOR = 1e-12
# Soft labels closer than this are of one class.
SAME_LABEL = 1e-3


def pair_distances(vectors: Tensor) -> Tensor:
    """Return 1 - cos of each pair i < j of ``vectors`` (batch, size), shape (batch * (batch - 1) / 2,)."""
    unit = functional.normalize(vectors, dim=1)
    one, other = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    return 1 - (unit[one] * unit[other]).sum(dim=1)


def angular_distance_distribution(
    embeddings: Tensor,
    labels: Tensor,
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0),
    moments: Literal["squared", "plain"] = "squared",
) -> Tensor:
    """Return the weighted sum of mean and deviation of positive and of negative pairs (equation 5).

    Parameters
    ----------
    embeddings : Tensor, shape (batch, size)
    labels : Tensor, shape (batch,), int64
    weights : tuple of float
        Of the positive pairs' mean and standard deviation, then of the negative pairs'.
    moments : "squared" or "plain"
        "squared" is the paper: moments of d^2 and (1 - d)^2. "plain" is the older published code: the square of the
        mean of d and of 1 - mean d, and the deviation of d itself.
    """
    distance = pair_distances(embeddings)
    one, other = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same = labels[one] == labels[other]
    if moments == "squared":
        terms = (*_moments(distance[same].square()), *_moments((1 - distance[~same]).square()))
    else:
        (near, near_std), (far, far_std) = _moments(distance[same]), _moments(distance[~same])
        # Without negative pairs there is no mean to be away from 1.
        apart = (1 - far).square() if bool((~same).any()) else far
        terms = (near.square(), near_std, apart, far_std)
    return sum((weight * term for weight, term in zip(weights, terms, strict=True)), embeddings.new_zeros(()))


def soft_angular_distance_distribution(
    embeddings: Tensor, targets: Tensor, weights: tuple[float, float] = (1.0, 1.0), *, count_diagonal: bool = False
) -> Tensor:
    """Return the loss for soft labels (equation 6): distances of embeddings are to be those of their labels.

    Parameters
    ----------
    embeddings : Tensor, shape (batch, size)
    targets : Tensor, shape (batch, n_labels)
        Scaled to unit length first, so that equal labels are at distance 0 when they are mixed, too.
    weights : tuple of float
        Of the mean squared difference, and of the standard deviation of the squared distances of pairs whose labels
        are the same.
    count_diagonal : bool
        Divide by batch^2 and not batch * (batch - 1), as the newer published code does, which has no second term
        either: ``weights=(1.0, 0.0)``.
    """
    distance, wanted = pair_distances(embeddings), pair_distances(targets)
    difference, _ = _moments((distance - wanted).square())
    share = (len(embeddings) - 1) / len(embeddings) if count_diagonal and len(embeddings) else 1.0
    _, deviation = _moments(distance[wanted < SAME_LABEL].square())
    return weights[0] * share * difference + weights[1] * deviation


def orthogonal_projection(embeddings: Tensor, labels: Tensor, gamma: float = 0.5, *, absolute: bool = False) -> Tensor:
    """Return (1 - mean cosine of positive pairs) + gamma * mean cosine of negative pairs.

    Parameters
    ----------
    embeddings : Tensor, shape (batch, size)
    labels : Tensor, shape (batch,), int64
    gamma : float
        0.5 as its authors have it. The code of the angular loss compares with 2 and ``absolute``, and weighs the whole
        by 0.1.
    absolute : bool
        Of the negative pairs' cosines: opposition is then no better than likeness.
    """
    cosine = 1 - pair_distances(embeddings)
    one, other = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same = labels[one] == labels[other]
    near, _ = _moments(1 - cosine[same])
    far, _ = _moments(cosine[~same].abs() if absolute else cosine[~same])
    return near + gamma * far


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the mean over the batch of -(1 - p)^gamma log p, p the score of the true label.

    Lin et al., "Focal loss for dense object detection" (2017), equation 4; gamma 0 is cross-entropy.
    """
    log_p = logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
    # 1 - p from the logarithm: exact where p is nearly 1.
    return -((-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny) ** gamma * log_p).mean()


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of n - 1; 0, with a zero gradient, where there are too few values."""
    nothing = values.sum() * 0
    mean = values.mean() if len(values) else nothing
    deviation = (values.var() + VARIANCE_FLOOR).sqrt() if len(values) > 1 else nothing
    return mean, deviation

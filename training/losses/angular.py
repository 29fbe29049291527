"""Losses on the angular distances of a batch.

Almudevar et al., "Angular distance distribution loss for audio classification" (2024), equations 3 to 6, and two forms
of its published code; Ranasinghe et al., "Orthogonal projection loss" (2021). All are means over the ordered pairs of
the whole batch, gradients flow into both embeddings of a pair, and a batch without the pairs that a term needs gives 0
for this term. Everything is computed in float32 at least, also under autocast, without waiting for the device; the
gradient is finite for every batch, that of a row of zeros, which has no direction, is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Under the root of a standard deviation, whose gradient has no end at zero.
VARIANCE_FLOOR = 1e-12
# Soft labels closer than this are of one class.
SAME_LABEL = 1e-3
# Rows shorter than this have no direction: the gradient of a direction is one over the length, which float16 cannot
# hold far below 1e-4.
LEAST_LENGTH = {torch.float16: 1e-4}


def distances(vectors: Tensor) -> Tensor:
    """Return 1 - cos of each two rows of ``vectors`` (batch, size): shape (batch, batch), float32 or float64."""
    least = LEAST_LENGTH.get(vectors.dtype, 1e-12)
    with torch.autocast(vectors.device.type, enabled=False):
        rows = vectors if vectors.dtype == torch.float64 else vectors.float()
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        unit = torch.where(length > least, rows / length.clamp_min(least), 0)
        return 1 - unit @ unit.T


def angular_moments(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean and deviation of d^2 over the positive pairs, then of (1 - d)^2 over the negative (equation 4).

    Parameters
    ----------
    embeddings : Tensor, shape (batch, size)
    labels : Tensor, shape (batch,), int64
    """
    distance = distances(embeddings)
    same, different = pairs(labels)
    return (*_moments(distance.square(), same), *_moments((1 - distance).square(), different))


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
    if moments == "squared":
        terms = angular_moments(embeddings, labels)
    else:
        distance = distances(embeddings)
        same, different = pairs(labels)
        near, near_std = _moments(distance, same)
        # 1 - mean d is the mean of 1 - d, which without negative pairs is 0.
        apart, apart_std = _moments(1 - distance, different)
        terms = (near.square(), near_std, apart.square(), apart_std)
    return sum((weight * term for weight, term in zip(weights, terms, strict=True)), terms[0].new_zeros(()))


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
    distance, wanted = distances(embeddings), distances(targets.to(embeddings.dtype)).detach()
    others = ~torch.eye(len(wanted), dtype=torch.bool, device=wanted.device)
    difference, _ = _moments((distance - wanted).square(), others)
    share = (len(embeddings) - 1) / len(embeddings) if count_diagonal and len(embeddings) else 1.0
    _, deviation = _moments(distance.square(), others & (wanted < SAME_LABEL))
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
    distance = distances(embeddings)
    same, different = pairs(labels)
    near, _ = _moments(distance, same)
    cosine = 1 - distance
    far, _ = _moments(cosine.abs() if absolute else cosine, different)
    return near + gamma * far


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the mean over the batch of -(1 - p)^gamma log p, p the score of the true label.

    Lin et al., "Focal loss for dense object detection" (2017), equation 4; gamma 0 is cross-entropy.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits if logits.dtype == torch.float64 else logits.float()
        log_p = logits.log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
        # 1 - p from the logarithm: exact where p is nearly 1.
        return -((-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny) ** gamma * log_p).mean()


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return which ordered pairs of a batch share their label, and which do not: two masks (batch, batch)."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same


def _moments(values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of n - 1 over the ordered pairs of a symmetric matrix that are chosen.

    Both are 0, with a zero gradient, where there are too few: no pair for the mean, one pair, which counts twice, for
    the deviation.
    """
    n = chosen.sum()
    mean = torch.where(chosen, values, 0).sum() / n.clamp_min(1)
    squares = torch.where(chosen, (values - mean).square(), 0).sum()
    deviation = (squares / (n - 1).clamp_min(1) + VARIANCE_FLOOR).sqrt()
    return mean, torch.where(n > 2, deviation, 0)

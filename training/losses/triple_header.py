"""Triple-header cross entropy and the class-weighted cross entropy of its detector.

Source
    "Triple-header cross entropy" for imbalanced acoustic event detection (ICASSP 2019), section 2. Each class is split
    into clusters; a sample must be nearer to its own cluster than to the other clusters of its class, and nearer to
    those than to clusters of other classes (equation 3).

The equations of the three-way margin are read as additive (``reading="A"``): with outputs h, the own cluster k and the
classes c, the loss of a sample is

    log(1 + sum over same-class k' of exp(h_k' - h_k + beta) + sum over other classes of exp(h_k' - h_k + beta'))

(equations 5 to 8). The other readings are there for comparison:

B   multiplies: beta and beta' are factors of the two sums. With beta = 0 nothing separates clusters of one class.
C   adds the margins to the cosines, inside the scale. Cosines differ by two at most, so a margin of 5 is never met.
D   lowers the own output by beta'; same-class and other clusters are alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

READINGS = ("A", "B", "C", "D")


def triple_header(
    outputs: Tensor,
    own: Tensor,
    cluster_class: Tensor,
    *,
    same_margin: float = 0.0,
    other_margin: float = 5.0,
    reading: str = "A",
    scale: Tensor | float = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the weighted mean loss of a batch, in O(batch x n_clusters).

    Parameters
    ----------
    outputs : Tensor, shape (batch, n_clusters)
        Products of embeddings of length one and the columns of the head: scale times cosine.
    own : Tensor, shape (batch,), int64
        The cluster of each sample.
    cluster_class : Tensor, shape (n_clusters,), int64
        The class that each cluster belongs to.
    same_margin, other_margin : float
        beta and beta': for the other clusters of the class, and for those of other classes.
    reading : {"A", "B", "C", "D"}
        See the module's introduction.
    scale : Tensor, shape (n_clusters,), or float
        Lengths of the head's columns; used by reading C only.
    weights : Tensor, shape (n_clusters,), or None
        Of the samples of each cluster. None is 1 / (number of clusters of the class), which gives all classes the same
        sum where clusters have equal sizes (equation 9).

    Returns
    -------
    Tensor, shape ()
        The sum of weighted losses over the sum of weights. Gradients flow to `outputs` and `scale`. An empty batch
        gives 0.
    """
    same = cluster_class[own][:, None] == cluster_class
    at_own = torch.zeros_like(same).scatter_(1, own[:, None], value=True)
    if weights is None:
        weights = 1.0 / (cluster_class[:, None] == cluster_class).sum(dim=1).to(outputs.dtype)
    margins = torch.where(same, outputs.new_tensor(same_margin), other_margin).masked_fill(at_own, 0.0)
    if reading == "B":
        margins = margins.masked_fill(at_own, 1.0).log()
    elif reading == "C":
        margins = margins * scale
    elif reading == "D":
        margins = torch.full_like(margins, other_margin).masked_fill(at_own, 0.0)
    losses = functional.cross_entropy(outputs + margins, own, reduction="none")
    of_samples = weights[own]
    return (of_samples * losses).sum() / of_samples.sum().clamp_min(torch.finfo(outputs.dtype).tiny)


def positive_weights(targets: Tensor) -> Tensor:
    """Return each event's number of samples without it over those with it, shape (n_events,); 1 where none has it.

    Proportional to one over the number of positives, as the paper's w_l; the scale makes both sides weigh the same.

    Parameters
    ----------
    targets : Tensor, shape (n_samples, n_events)
        Zeros and ones.
    """
    positives = targets.sum(dim=0)
    return torch.where(positives > 0, (len(targets) - positives) / positives.clamp_min(1), 1.0)


def weighted_bce(logits: Tensor, targets: Tensor, weights: Tensor, *, gamma: float = 0.0) -> Tensor:
    """Return the binary cross entropy with weights on the positives (L_wbin), the mean over batch and events.

    Parameters
    ----------
    logits, targets : Tensor, shape (batch, n_events)
    weights : Tensor, shape (n_events,)
        Of positive entries; negative ones have weight one.
    gamma : float
        Above zero, each entry is also weighted by (1 - p)^gamma, p the probability of its true value (Lin et al.,
        "Focal Loss for Dense Object Detection", 2017, equation 4).
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
    if gamma:
        wrong = torch.where(targets > 0.5, -logits, logits).sigmoid()
        losses = losses * wrong**gamma
    return losses.sum() / max(losses.numel(), 1)

"""Losses of a ranker of queries and references: pair by pair, by triplets, and against the rest of the batch.

Source
    M. Margolis, J. Ghei, B. Pardo, "Applying triplet loss to Siamese-style networks for audio similarity ranking",
    DCASE 2018: ``pairwise`` and ``triplet``. A. van den Oord, Y. Li, O. Vinyals, "Representation learning with
    contrastive predictive coding", arXiv:1807.03748, equation 4: ``in_batch``. P. Khosla et al., "Supervised
    contrastive learning", arXiv:2004.11362, equation 2: ``all_in_batch``.

All are means over the batch, take logits, and send gradients through everything they are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def pairwise(logits: Tensor, is_target: Tensor) -> Tensor:
    """Return the binary cross entropy of similarities, a scalar.

    Parameters
    ----------
    logits : Tensor, shape (batch,)
        Of the similarity of a query and a reference.
    is_target : Tensor of bool, shape (batch,)
        Whether the reference is the one recording that the query means, not merely one of its class.
    """
    _batch(logits, is_target)
    return functional.binary_cross_entropy_with_logits(logits, is_target.to(logits.dtype))


def triplet(logits: Tensor, is_first: Tensor) -> Tensor:
    """Return the binary cross entropy of which of two references is meant, a scalar.

    Parameters
    ----------
    logits : Tensor, shape (batch,)
        50 s(query, first) - 50 s(query, second), as ``TripletComparison`` gives them. Behind a sigmoid in float32 the
        gradient of a triplet that is wrong by a third would be zero.
    is_first : Tensor of bool, shape (batch,)
    """
    _batch(logits, is_first)
    return functional.binary_cross_entropy_with_logits(logits, is_first.to(logits.dtype))


def in_batch(logits: Tensor, fits: Tensor) -> Tensor:
    """Return the cross entropy of each query's target among the targets of the whole batch, a scalar.

    Parameters
    ----------
    logits : Tensor, shape (batch, batch)
        Of query i and the target of query j.
    fits : Tensor of bool, shape (batch, batch)
        Whether query i means the target of query j too, as it does its own. Such a column counts neither for nor
        against it.
    """
    n = len(logits)
    if not n or logits.shape != (n, n) or fits.shape != (n, n):
        raise ValueError(
            f"expected logits and fits (batch, batch) of a batch that is not empty, got {tuple(logits.shape)} and "
            f"{tuple(fits.shape)}"
        )
    again = fits.to(logits.device) & ~torch.eye(n, dtype=torch.bool, device=logits.device)
    return functional.cross_entropy(logits.masked_fill(again, -torch.inf), torch.arange(n, device=logits.device))


def all_in_batch(logits: Tensor, fits: Tensor) -> Tensor:
    """Return the same where every reference of the batch that a query means is a target of it, a scalar.

    The mean over them of their cross entropies: the supervised contrastive loss of two encoders.

    Parameters
    ----------
    logits : Tensor, shape (n_queries, n_references)
    fits : Tensor of bool, shape (n_queries, n_references)
        At least one in each row.
    """
    if not logits.numel() or logits.shape != fits.shape or logits.ndim != 2 or not fits.any(dim=1).all():
        raise ValueError(
            f"expected logits and fits (n_queries, n_references), a reference for each query, got "
            f"{tuple(logits.shape)} and {tuple(fits.shape)}"
        )
    wanted = fits.to(logits.device, logits.dtype)
    return -((logits.log_softmax(dim=1) * wanted).sum(dim=1) / wanted.sum(dim=1)).mean()


def _batch(logits: Tensor, answers: Tensor) -> None:
    if logits.ndim != 1 or logits.shape != answers.shape or not len(logits):
        raise ValueError(
            f"expected logits and answers (batch,) of a batch that is not empty, got {tuple(logits.shape)} and "
            f"{tuple(answers.shape)}"
        )

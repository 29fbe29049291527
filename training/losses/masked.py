"""Losses over the known entries of partly labelled clips (Gururani and Lerch 2021, section III)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def masked_bce(scores: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """Return the binary cross entropy, the mean over all entries of the batch that count.

    Over entries, not over clips or labels: a clip with one known label weighs less than one with ten.

    Parameters
    ----------
    scores : Tensor, shape (batch, n_labels)
        From 0 to 1.
    targets : Tensor, shape (batch, n_labels)
        0 and 1; not read where nothing counts.
    counted : Tensor of bool, shape (batch, n_labels)

    Returns
    -------
    Tensor, scalar
        0, with a gradient of 0, where no entry counts.
    """
    chosen = scores[counted]
    loss = nn.functional.binary_cross_entropy(chosen, targets[counted].to(scores.dtype), reduction="sum")
    return loss / max(1, chosen.numel())


def consistency(scores: Tensor, of_teacher: Tensor) -> Tensor:
    """Return the mean squared difference of two networks' scores over all entries, known or not.

    No gradient flows into the teacher.
    """
    return torch.mean((scores - of_teacher.detach()) ** 2)

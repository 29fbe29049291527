"""The triplet loss (Turpault et al. 2019, section 2.1; Schroff et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor


def triplet_loss(
    anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float = 1.0, *, squared: bool = True
) -> Tensor:
    """Return the mean over triplets of [d(a, p) - d(a, n) + margin]_+.

    Parameters
    ----------
    anchors, positives, negatives : Tensor, shape (n_triplets, size)
        Embeddings as they are: the paper normalises nothing. Gradients flow into all three; detach two of them for the
        variant that trains by the anchor only.
    margin : float
        delta of the paper, 1.
    squared : bool
        Whether d is the squared Euclidean distance, or its root, with 1e-8 under the root so that its gradient is
        finite where two embeddings are the same.

    Returns
    -------
    Tensor, scalar
        0 for no triplets, with a gradient of 0.
    """
    near = ((anchors - positives) ** 2).sum(dim=1)
    far = ((anchors - negatives) ** 2).sum(dim=1)
    if not squared:
        near, far = (near + 1e-8).sqrt(), (far + 1e-8).sqrt()
    return torch.relu(near - far + margin).sum() / max(1, len(anchors))

"""Embedding and scores fitted anew, on clips as they are, to what a network has learnt from clips that were changed.

What is learnt from crops that are mixed, cut, masked and buried in noise is a good space and not the best use of it:
in it, directions in which clips of one label differ are as long as those that tell labels apart. Here each direction is
shortened by the deviation within labels (A. O. Hatch, S. Kajarekar and A. Stolcke, "Within-class covariance
normalization for SVM-based speaker recognition", Interspeech 2006, with the smoothing of its section 3), and one
logistic regression for each label is fitted to the directions of the result, sounds of no label beside the clips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from training.features import window_steps
from training.networks.discriminant import DiscriminantTagger

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from engine import FrontendConfig
    from training.networks.residual import FrameTagger
    from training.taggers.examples import Examples


def discriminant(
    network: FrameTagger,
    clips: Examples,
    others: Examples | None,
    frontend: FrontendConfig,
    *,
    n_frames: int,
    shrinkage: float,
    penalty: float,
) -> DiscriminantTagger:
    """Return a trained network with the two layers behind its embedding.

    Parameters
    ----------
    network : FrameTagger
    clips : Examples
        What it was trained on; those of the same labels are kept together.
    others : Examples or None
        Sounds of no label.
    frontend : FrontendConfig
        With the statistics of its training.
    n_frames : int
        Of the window that the tagger will hear: clips are heard with the silence behind them that fills it.
    shrinkage, penalty : float
        See ``whitening`` and ``logistic_regressions``.
    """
    made = DiscriminantTagger(network, clips.targets.shape[1])
    shown = clips if others is None else clips.and_also(others)
    _, classes = torch.unique(clips.targets, dim=0, return_inverse=True)
    set_linear(made.whiten, *whitening(embedded(network, clips, frontend, n_frames), classes.numpy(), shrinkage))
    scored = embedded(made, shown, frontend, n_frames)
    fitted = logistic_regressions(scored, shown.targets.numpy(), penalty)
    for layer in (made.classify[0], made.classify_steps):
        set_linear(layer, *fitted)
    return made


def embedded(network: nn.Module, clips: Examples, frontend: FrontendConfig, n_frames: int) -> NDArray[np.float64]:
    """Return the embeddings of clips in windows of so many frames, in evaluation mode, shape (n_clips, embedding_size).

    Silence fills a window, and what is beyond it is not heard.
    """
    missing = n_frames - clips.features.power.shape[1]
    network.eval()
    with torch.no_grad():
        parts = [
            network(window_steps(functional.pad(power, (0, 0, 0, missing)), frontend))[1]
            for power in clips.features.power.split(64)
        ]
    vectors: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return vectors


def whitening(
    embeddings: NDArray[np.float64], classes: NDArray[np.int64], shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights and offsets after which a class has unit covariance, and all embeddings the mean zero.

    Parameters
    ----------
    embeddings : ndarray, shape (n, size)
    classes : ndarray, shape (n,)
        From 0 on, without gaps.
    shrinkage : float
        How many times the mean variance is added to the variance of each direction: those of few clips are not known
        well.

    Returns
    -------
    weight : ndarray, shape (size, size)
        For ``weight @ embedding + offset``.
    offset : ndarray, shape (size,)
    """
    size = embeddings.shape[1]
    means = np.stack([embeddings[classes == c].mean(axis=0) for c in range(int(classes.max()) + 1)])
    within = embeddings - means[classes]
    covariance = within.T @ within / len(within)
    # Where each class has a single clip nothing is known of any direction, and all stay alike.
    covariance += shrinkage * (np.trace(covariance) / size or 1.0) * np.eye(size)
    variances, directions = np.linalg.eigh(covariance)
    weight = (directions / np.sqrt(variances)).T
    return weight, -weight @ embeddings.mean(axis=0)


def logistic_regressions(
    embeddings: NDArray[np.float64], targets: NDArray[np.floating], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights and offsets of a logistic regression for each label.

    Parameters
    ----------
    embeddings : ndarray, shape (n, size)
    targets : ndarray of 0 and 1, shape (n, n_labels)
    penalty : float
        Of half the squared length of each label's weights, beside the summed cross entropy.

    Returns
    -------
    weight : ndarray, shape (n_labels, size)
    offset : ndarray, shape (n_labels,)
    """
    from scipy.optimize import minimize

    size, n_labels = embeddings.shape[1], targets.shape[1]
    wide = np.concatenate([embeddings, np.ones((len(embeddings), 1))], axis=1)
    penalised = np.append(np.full(size, penalty), 0.0)

    def cost(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = values.reshape(n_labels, size + 1)
        logits = wide @ weights.T
        value = (np.logaddexp(0, logits) - targets * logits).sum() + (penalised * weights**2).sum() / 2
        slope = (1 / (1 + np.exp(-logits)) - targets).T @ wide + penalised * weights
        return float(value), slope.ravel()

    found = minimize(cost, np.zeros(n_labels * (size + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    weights = found.x.reshape(n_labels, size + 1)
    return weights[:, :-1], weights[:, -1]


def set_linear(layer: nn.Module, weight: NDArray[np.float64], offset: NDArray[np.float64]) -> None:
    """Give a linear layer its weights and offsets."""
    layer.load_state_dict({"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(offset).float()})

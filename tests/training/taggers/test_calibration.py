"""Calibration: it undoes what was done to the logits, and the network gives what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.taggers.calibration import Calibration, calibrate, cross_fitted


def drawn(*, softmax: bool, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of five labels, and truth drawn from just these logits (sigmoids: of those with one label alone)."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (n, 5))
    if softmax:
        powers = np.exp(logits)
        truth = np.array([generator.choice(5, p=row) for row in powers / powers.sum(1, keepdims=True)])
        return logits, truth
    present = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
    alone = present.sum(1) == 1
    return logits[alone], present[alone].argmax(1)


def test_a_softmax_that_is_too_sure_is_cooled() -> None:
    logits, truth = drawn(softmax=True)
    sharp = torch.from_numpy(3 * logits).softmax(1).numpy()
    found = calibrate(sharp, truth, softmax=True)
    assert found.scale == pytest.approx(1 / 3, rel=0.06)
    assert found.offset == 0
    np.testing.assert_allclose(
        found.scores(sharp, softmax=True), torch.from_numpy(3 * found.scale * logits).softmax(1).numpy(), atol=1e-6
    )


def test_sigmoids_get_the_least_cross_entropy() -> None:
    logits, truth = drawn(softmax=False)
    scores = 1 / (1 + np.exp(-(0.5 * logits - 1)))
    found = calibrate(scores, truth, softmax=False)
    wanted = np.eye(5)[truth]

    def cost(scale: float, offset: float) -> float:
        raised = scale * (0.5 * logits - 1) + offset
        return float((np.logaddexp(0, raised) - wanted * raised).sum())

    best = cost(found.scale, found.offset)
    assert all(best <= cost(found.scale * a, found.offset + b) for a in (0.98, 1, 1.02) for b in (-0.02, 0, 0.02))


def test_a_layer_with_the_calibration_gives_calibrated_scores() -> None:
    torch.manual_seed(0)
    layer, given = nn.Linear(6, 3), torch.randn(10, 6)
    with torch.no_grad():
        before = layer(given).sigmoid().numpy()
        Calibration(0.7, -0.3).into(layer)
        after = layer(given).sigmoid().numpy()
    np.testing.assert_allclose(after, Calibration(0.7, -0.3).scores(before, softmax=False), atol=1e-5)


def test_a_fold_is_calibrated_by_the_others_of_its_seed() -> None:
    logits, truth = drawn(softmax=True, n=300)
    scores = torch.from_numpy(2 * logits).softmax(1).numpy()
    done = {
        f"seed{seed}-fold{fold}": {"scores": scores[part].tolist(), "truth": truth[part].tolist()}
        for seed, fold, part in (
            (0, 1, slice(0, 100)),
            (0, 2, slice(100, 200)),
            (1, 1, slice(200, 300)),
            (1, 2, slice(0, 9)),
        )
    }
    made = cross_fitted(done, softmax=True)
    assert made["seed0-fold1"] == calibrate(scores[100:200], truth[100:200], softmax=True)
    assert made["seed1-fold2"] == calibrate(scores[200:300], truth[200:300], softmax=True)

"""The attention tagger: the paper's sizes, and what the attention can and cannot change."""

from __future__ import annotations

import pytest
import torch

from training.networks.attention import AttentionTagger


def test_openmic_has_55336_parameters():
    network = AttentionTagger(128, 20)
    assert sum(parameter.numel() for parameter in network.parameters()) == 55_336
    assert network(torch.zeros(2, 10, 128)).shape == (2, 20)


def test_constant_scores_are_their_own_mean_whatever_the_attention():
    network = AttentionTagger(6, 3).eval()
    torch.nn.init.zeros_(network.classify.weight)
    torch.nn.init.constant_(network.classify.bias, 0.7)
    scores = network(torch.randn(4, 9, 6) * 50)
    torch.testing.assert_close(scores, torch.full((4, 3), 0.7).sigmoid())


def test_the_definition_of_the_paper():
    """Sum of attention times score over the sum of attention, with sigmoids limited to 1e-7 from either end."""
    torch.manual_seed(0)
    network = AttentionTagger(6, 3, n_layers=2).double().eval()
    embeddings = torch.randn(4, 9, 6, dtype=torch.float64)
    steps = embeddings.transpose(1, 2)
    features = network.layers(network.normalise(steps)) + steps
    attention = network.attend(features).sigmoid().clamp(1e-7, 1 - 1e-7)
    scores = network.classify(features).sigmoid()
    expected = (attention * scores).sum(dim=2) / attention.sum(dim=2)
    torch.testing.assert_close(network(embeddings), expected)
    weights, of_steps = network.over_time(embeddings)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(4, 3, dtype=torch.float64))
    torch.testing.assert_close(of_steps, scores)


@pytest.mark.parametrize("n_steps", [1, 3, 40])
def test_any_number_of_steps(n_steps):
    scores = AttentionTagger(6, 3).eval()(torch.randn(2, n_steps, 6) * 1e4)
    assert torch.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_weights_begin_in_the_papers_range():
    weights = AttentionTagger(128, 20).attend.weight
    bound = (2 / 128) ** 0.5 * 3**0.5
    largest = weights.detach().abs().max().item()
    assert 0.95 * bound < largest <= bound * (1 + 1e-6)

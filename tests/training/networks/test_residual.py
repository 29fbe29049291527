"""The residual tagger: shapes at any length, its embedding, its size."""

from __future__ import annotations

import pytest
import torch

from training.networks.residual import ResidualTagger


@pytest.fixture
def network() -> ResidualTagger:
    torch.manual_seed(0)
    return ResidualTagger(n_labels=5, channels=(4, 8), embedding_size=16).eval()


@pytest.mark.parametrize("n_frames", [1, 2, 3, 37, 513])
def test_any_length_gives_logits_and_a_unit_embedding(network: ResidualTagger, n_frames: int) -> None:
    with torch.no_grad():
        logits, embedding = network(torch.randn(3, n_frames, 64))
    assert logits.shape == (3, 5)
    assert embedding.shape == (3, 16)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_a_clip_does_not_depend_on_its_neighbours(network: ResidualTagger) -> None:
    batch = torch.randn(4, 50, 64)
    with torch.no_grad():
        together, alone = network(batch), network(batch[2:3])
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[2:3], one, atol=1e-5, rtol=0)


def test_every_parameter_learns() -> None:
    network = ResidualTagger(n_labels=5, channels=(4, 8), embedding_size=16)
    logits, embedding = network(torch.randn(4, 30, 64))
    (logits.square().sum() + embedding[:, 0].sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_shipped_size() -> None:
    assert sum(parameter.numel() for parameter in ResidualTagger(n_labels=10).parameters()) == 323_154

"""The recurrent tagger: shapes at any length, its embedding, and that time matters."""

from __future__ import annotations

import pytest
import torch

from training.networks.crnn import RecurrentTagger


@pytest.mark.parametrize("n_frames", [1, 2, 5, 98])
def test_any_length_gives_logits_and_a_unit_embedding(n_frames: int) -> None:
    network = RecurrentTagger(n_labels=5, channels=(4, 8), embedding_size=16).eval()
    with torch.no_grad():
        logits, embedding = network(torch.randn(3, n_frames, 40))
    assert logits.shape == (3, 5)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_every_parameter_learns_and_the_order_of_time_counts() -> None:
    network = RecurrentTagger(n_labels=5, channels=(4, 8), embedding_size=16)
    log_mel = torch.randn(4, 30, 40)
    logits, embedding = network(log_mel)
    (logits.square().sum() + embedding[:, 0].sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
    network.eval()
    assert not torch.allclose(network(log_mel)[1], network(log_mel.flip(1))[1], atol=1e-3)

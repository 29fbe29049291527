"""The residual tagger: shapes at any length, its embedding, its size."""

from __future__ import annotations

import pytest
import torch

from training.networks.residual import FrameTagger, ResidualTagger


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


@pytest.mark.parametrize(("n_frames", "n_steps"), [(1, 1), (3, 1), (4, 1), (5, 2), (37, 10)])
def test_steps_cover_the_frames(n_frames: int, n_steps: int) -> None:
    network = FrameTagger(n_labels=5, channels=(4, 8), embedding_size=16).eval()
    with torch.no_grad():
        logits, embedding, steps = network(torch.randn(3, n_frames, 64))
    assert network.frames_per_step == 4
    assert logits.shape == (3, 5)
    assert steps.shape == (3, n_steps, 5)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_a_step_hears_what_is_near_it_alone() -> None:
    torch.manual_seed(0)
    network = FrameTagger(n_labels=5, channels=(4, 8), embedding_size=16).eval()
    quiet = torch.randn(1, 80, 64)
    loud = quiet.clone()
    loud[:, 60:64] += 3 * torch.randn(1, 4, 64)
    loud[:, 60:64] -= loud[:, 60:64].mean() - quiet[:, 60:64].mean()
    with torch.no_grad():
        change = (network(loud)[2] - network(quiet)[2]).abs().amax(dim=2)[0]
    # The mean over time, which every frame is compared with, moves a little everywhere.
    assert change[15:17].min() > 10 * change[:12].max()


def test_a_colour_that_stays_is_gone_from_the_second_view() -> None:
    torch.manual_seed(0)
    network = FrameTagger(n_labels=5, channels=(4, 8), embedding_size=16).eval()
    with torch.no_grad():
        network.stem[0][0].weight[:, 0] = 0  # the network that sees changes alone
        log_mel, colour = torch.randn(2, 40, 64), torch.randn(1, 1, 64)
        for plain, coloured in zip(network(log_mel), network(log_mel + colour), strict=True):
            torch.testing.assert_close(plain, coloured, atol=1e-4, rtol=0)


def test_embeddings_are_standardised_over_what_they_were_trained_on() -> None:
    torch.manual_seed(0)
    network = FrameTagger(n_labels=5, channels=(4, 8), embedding_size=16, dropout=0.0)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    given, seen = torch.randn(200, 30, 64), []
    network.standardise.register_forward_hook(lambda _module, _given, made: seen.append(made))
    with torch.no_grad():
        network(given)
        embedding = network.eval()(given)[1]
    assert seen[-1].mean(dim=0).abs().max() < 0.1
    assert (seen[-1].std(dim=0) - 1).abs().max() < 0.1
    torch.testing.assert_close(embedding, seen[-1] / seen[-1].norm(dim=1, keepdim=True))


def test_the_size_of_the_shipped_taggers() -> None:
    assert sum(parameter.numel() for parameter in FrameTagger(n_labels=10).parameters()) == 324_660

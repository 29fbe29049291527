"""The triple-header paper's networks: sizes, unit length, and what a head of centroids gives."""

from __future__ import annotations

import pytest
import torch

from training.networks.event_encoders import ClusterHead, CnnEncoder, Detector, LstmEncoder


@pytest.mark.parametrize(
    ("encoder", "frames", "size"),
    [
        (LstmEncoder(64), 1000, 128),
        (CnnEncoder(1000, 64), 1000, 512),
        (CnnEncoder(98, 64, pool_frames=(5, 9)), 98, 512),
    ],
)
def test_embeddings_lie_on_the_sphere(encoder, frames, size):
    assert encoder.embedding_size == size
    embedding = encoder.eval()(torch.randn(3, frames, 64, generator=torch.Generator().manual_seed(0)))
    assert embedding.shape == (3, size)
    assert embedding.norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: LstmEncoder(16, 8, **options),
        lambda **options: CnnEncoder(100, 16, pool_frames=(5, 10), pool_mels=2, dropout=0.0, **options),
    ],
    ids=["lstm", "cnn"],
)
def test_bfloat16_is_for_learning_alone(make):
    log_mel = torch.randn(8, 100, 16, generator=torch.Generator().manual_seed(0))
    found = {}
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        encoder = make(precision=precision)
        learning = encoder.train()(log_mel)
        learning[:, 0].sum().backward()
        assert {p.grad.dtype for p in encoder.parameters()} == {learning.dtype} == {torch.float32}
        for module in encoder.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
        found[precision] = learning.detach(), encoder.eval()(log_mel).detach()
    assert torch.equal(found["float32"][1], found["bfloat16"][1])
    assert not torch.equal(found["float32"][0], found["bfloat16"][0])
    torch.testing.assert_close(found["float32"][0], found["bfloat16"][0], atol=0.03, rtol=0)


def test_convolutions_see_every_frame():
    encoder = CnnEncoder(1000, 64).eval()
    log_mel = torch.randn(1, 1000, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    encoder(log_mel).abs().sum().backward()
    assert (log_mel.grad.abs().sum(dim=(0, 2)) > 0).float().mean() > 0.5
    assert log_mel.grad[0, 900:].abs().max() > 0


def test_relu_stands_before_normalisation_so_that_cosines_may_be_negative():
    embedding = CnnEncoder(100, 16, pool_frames=(5, 10), pool_mels=2)(torch.randn(8, 100, 16))
    assert embedding.min() < 0


def test_a_head_gives_scaled_cosines():
    centroids = torch.nn.functional.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    head = ClusterHead(centroids, scale=10.0)
    assert torch.allclose(head(centroids).diag(), torch.full((5,), 10.0))
    assert torch.allclose(head.scale, torch.full((5,), 10.0))


def test_a_detector_keeps_the_cluster_layer():
    encoder = LstmEncoder(16, 8)
    head = ClusterHead(torch.eye(4, 8), scale=10.0)
    logits, embedding = Detector(encoder, head, 3)(torch.randn(2, 20, 16))
    assert (logits.shape, embedding.shape) == ((2, 3), (2, 8))
    assert Detector(encoder, head, 3).detect.in_features == 4
    assert Detector(encoder, None, 3).detect.in_features == 8


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="none of 100 frames"):
        CnnEncoder(100, 64)

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.frontend import LogMel, preset
from training.networks.two_tower import (
    QUERY_FEATURES,
    REFERENCE_FEATURES,
    REFERENCE_KEPT,
    SimilarityHead,
    TripletComparison,
    TwoTower,
    standardised,
    tl_iminet,
)


def test_features_and_parameters_are_the_published_ones() -> None:
    network = tl_iminet()
    assert network.query(torch.randn(2, 482, 39)).shape == (2, 2640)
    assert network.reference(torch.randn(2, 173, 128)).shape == (2, 2400)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    affine = sum(parameter.numel() for layer in norms for parameter in layer.parameters())
    assert affine == 528
    assert sum(parameter.numel() for parameter in network.parameters()) - affine == 799_417
    assert {(layer.eps, layer.momentum) for layer in norms} == {(1e-3, 0.01)}


def test_layers_have_the_sizes_of_the_specification() -> None:
    sizes: list[tuple[int, ...]] = []
    network = tl_iminet()
    for tower in (network.query, network.reference):
        for layer in tower.layers:  # type: ignore[union-attr]
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                layer.register_forward_hook(lambda _layer, _given, made: sizes.append(tuple(made.shape[1:])))
    network(torch.randn(1, 482, 39), torch.randn(1, 173, 128))
    assert sizes == [
        *((48, 34, 477), (48, 17, 238), (48, 12, 233), (48, 6, 116), (48, 1, 111), (48, 1, 55)),
        *((24, 124, 124), (24, 62, 31), (48, 58, 27), (48, 29, 6), (48, 25, 2)),
    ]


def test_the_presets_give_what_the_towers_take() -> None:
    assert LogMel(preset("iminet_imitation"))(np.ones(64_000, np.float32) * 0.1).shape == (482, 39)
    assert LogMel(preset("iminet_reference"))(np.ones(176_400, np.float32) * 0.1).shape == (173, 128)


def test_the_reference_tower_looks_at_the_first_128_frames_and_normalises_those() -> None:
    tower = tl_iminet().reference.eval()
    log_mel = 20 * torch.randn(1, 173, 128) - 40
    other = log_mel.clone()
    other[:, REFERENCE_KEPT:] = 0
    with torch.no_grad():
        features = tower(log_mel)
        torch.testing.assert_close(tower(other), features, rtol=0, atol=0)
        torch.testing.assert_close(tower(0.5 * log_mel + 7), features, rtol=1e-4, atol=1e-4)
        other[:, REFERENCE_KEPT - 1] = 0
        assert (tower(other) - features).abs().max() > 1e-4


def test_standardised_is_what_numpy_says() -> None:
    spectrograms = 20 * torch.randn(3, 16, 8) - 60
    values = spectrograms.double().numpy().reshape(3, -1)
    expected = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    np.testing.assert_allclose(standardised(spectrograms).numpy().reshape(3, -1), expected, atol=1e-5)


@pytest.mark.parametrize("constant", [0.0, -80.0, 1 / 3])
def test_silence_is_guarded(constant: float) -> None:
    silent = torch.full((2, 173, 128), constant, requires_grad=True)
    assert standardised(silent).eq(0).all()
    features = tl_iminet().reference.eval()(silent)
    assert features.isfinite().all()
    features.sum().backward()  # type: ignore[no-untyped-call]
    assert silent.grad is not None
    assert silent.grad.isfinite().all()


def test_the_head_is_one_layer_over_both_embeddings() -> None:
    head = SimilarityHead()
    query, reference = torch.randn(5, QUERY_FEATURES), torch.randn(5, REFERENCE_FEATURES)
    with torch.no_grad():
        joined = torch.cat([query, reference], dim=1)
        expected = head.compare(torch.relu(head.join(joined)))[:, 0]
        torch.testing.assert_close(head(query, reference), expected, rtol=1e-5, atol=1e-5)
        alone = head(query[:1], reference)
        torch.testing.assert_close(alone[0], expected[0], rtol=1e-5, atol=1e-5)
    assert alone.shape == (5,)
    assert sum(parameter.numel() for parameter in head.parameters()) == 5040 * 108 + 108 + 108 + 1


def test_dropout_is_off_unless_asked_for() -> None:
    query, reference = torch.randn(2, QUERY_FEATURES), torch.randn(2, REFERENCE_FEATURES)
    plain, dropping = SimilarityHead(), SimilarityHead(dropout=0.2)
    assert torch.equal(plain(query, reference), plain(query, reference))
    assert not torch.equal(dropping(query, reference), dropping(query, reference))


class Given(nn.Module):
    """A head whose similarity is the reference itself."""

    def forward(self, _query: Tensor, reference: Tensor) -> Tensor:
        return reference.logit()


def comparison() -> TripletComparison:
    return TripletComparison(TwoTower(nn.Identity(), nn.Identity(), Given()))


def test_equal_similarities_are_even_odds() -> None:
    logits = comparison()(torch.zeros(2), torch.tensor([0.3, 0.9]), torch.tensor([0.3, 0.9]))
    assert logits.sigmoid().tolist() == [0.5, 0.5]


def test_a_badly_wrong_triplet_keeps_its_gradient() -> None:
    logit = comparison()(torch.zeros(1), torch.tensor([0.0]), torch.tensor([1.0])).requires_grad_()
    loss = functional.binary_cross_entropy_with_logits(logit, torch.ones(1))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 50.0
    assert logit.grad is not None
    assert logit.grad.item() == -1.0


def test_a_triplet_is_two_pairs_of_one_network() -> None:
    network = tl_iminet().eval()
    query, first, second = torch.randn(2, 482, 39), 20 * torch.randn(2, 173, 128), 20 * torch.randn(2, 173, 128)
    with torch.no_grad():
        logits = TripletComparison(network)(query, first, second)
        expected = 50 * network(query, first).sigmoid() - 50 * network(query, second).sigmoid()
    torch.testing.assert_close(logits, expected)


def test_no_optimiser_reaches_the_factors() -> None:
    network = tl_iminet()
    comparison = TripletComparison(network)
    assert len(list(comparison.parameters())) == len(list(network.parameters()))
    assert not comparison.factors.requires_grad

"""Cnn14: published names in, what the published description computes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from engine.errors import ModelError
from tests.training.checkpoints import cnn14_checkpoint, cnn14_weights
from training.networks.cnn14 import SHORTEST, Cnn14, load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def described(weights: dict[str, Tensor], log_mel: Tensor) -> tuple[Tensor, Tensor]:
    """Cnn14 as the paper's table II and text describe it, straight from the named weights."""

    def norm(name: str, maps: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{name}.{part}"].reshape(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (maps - mean) / (variance + 1e-5).sqrt() * scale + shift

    maps = norm("bn0", log_mel[:, None].transpose(1, 3)).transpose(1, 3)
    for number in range(1, 7):
        for layer in (1, 2):
            kernel = weights[f"conv_block{number}.conv{layer}.weight"]
            maps = norm(f"conv_block{number}.bn{layer}", functional.conv2d(maps, kernel, padding=1)).clamp(min=0)
        if number < 6:
            n_frames, n_mels = maps.shape[2] // 2 * 2, maps.shape[3] // 2 * 2
            maps = maps[:, :, :n_frames, :n_mels]
            maps = (maps[:, :, ::2] + maps[:, :, 1::2]) / 2
            maps = (maps[..., ::2] + maps[..., 1::2]) / 2
    over_time = maps.mean(dim=3)
    pooled = over_time.max(dim=2).values + over_time.mean(dim=2)
    embedding = (pooled @ weights["fc1.weight"].T + weights["fc1.bias"]).clamp(min=0)
    return embedding @ weights["fc_audioset.weight"].T + weights["fc_audioset.bias"], embedding


@pytest.mark.parametrize("n_frames", [SHORTEST, 33, 101])
def test_it_computes_what_is_described(tmp_path: Path, n_frames: int) -> None:
    weights = cnn14_weights()
    network = load_checkpoint(cnn14_checkpoint(tmp_path / "cnn14.pth", weights))
    log_mel = 20 * torch.randn(2, n_frames, 64) - 30
    with torch.no_grad():
        found = network(log_mel)
    for got, expected in zip(found, described(weights, log_mel), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_the_published_size_and_names() -> None:
    with torch.device("meta"):
        network = Cnn14()
    # As the paper counts them.
    assert sum(parameter.numel() for parameter in network.parameters()) == 80_753_615
    published = cnn14_weights(width=1)
    assert set(network.state_dict()) == {name for name in published if "extractor" not in name}


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = Cnn14(n_labels=3, width=2)
    logits, _ = network(torch.randn(4, 64, 64))
    logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    network, log_mel = Cnn14(n_labels=3, width=2), torch.randn(2, 64, 64)
    assert not torch.equal(network(log_mel)[0], network(log_mel)[0])
    network.eval()
    torch.testing.assert_close(network(log_mel)[0], network(log_mel)[0], rtol=0, atol=0)


def test_sizes_come_from_the_checkpoint(tmp_path: Path) -> None:
    network = load_checkpoint(cnn14_checkpoint(tmp_path / "tuned.pth", cnn14_weights(width=4, n_labels=11)))
    assert network.fc_audioset.out_features == 11
    assert network.fc1.out_features == 128
    assert not network.training


def changed(name: str, value: Tensor | None) -> dict[str, Tensor]:
    weights = cnn14_weights() | ({} if value is None else {name: value})
    if value is None:
        del weights[name]
    return weights


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (changed("conv_block3.bn2.running_var", None), r"without \['conv_block3\.bn2\.running_var'\]"),
        (changed("fc_audioset.bias", None), r"has no weight 'fc_audioset\.bias'"),
        (changed("att_block.att.weight", torch.zeros(3)), r"got also \['att_block\.att\.weight'\]"),
        (changed("fc1.weight", torch.zeros(3, 4)), r"'fc1\.weight' of shape \(64, 64\) in .*, got \(3, 4\)"),
        (
            changed("spectrogram_extractor.stft.conv_real.weight", torch.zeros(257, 1, 512)),
            r"front end of the 32 kHz network.*got \(257, 1, 512\); use a checkpoint for 32 kHz",
        ),
    ],
)
def test_another_network_is_refused_by_name(tmp_path: Path, weights: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_checkpoint(cnn14_checkpoint(tmp_path / "other.pth", weights))


def test_a_checkpoint_without_its_front_end_is_fine(tmp_path: Path) -> None:
    weights = {name: value for name, value in cnn14_weights().items() if "extractor" not in name}
    load_checkpoint(cnn14_checkpoint(tmp_path / "bare.pth", weights))


class Code:
    """What a pickle can carry beside weights."""


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    with pytest.raises(ModelError, match="No such file or directory; check the path"):
        load_checkpoint(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="weights alone, torch refuses"):
        load_checkpoint(path)
    torch.save({"model": cnn14_weights(), "sampler": Code()}, path)
    with pytest.raises(ModelError, match=r"where its maker is trusted, save its weights anew"):
        load_checkpoint(path)
    torch.save(cnn14_weights(), path)
    with pytest.raises(ModelError, match="under 'model'"):
        load_checkpoint(path)

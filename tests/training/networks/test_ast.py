"""AST: published names in, what transformers computes out, and another checkpoint as one sentence."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import ModelError
from engine.frontend import preset
from tests.training.checkpoints import AST_LABELS, ast_folder
from training.networks.ast import load_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


def test_it_computes_what_transformers_computes(tmp_path: Path) -> None:
    from transformers import ASTForAudioClassification

    folder = ast_folder(tmp_path / "ast")
    network = load_folder(folder)
    peer = ASTForAudioClassification.from_pretrained(folder).eval()
    log_mel = torch.randn(2, 64, 128)
    with torch.no_grad():
        logits, embedding = network(log_mel)
        torch.testing.assert_close(logits, peer(log_mel).logits)
        torch.testing.assert_close(embedding, peer.audio_spectrogram_transformer(log_mel).pooler_output)
    assert embedding.shape == (2, network.embedding_size) == (2, 16)
    assert (network.labels, network.n_frames, network.training) == (AST_LABELS, 64, False)


def test_every_published_weight_is_used(tmp_path: Path) -> None:
    """Names differ between the file and the network: each number must be found again, in the published order."""
    folder = ast_folder(tmp_path / "ast")
    published = load_file(folder / "model.safetensors")
    held = list(load_folder(folder).state_dict().values())
    assert sum(value.numel() for value in held) == sum(value.numel() for value in published.values())
    for name, value in published.items():
        assert any(value.shape == other.shape and torch.equal(value, other) for other in held), name


def test_the_front_end_is_the_checkpoint_s(tmp_path: Path) -> None:
    published = load_folder(ast_folder(tmp_path / "audioset"))
    assert published.frontend == preset("ast")
    assert published.frame_padding == pytest.approx(4.2677393 / (2 * 4.5689974))
    commands = load_folder(ast_folder(tmp_path / "commands", {"mean": -6.845978, "std": 5.5654526}))
    assert (commands.frontend.mean, commands.frontend.std) == (-6.845978, 2 * 5.5654526)
    plain = load_folder(ast_folder(tmp_path / "plain", {"do_normalize": False}))
    assert (plain.frontend.mean, plain.frontend.std, plain.frame_padding) == (0.0, 1.0, 0.0)


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: weights.pop(name)


def put(name: str, *shape: int) -> Callable[[dict[str, Tensor]], object]:
    return lambda weights: weights.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("classifier.dense.bias"), r"'missing_keys': \['classifier\.dense\.bias'\]"),
        (put("classifier.dense.scale", 3), r"'unexpected_keys': \['classifier\.dense\.scale'\]"),
        (put("classifier.dense.weight", 3, 4), r"classifier\.dense\.weight"),
    ],
)
def test_other_weights_are_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    folder = ast_folder(tmp_path / "ast")
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=message):
        load_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_an_incomplete_or_damaged_folder_is_one_sentence(tmp_path: Path, name: str) -> None:
    folder = ast_folder(tmp_path / "ast")
    (folder / name).write_bytes(b"{")
    with pytest.raises(ModelError, match="it cannot be read") as caught:
        load_folder(folder)
    assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"has no {name}; name the folder"):
        load_folder(folder)


@pytest.mark.parametrize("features", [{"max_length": 1024}, {"num_mel_bins": 64}, {"sampling_rate": 8000}])
def test_a_feature_extractor_of_another_network_is_refused(tmp_path: Path, features: dict[str, int]) -> None:
    folder = ast_folder(tmp_path / "ast", features)
    with pytest.raises(ModelError, match=r"16000 Hz, 64 frames and 128 bands.*use the one"):
        load_folder(folder)
    assert json.loads((folder / "preprocessor_config.json").read_text()) | features


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match="pip install transformers"):
        load_folder(tmp_path)

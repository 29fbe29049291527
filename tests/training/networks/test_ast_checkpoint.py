"""AST for other clips: both published formats, and positions that stay where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from engine.errors import ModelError
from tests.training.checkpoints import ast_folder, ast_original
from training.networks.ast import adapted, fitted_positions, load_folder, untrained
from training.networks.ast_checkpoint import load_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

LABELS = ("a", "b")


def described(weights: dict[str, Tensor], log_mel: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Logits and embedding of one clip in the authors' names: patches frequency by frequency, then time."""
    w = {name.removeprefix("module."): value.double() for name, value in weights.items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x, eps):
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    kernel = w["v.patch_embed.proj.weight"][:, 0]  # (width, frequency, time)
    patches = [
        (kernel * log_mel[t : t + 16, f : f + 16].T.double()).sum(dim=(1, 2)) + w["v.patch_embed.proj.bias"]
        for f in range(0, log_mel.shape[1] - 15, 10)
        for t in range(0, log_mel.shape[0] - 15, 10)
    ]
    x = torch.stack([w["v.cls_token"][0, 0], w["v.dist_token"][0, 0], *patches]) + w["v.pos_embed"][0]
    for number in range(2):
        block = f"v.blocks.{number}"
        query, key, value = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x, 1e-12)).chunk(3, dim=1)
        parts = [part.unflatten(1, (heads, -1)).transpose(0, 1) for part in (query, key, value)]
        seen = (parts[0] @ parts[1].mT / (x.shape[1] // heads) ** 0.5).softmax(-1) @ parts[2]
        x = x + linear(f"{block}.attn.proj", seen.transpose(0, 1).flatten(1))
        inner = functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x, 1e-12)))
        x = x + linear(f"{block}.mlp.fc2", inner)
    embedding = norm("v.norm", x, 1e-12)[:2].mean(dim=0)
    return linear("mlp_head.1", norm("mlp_head.0", embedding, 1e-12)), embedding


def test_the_authors_file_computes_its_description_with_both_axes_right(tmp_path: Path) -> None:
    path = ast_original(tmp_path / "audioset_10_10_0.4593.pth")
    network = load_checkpoint(path).double()
    log_mel = torch.randn(network.n_frames, 128, dtype=torch.float64)
    with torch.no_grad():
        logits, embedding = network(log_mel[None])
        expected = described(torch.load(path), log_mel, heads=1)
    torch.testing.assert_close(logits[0], expected[0])
    torch.testing.assert_close(embedding[0], expected[1])


def test_a_folder_and_a_file_in_it_are_one_checkpoint(tmp_path: Path) -> None:
    folder = ast_folder(tmp_path / "ast")
    log_mel = torch.randn(1, 64, 128)
    one, other = load_checkpoint(folder), load_checkpoint(folder / "model.safetensors")
    assert torch.equal(one(log_mel)[0], other(log_mel)[0])


def test_positions_are_cut_around_the_middle_of_time_and_stay_at_their_frequency() -> None:
    frequency, time = torch.meshgrid(torch.arange(3.0), torch.arange(9.0), indexing="ij")
    patches = torch.stack([frequency, time], dim=-1).flatten(0, 1)
    table = torch.cat([torch.full((2, 2), -1.0), patches])[None]
    fitted = fitted_positions(table, (3, 9), (3, 4))
    assert fitted.shape == (1, 2 + 12, 2)
    assert torch.equal(fitted[:, :2], table[:, :2])
    grid = fitted[0, 2:].unflatten(0, (3, 4))
    assert grid[:, :, 0].tolist() == [[0.0] * 4, [1.0] * 4, [2.0] * 4]
    assert grid[:, :, 1].tolist() == [[2.0, 3.0, 4.0, 5.0]] * 3
    assert torch.equal(fitted_positions(table, (3, 9), (3, 9)), table)
    longer = fitted_positions(table, (3, 9), (3, 18))[0, 2:].unflatten(0, (3, 18))
    assert (longer[:, :, 0] == torch.arange(3.0)[:, None]).all()
    assert (longer[:, 1:, 1] - longer[:, :-1, 1] >= 0).all()
    assert longer[0, 3:6, 1].tolist() == [1.25, 1.75, 2.25]


@pytest.mark.parametrize("n_frames", [16, 33, 64, 98])
def test_adapted_networks_keep_all_but_positions_and_the_last_layer(tmp_path: Path, n_frames: int) -> None:
    published = load_folder(ast_folder(tmp_path / "ast"))
    network = adapted(published, n_frames, LABELS)
    logits, embedding = network(torch.randn(2, n_frames, 128))
    assert logits.shape == (2, 2)
    assert embedding.shape == (2, 16)
    assert (network.labels, network.n_frames) == (LABELS, n_frames)
    before, after = published.body.state_dict(), network.body.state_dict()
    changed = {
        name for name in before if before[name].shape != after[name].shape or (before[name] != after[name]).any()
    }
    assert changed == (set() if n_frames == 64 else {"embeddings.position_embeddings"})


def test_a_clip_in_the_middle_of_silence_meets_the_positions_it_had(tmp_path: Path) -> None:
    """What a cut table means: patch (f, t) of the short clip has the position of (f, t + offset) of the long one."""
    published = load_folder(ast_folder(tmp_path / "ast"))  # 64 frames: 5 patches along time
    short = adapted(published, 36, LABELS)  # 3 of them
    long = published.body.embeddings.position_embeddings[0, 2:].unflatten(0, (12, 5))
    cut = short.body.embeddings.position_embeddings[0, 2:].unflatten(0, (12, 3))
    assert torch.equal(cut, long[:, 1:4])


def test_too_short_clips_and_other_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at least 16 frames for AST, got 15"):
        untrained(15, LABELS, layers=1, width=64)
    path = ast_original(tmp_path / "a.pth")
    weights = torch.load(path)
    torch.save(weights | {"module.v.norm.scale": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"got others of \['body\.layernorm\.scale'\]"):
        load_checkpoint(path)
    torch.save(weights | {"module.v.pos_embed": torch.zeros(1, 75, 64)}, path)
    with pytest.raises(ModelError, match="got 75 positions; use a checkpoint whose name says 10_10"):
        load_checkpoint(path)
    path.write_bytes(b"{")
    with pytest.raises(ModelError, match="it cannot be read"):
        load_checkpoint(path)

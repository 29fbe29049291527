"""Checkpoints of AST in either of their published formats: the authors' own file, and the folder of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.errors import ModelError
from training.networks import ast

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from training.networks.ast import SpectrogramTransformer

# Of the authors' names; {} is the number of a layer.
OUTSIDE = {
    "v.cls_token": "body.embeddings.cls_token",
    "v.dist_token": "body.embeddings.distillation_token",
    "v.pos_embed": "body.embeddings.position_embeddings",
    "v.patch_embed.proj": "body.embeddings.patch_embeddings.projection",
    "v.norm": "body.layernorm",
    "mlp_head.0": "head.layernorm",
    "mlp_head.1": "head.dense",
}
INSIDE = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.o_proj",
    "norm2": "layernorm_after",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
# Heads of the ImageNet network, which the authors' file keeps and nothing uses.
UNUSED = ("v.head.", "v.head_dist.")
# Frequency patches of 128 bands, 16 high, every 10; the files whose names say 10_10.
N_FREQUENCIES = 12


def load_checkpoint(path: Path) -> SpectrogramTransformer:
    """Return the network of a checkpoint, in evaluation mode.

    Parameters
    ----------
    path : Path
        A folder as ``training.networks.ast.load_folder`` takes it, or its ``model.safetensors``; or the authors' file,
        as ``audioset_10_10_0.4593.pth``. That holds neither labels nor statistics: its labels are numbers, and its
        input is to be normalised before.

    Raises
    ------
    ModelError
        The file or folder is no such checkpoint, or its weights are not exactly those of the network.
    """
    if path.is_file() and path.suffix == ".pth":
        return _load_original(path)
    return ast.load_folder(path.parent if path.is_file() else path)


def _load_original(path: Path) -> SpectrogramTransformer:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        given = {str(name).removeprefix("module."): value for name, value in content.items()}
        width, n_labels = given["v.cls_token"].shape[2], len(given["mlp_head.1.bias"])
        n_layers = len({name.split(".")[2] for name in given if name.startswith("v.blocks.")})
        n_times, rest = divmod(given["v.pos_embed"].shape[1] - 2, N_FREQUENCIES)
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise ModelError(
            f"expected a checkpoint of AST in {path}, it cannot be read: {reason}; get it again"
        ) from error
    if rest or n_times < 1:
        raise ModelError(
            f"expected AST with {N_FREQUENCIES} patches along frequency in {path}, got {given['v.pos_embed'].shape[1]} "
            "positions; use a checkpoint whose name says 10_10"
        )
    # What lies after the last whole patch is not heard, so the fewest frames of the grid are as good as the published.
    labels = tuple(str(number) for number in range(n_labels))
    network = ast.untrained(10 * (n_times - 1) + 16, labels, layers=n_layers, width=width)
    weights = _renamed(given)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    if wrong := sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)):
        raise ModelError(
            f"expected exactly the weights of AST in {path}, got others of {wrong}; use the checkpoint as published"
        )
    network.load_state_dict(weights)
    return network.eval()


def _renamed(given: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {}
    for name, value in given.items():
        if name.startswith(UNUSED):
            continue
        stem, _, kind = name.rpartition(".")
        if name in OUTSIDE:
            made[OUTSIDE[name]] = value
        elif stem in OUTSIDE:
            made[f"{OUTSIDE[stem]}.{kind}"] = value
        elif name.startswith("v.blocks."):
            number, inner = stem.removeprefix("v.blocks.").split(".", 1)
            if inner == "attn.qkv":
                for part, third in zip("qkv", value.chunk(3), strict=True):
                    made[f"body.layers.{number}.attention.{part}_proj.{kind}"] = third
            else:
                made[f"body.layers.{number}.{INSIDE.get(inner, inner)}.{kind}"] = value
        else:
            made[name] = value
    return made

"""BEATs, a transformer over patches of a log-mel spectrogram, and its published checkpoints.

Chen et al., "BEATs: Audio pre-training with acoustic tokenizers" (2023). Names and shapes of the weights are those of
the published files, so that a checkpoint is loaded as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A patch: with fewer frames there is none.
SHORTEST = 16


@dataclass(frozen=True)
class Sizes:
    """The fields of a checkpoint's ``cfg`` that decide the network; defaults are those of the published base models."""

    input_patch_size: int = 16
    embed_dim: int = 512
    encoder_layers: int = 12
    encoder_embed_dim: int = 768
    encoder_ffn_embed_dim: int = 3072
    encoder_attention_heads: int = 12
    conv_pos: int = 128
    conv_pos_groups: int = 16
    num_buckets: int = 320
    max_distance: int = 800
    deep_norm: bool = True
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    dropout_input: float = 0.1
    encoder_layerdrop: float = 0.0

    def scaled(self, width: int) -> Sizes:
        """Return the sizes of a network of another width, with heads of 64."""
        return replace(
            self, encoder_embed_dim=width, encoder_ffn_embed_dim=4 * width, encoder_attention_heads=width // 64
        )


# What a checkpoint may say beside its sizes, and what this network is.
FIXED = {
    "layer_norm_first": False,
    "activation_fn": "gelu",
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "conv_bias": False,
}


class Beats(nn.Module):
    """Patches of 16 by 16, a convolution for position, layers of attention with gated relative positions.

    Parameters
    ----------
    sizes : Sizes
    n_labels : int or None
        Outputs of the last layer; None for a pre-trained network, which has none and gives its embedding only.
    """

    def __init__(self, sizes: Sizes, n_labels: int | None) -> None:
        super().__init__()
        self.sizes = sizes
        width, patch = sizes.encoder_embed_dim, sizes.input_patch_size
        self.patch_embedding = nn.Conv2d(1, sizes.embed_dim, patch, stride=patch, bias=False)
        self.layer_norm = nn.LayerNorm(sizes.embed_dim)
        # The published code has this layer only where the two sizes differ.
        self.post_extract_proj = nn.Linear(sizes.embed_dim, width) if sizes.embed_dim != width else None
        self.dropout_input = nn.Dropout(sizes.dropout_input)
        self.encoder = Encoder(sizes)
        self.predictor = None if n_labels is None else nn.Linear(width, n_labels)

    def tokens(self, log_mel: Tensor) -> Tensor:
        """Map (batch, n_frames, n_mels) to (batch, n_patches, width); patches of one time follow each other."""
        grid = self.patch_embedding(log_mel.unsqueeze(1))
        patches = self.layer_norm(grid.flatten(2).transpose(1, 2))
        if self.post_extract_proj is not None:
            patches = self.post_extract_proj(patches)
        encoded: Tensor = self.encoder(self.dropout_input(patches))
        return encoded

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding.

        Parameters
        ----------
        log_mel : Tensor, shape (batch, n_frames, n_mels)
            ``SHORTEST`` frames or more; those after the last whole patch are not heard.

        Returns
        -------
        logits : Tensor, shape (batch, n_labels)
            The mean over the tokens of their own logits, which is that of the mean token.
        embedding : Tensor, shape (batch, width)
            The mean token, of any length.
        """
        if self.predictor is None:
            raise ModelError("expected a network with labels, got a pre-trained one without; give their number")
        embedding = self.tokens(log_mel).mean(dim=1)
        return self.predictor(embedding), embedding


class Encoder(nn.Module):
    """The position convolution and the layers, which share one table of relative positions."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(PositionConvolution(sizes), nn.GELU())
        self.layer_norm = nn.LayerNorm(sizes.encoder_embed_dim)
        self.dropout = nn.Dropout(sizes.dropout)
        self.layers = nn.ModuleList([Layer(sizes) for _ in range(sizes.encoder_layers)])
        for layer in self.layers[1:]:
            layer.self_attn.relative_attention_bias = self.layers[0].self_attn.relative_attention_bias
        self.layer_drop = sizes.encoder_layerdrop
        self.max_distance = sizes.max_distance
        buckets = bucket_of_distance(sizes.num_buckets, sizes.max_distance)
        self.register_buffer("bucket_of_distance", buckets, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Map (batch, n_patches, width) to the same shape."""
        tokens = patches + self.pos_conv(patches.transpose(1, 2)).transpose(1, 2)
        tokens = self.dropout(self.layer_norm(tokens))
        bias = self.position_bias(tokens.shape[1])
        for layer in self.layers:
            if self.training and self.layer_drop and torch.rand(()) < self.layer_drop:
                continue
            tokens = layer(tokens, bias)
        return tokens

    def position_bias(self, n: int) -> Tensor:
        """Return what the distance of key and query adds to the logits of each head, shape (n_heads, n, n)."""
        place = torch.arange(n, device=self.bucket_of_distance.device)
        distance = place[None, :] - place[:, None]
        bucket = self.bucket_of_distance[distance.abs().clamp_max(self.max_distance)]
        half = self.layers[0].self_attn.relative_attention_bias.num_embeddings // 2
        bucket = bucket + half * (distance > 0)
        bias: Tensor = self.layers[0].self_attn.relative_attention_bias(bucket).permute(2, 0, 1)
        return bias


def bucket_of_distance(num_buckets: int, max_distance: int) -> Tensor:
    """Return the bucket of each distance from 0 to ``max_distance``, one sign, int64.

    Half of a sign's buckets hold one distance each, the others are logarithmic up to ``max_distance``; what is farther
    is in the last.
    """
    n = num_buckets // 2
    exact = n // 2
    distance = torch.arange(max_distance + 1)
    ratio = torch.log(distance.clamp_min(1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (ratio * (n - exact)).long()).clamp_max(n - 1)
    return torch.where(distance < exact, distance, far)


class PositionConvolution(nn.Module):
    """A grouped convolution over the patches; each step of its kernel has a direction and a length of its own."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, self.groups, self.kernel = sizes.encoder_embed_dim, sizes.conv_pos_groups, sizes.conv_pos
        deviation = math.sqrt(4 / (self.kernel * width))
        self.weight_v = nn.Parameter(deviation * torch.randn(width, width // self.groups, self.kernel))
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (batch, width, n_patches) to the same shape."""
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        moved = functional.conv1d(tokens, weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        # An even kernel gives one step too many.
        return moved[:, :, :-1] if self.kernel % 2 == 0 else moved


class Layer(nn.Module):
    """Attention and two linear layers, normalised after they are added to their input; that weighs more (deep norm)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, n_layers = sizes.encoder_embed_dim, sizes.encoder_layers
        self.self_attn = Attention(sizes)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, sizes.encoder_ffn_embed_dim)
        self.fc2 = nn.Linear(sizes.encoder_ffn_embed_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.activation_dropout = nn.Dropout(sizes.activation_dropout)
        self.residual = (2 * n_layers) ** 0.25 if sizes.deep_norm else 1.0
        gain = (8 * n_layers) ** -0.25 if sizes.deep_norm else 1.0
        for linear in (self.self_attn.v_proj, self.self_attn.out_proj, self.fc1, self.fc2):
            nn.init.xavier_normal_(linear.weight, gain=gain)
            nn.init.zeros_(linear.bias)
        for linear in (self.self_attn.q_proj, self.self_attn.k_proj):
            nn.init.xavier_normal_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Map (batch, n, width) and the bias of positions (n_heads, n, n) to (batch, n, width)."""
        tokens = self.self_attn_layer_norm(self.residual * tokens + self.dropout(self.self_attn(tokens, bias)))
        inner = self.activation_dropout(functional.gelu(self.fc1(tokens)))
        normalised: Tensor = self.final_layer_norm(self.residual * tokens + self.dropout(self.fc2(inner)))
        return normalised


class Attention(nn.Module):
    """Attention whose bias of positions each query weighs by a gate of its own."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, self.n_heads = sizes.encoder_embed_dim, sizes.encoder_attention_heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.relative_attention_bias = nn.Embedding(sizes.num_buckets, self.n_heads)
        nn.init.normal_(self.relative_attention_bias.weight, std=0.02)
        self.grep_linear = nn.Linear(width // self.n_heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, self.n_heads, 1, 1))
        self.dropout = sizes.attention_dropout

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        """Map (batch, n, width) and the bias of positions (n_heads, n, n) to (batch, n, width)."""
        query, key, value = (
            projected.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for projected in (self.q_proj(tokens), self.k_proj(tokens), self.v_proj(tokens))
        )
        # The gate looks at the query before it is scaled.
        one, other = self.grep_linear(query).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        gate = one * (other * self.grep_a - 1) + 2
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=gate * bias, dropout_p=self.dropout if self.training else 0.0
        )
        out: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out


def load_checkpoint(path: Path, n_labels: int | None = None) -> Beats:
    """Return the network of a published .pt file, in evaluation mode.

    Parameters
    ----------
    path : Path
        As ``BEATs_iter3_plus_AS2M.pt``: a dictionary with ``cfg`` and ``model``. Nothing is fetched.
    n_labels : int, optional
        A new last layer of so many outputs, with random weights, in place of the checkpoint's, if it has one. Without
        it the network is as published.

    Raises
    ------
    ModelError
        The file is no such checkpoint, is of another kind of network, or its weights are not exactly the network's.
    """
    cfg, weights = _read(path)
    sizes = _sizes(cfg, path)
    published = len(weights["predictor.bias"]) if "predictor.bias" in weights else None
    network = Beats(sizes, published)
    _load(network, weights, path)
    if n_labels is not None:
        network.predictor = nn.Linear(sizes.encoder_embed_dim, n_labels)
    return network.eval()


def checkpoint_labels(path: Path) -> tuple[str, ...]:
    """Return the labels of a fine-tuned checkpoint in the order of its outputs: its own, not AudioSet's; or none."""
    names: Any = torch.load(path, weights_only=True, map_location="cpu").get("label_dict", {})
    return tuple(str(names[index]) for index in sorted(names))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        cfg, weights = dict(content["cfg"]), dict(content["model"])
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise ModelError(
            f"expected a checkpoint of BEATs with cfg and model in {path}, it cannot be read: {reason}; get it again"
        ) from error
    return cfg, weights


def _sizes(cfg: Mapping[str, Any], path: Path) -> Sizes:
    for name, wanted in FIXED.items():
        if cfg.get(name, wanted) != wanted:
            raise ModelError(f"expected BEATs with {name}={wanted!r} in {path}, got {cfg[name]!r}; use a published one")
    known = {field.name for field in fields(Sizes)}
    return Sizes(**{name: value for name, value in cfg.items() if name in known})


def _load(network: Beats, weights: dict[str, Tensor], path: Path) -> None:
    """Copy the weights; every one of them must have its place, and every place its weight."""
    for new, old in (
        ("parametrizations.weight.original0", "weight_g"),
        ("parametrizations.weight.original1", "weight_v"),
    ):
        if (key := f"encoder.pos_conv.0.{new}") in weights:
            weights[f"encoder.pos_conv.0.{old}"] = weights.pop(key)
    wanted = network.state_dict()
    table = "self_attn.relative_attention_bias.weight"
    tables = [weights.get(f"encoder.layers.{i}.{table}") for i in range(network.sizes.encoder_layers)]
    if tables[0] is not None:
        # The layers share the first one's; a file may leave the copies out, but not contradict it.
        for i, copy in enumerate(tables):
            if copy is None:
                weights[f"encoder.layers.{i}.{table}"] = tables[0]
            elif not torch.equal(copy, tables[0]):
                raise ModelError(
                    f"expected one table of relative positions for all layers in {path}, layer {i} has another; "
                    "use the checkpoint as published"
                )
    wrong = {
        "missing": sorted(wanted.keys() - weights.keys()),
        "unexpected": sorted(weights.keys() - wanted.keys()),
        "of another shape": sorted(
            name for name in wanted if name in weights and weights[name].shape != wanted[name].shape
        ),
    }
    if wrong := {kind: names for kind, names in wrong.items() if names}:
        raise ModelError(
            f"expected exactly the weights of BEATs in {path}, got {wrong}; use the checkpoint as published"
        )
    network.load_state_dict(weights)

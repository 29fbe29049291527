"""Checkpoints with random weights in the formats of their publishers: names and shapes as published, written out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

# transformers' ASTFeatureExtractor, of the published AudioSet checkpoint.
AST_FEATURES = {
    "feature_extractor_type": "ASTFeatureExtractor",
    "feature_size": 1,
    "do_normalize": True,
    "max_length": 64,
    "mean": -4.2677393,
    "num_mel_bins": 128,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
    "std": 4.5689974,
}
AST_LABELS = ("Speech", "Dog", "Rain")


def cnn14_weights(width: int = 2, n_labels: int = 5) -> dict[str, Tensor]:
    """The state dict of a PANNs Cnn14; 64 and 527 are the published sizes."""
    shapes: dict[str, tuple[int, ...]] = {
        "spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
        "spectrogram_extractor.stft.conv_imag.weight": (513, 1, 1024),
        "logmel_extractor.melW": (513, 64),
    } | _batch_norm("bn0", 64)
    n_in = 1
    for number, n_out in enumerate((width << block for block in range(6)), 1):
        block = f"conv_block{number}"
        shapes |= {f"{block}.conv1.weight": (n_out, n_in, 3, 3), f"{block}.conv2.weight": (n_out, n_out, 3, 3)}
        shapes |= _batch_norm(f"{block}.bn1", n_out) | _batch_norm(f"{block}.bn2", n_out)
        n_in = n_out
    shapes |= {"fc1.weight": (n_in, n_in), "fc1.bias": (n_in,)}
    shapes |= {"fc_audioset.weight": (n_labels, n_in), "fc_audioset.bias": (n_labels,)}
    return _random(shapes)


def cnn14_checkpoint(path: Path, weights: dict[str, Tensor] | None = None) -> Path:
    """A file as PANNs saves it."""
    torch.save({"iteration": 600000, "model": cnn14_weights() if weights is None else weights}, path)
    return path


def ast_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of a published AST checkpoint in the safetensors format."""
    size, inner, patch = config["hidden_size"], config["intermediate_size"], config["patch_size"]
    n_patches = ((config["num_mel_bins"] - patch) // config["frequency_stride"] + 1) * (
        (config["max_length"] - patch) // config["time_stride"] + 1
    )
    body = "audio_spectrogram_transformer"
    shapes: dict[str, tuple[int, ...]] = {
        f"{body}.embeddings.cls_token": (1, 1, size),
        f"{body}.embeddings.distillation_token": (1, 1, size),
        f"{body}.embeddings.position_embeddings": (1, n_patches + 2, size),
        f"{body}.embeddings.patch_embeddings.projection.weight": (size, 1, patch, patch),
        f"{body}.embeddings.patch_embeddings.projection.bias": (size,),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"{body}.encoder.layer.{number}"
        for name, (n_out, n_in) in {
            "attention.attention.query": (size, size),
            "attention.attention.key": (size, size),
            "attention.attention.value": (size, size),
            "attention.output.dense": (size, size),
            "intermediate.dense": (inner, size),
            "output.dense": (size, inner),
        }.items():
            shapes |= {f"{layer}.{name}.weight": (n_out, n_in), f"{layer}.{name}.bias": (n_out,)}
        shapes |= _affine(f"{layer}.layernorm_before", size) | _affine(f"{layer}.layernorm_after", size)
    shapes |= _affine(f"{body}.layernorm", size) | _affine("classifier.layernorm", size)
    n_labels = len(config["id2label"])
    return _random(shapes | {"classifier.dense.weight": (n_labels, size), "classifier.dense.bias": (n_labels,)})


def ast_folder(path: Path, features: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A folder in the format of MIT/ast-finetuned-audioset-10-10-0.4593, far smaller."""
    config: dict[str, Any] = {
        "architectures": ["ASTForAudioClassification"],
        "model_type": "audio-spectrogram-transformer",
        "attention_probs_dropout_prob": 0.0,
        "frequency_stride": 10,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": 16,
        "id2label": {str(number): label for number, label in enumerate(AST_LABELS)},
        "initializer_range": 0.02,
        "intermediate_size": 32,
        "label2id": {label: number for number, label in enumerate(AST_LABELS)},
        "layer_norm_eps": 1e-12,
        "max_length": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_mel_bins": 128,
        "patch_size": 16,
        "qkv_bias": True,
        "time_stride": 10,
        "torch_dtype": "float32",
    } | changes
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "preprocessor_config.json").write_text(json.dumps(AST_FEATURES | (features or {})))
    save_file(ast_weights(config), path / "model.safetensors", metadata={"format": "pt"})
    return path


def ast_original(path: Path, width: int = 64, n_times: int = 6, n_layers: int = 2, n_labels: int = 3) -> Path:
    """A file as the authors of AST publish it, audioset_10_10_0.4593.pth, far smaller."""
    shapes: dict[str, tuple[int, ...]] = {
        "v.cls_token": (1, 1, width),
        "v.dist_token": (1, 1, width),
        "v.pos_embed": (1, 2 + 12 * n_times, width),
        "v.patch_embed.proj.weight": (width, 1, 16, 16),
        "v.patch_embed.proj.bias": (width,),
    }
    for number in range(n_layers):
        block = f"v.blocks.{number}"
        shapes |= _affine(f"{block}.norm1", width) | _affine(f"{block}.norm2", width)
        shapes |= _linear(f"{block}.attn.qkv", 3 * width, width) | _linear(f"{block}.attn.proj", width, width)
        shapes |= _linear(f"{block}.mlp.fc1", 4 * width, width) | _linear(f"{block}.mlp.fc2", width, 4 * width)
    shapes |= _affine("v.norm", width) | _linear("v.head", 10, width) | _linear("v.head_dist", 10, width)
    shapes |= _affine("mlp_head.0", width) | _linear("mlp_head.1", n_labels, width)
    torch.save({f"module.{name}": value for name, value in _random(shapes).items()}, path)
    return path


# The cfg of a published BEATs file, base size; the fields of pre-training and of the decoder are left out.
BEATS_CFG = {
    "input_patch_size": 16,
    "embed_dim": 512,
    "conv_bias": False,
    "encoder_layers": 12,
    "encoder_embed_dim": 768,
    "encoder_ffn_embed_dim": 3072,
    "encoder_attention_heads": 12,
    "activation_fn": "gelu",
    "layer_wise_gradient_decay_ratio": 0.6,
    "layer_norm_first": False,
    "deep_norm": True,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "encoder_layerdrop": 0.05,
    "dropout_input": 0.0,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "relative_position_embedding": True,
    "num_buckets": 320,
    "max_distance": 800,
    "gru_rel_pos": True,
    "finetuned_model": False,
}
BEATS_TINY = {
    "embed_dim": 12,
    "encoder_layers": 2,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "conv_pos": 6,
    "conv_pos_groups": 4,
    "num_buckets": 16,
    "max_distance": 20,
}


def beats_weights(cfg: dict[str, Any], n_labels: int | None = None) -> dict[str, Tensor]:
    """The state dict of a published BEATs file; fine-tuned ones have labels."""
    width, inner, heads = (cfg[f"encoder_{name}"] for name in ("embed_dim", "ffn_embed_dim", "attention_heads"))
    patch, first = cfg["input_patch_size"], cfg["embed_dim"]
    shapes: dict[str, tuple[int, ...]] = {"patch_embedding.weight": (first, 1, patch, patch)}
    shapes |= _affine("layer_norm", first) | _linear("post_extract_proj", width, first)
    shapes |= {
        "encoder.pos_conv.0.bias": (width,),
        "encoder.pos_conv.0.weight_g": (1, 1, cfg["conv_pos"]),
        "encoder.pos_conv.0.weight_v": (width, width // cfg["conv_pos_groups"], cfg["conv_pos"]),
    }
    shapes |= _affine("encoder.layer_norm", width)
    for number in range(cfg["encoder_layers"]):
        layer = f"encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{name}", width, width)
        shapes |= _linear(f"{layer}.self_attn.grep_linear", 8, width // heads)
        shapes |= {f"{layer}.self_attn.grep_a": (1, heads, 1, 1)}
        shapes |= _linear(f"{layer}.fc1", inner, width) | _linear(f"{layer}.fc2", width, inner)
        shapes |= _affine(f"{layer}.self_attn_layer_norm", width) | _affine(f"{layer}.final_layer_norm", width)
    if n_labels is not None:
        shapes |= _linear("predictor", n_labels, width)
    weights = _random(shapes)
    table = torch.randn(cfg["num_buckets"], heads, generator=torch.Generator().manual_seed(1))
    tables = {
        f"encoder.layers.{number}.self_attn.relative_attention_bias.weight": table
        for number in range(cfg["encoder_layers"])
    }
    return weights | tables


def beats_checkpoint(
    path: Path, cfg: dict[str, Any] | None = None, n_labels: int | None = None, **content: Any
) -> Path:
    """A file as BEATs publishes it, far smaller unless ``cfg`` says otherwise."""
    cfg = BEATS_CFG | (BEATS_TINY if cfg is None else cfg)
    if n_labels is not None:
        cfg = cfg | {"finetuned_model": True, "predictor_dropout": 0.0, "predictor_class": n_labels}
    torch.save({"cfg": cfg, "model": beats_weights(cfg, n_labels)} | content, path)
    return path


def _linear(name: str, n_out: int, n_in: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _affine(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _batch_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return _affine(name, size) | {
        f"{name}.running_mean": (size,),
        f"{name}.running_var": (size,),
        f"{name}.num_batches_tracked": (),
    }


def _random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(600000)
        elif name.endswith("running_var"):
            weights[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            # The deviation that keeps the size of what flows through a layer.
            fan_in = max(1, int(torch.tensor(shape[1:]).prod())) if len(shape) > 1 else 1
            weights[name] = torch.randn(shape, generator=generator) / fan_in**0.5
    return weights

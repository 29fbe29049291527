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

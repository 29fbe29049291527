"""The Audio Spectrogram Transformer (AST): from a folder of the transformers package, fresh, or for other clips."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import ModelError
from engine.frontend import preset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class SpectrogramTransformer(nn.Module):
    """Transformer over patches of a log-mel spectrogram of one fixed length, with two class tokens.

    Gong et al., "AST: Audio Spectrogram Transformer" (2021). The layers are those of
    ``transformers.ASTForAudioClassification``; here they give the embedding beside the logits.

    Parameters
    ----------
    model : transformers.ASTForAudioClassification
    features : Mapping
        The settings of its ``ASTFeatureExtractor``: ``mean``, ``std`` and ``do_normalize``.

    Attributes
    ----------
    frontend : FrontendConfig
    n_frames : int
    frame_padding : float
        What stands for the frames that a short recording lacks: zero before the normalisation.
    embedding_size : int
    labels : tuple of str
    """

    def __init__(self, model: Any, features: Mapping[str, Any]) -> None:
        super().__init__()
        self.body = model.audio_spectrogram_transformer
        self.head = model.classifier
        config = model.config
        mean, std = (features["mean"], 2 * features["std"]) if features["do_normalize"] else (0.0, 1.0)
        self.frontend = replace(preset("ast"), n_mels=config.num_mel_bins, mean=mean, std=std)
        self.frame_padding = -mean / std
        self.n_frames: int = config.max_length
        self.embedding_size: int = config.hidden_size
        self.labels: tuple[str, ...] = tuple(config.id2label[index] for index in range(config.num_labels))

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and embedding.

        Parameters
        ----------
        log_mel : Tensor, shape (batch, n_frames, n_mels)
            As ``frontend`` gives it.

        Returns
        -------
        logits : Tensor, shape (batch, n_labels)
        embedding : Tensor, shape (batch, embedding_size)
            The mean of the two class tokens after the last layer, of any length.
        """
        embedding = self.body(log_mel).pooler_output
        return self.head(embedding), embedding


def load_folder(path: Path) -> SpectrogramTransformer:
    """Return the network of a checkpoint folder, in evaluation mode.

    Parameters
    ----------
    path : Path
        A local copy of, for example, ``MIT/ast-finetuned-audioset-10-10-0.4593``, with ``config.json``,
        ``preprocessor_config.json`` and ``model.safetensors``. Nothing is fetched.

    Raises
    ------
    ModelError
        The folder is no such checkpoint, its weights are not exactly those of the network, or the package
        ``transformers`` is missing.
    """
    try:
        from transformers import ASTForAudioClassification
    except ImportError as error:
        raise ModelError("expected the package transformers, found none; pip install transformers") from error
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise ModelError(f"expected a checkpoint folder of AST, {path} has no {name}; name the folder")
    try:
        features = json.loads((path / "preprocessor_config.json").read_text("utf-8"))
        fed = tuple(features[name] for name in ("sampling_rate", "max_length", "num_mel_bins"))
        # Weights of another shape are to be in the report, and attention in operators that every exporter knows.
        model, report = ASTForAudioClassification.from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            attn_implementation="eager",
        )
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise ModelError(
            f"expected a checkpoint of AST in {path}, it cannot be read: {reason}; get it again"
        ) from error
    if wrong := {kind: sorted(map(str, names)) for kind, names in report.items() if names}:
        raise ModelError(f"expected exactly the weights of AST in {path}, got {wrong}; use the checkpoint as published")
    wanted = (preset("ast").sample_rate, model.config.max_length, model.config.num_mel_bins)
    if fed != wanted:
        raise ModelError(
            f"expected a feature extractor of {wanted[0]} Hz, {wanted[1]} frames and {wanted[2]} bands in {path}, got "
            f"{fed}; use the one that the network was trained with"
        )
    return SpectrogramTransformer(model, features).eval()


def untrained(
    n_frames: int, labels: tuple[str, ...], *, layers: int = 12, width: int = 768, n_mels: int = 128
) -> SpectrogramTransformer:
    """Return a network of the published form with random weights, heads of 64 and inner layers of four widths."""
    try:
        from transformers import ASTConfig
    except ImportError as error:
        raise ModelError("expected the package transformers, found none; pip install transformers") from error
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64}
    config = ASTConfig(**sizes, intermediate_size=4 * width, num_mel_bins=n_mels)
    return _network(config, n_frames, labels)


def adapted(network: SpectrogramTransformer, n_frames: int, labels: tuple[str, ...]) -> SpectrogramTransformer:
    """Return a copy of a network for clips of another length and other labels.

    Its table of positions is cut around the middle or interpolated; the last layer is new, with random weights.
    """
    config = network.body.config
    made = _network(config, n_frames, labels)
    weights = network.body.state_dict()
    name = "embeddings.position_embeddings"
    grid = _grid(config, network.n_frames)
    weights[name] = fitted_positions(weights[name], grid, _grid(config, n_frames))
    made.body.load_state_dict(weights)
    return made


def fitted_positions(table: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Return a table of positions for another grid of patches: the middle of it, or interpolated where it is too small.

    Gong et al. (2021), section 2.2.

    Parameters
    ----------
    table : Tensor, shape (1, 2 + n_frequencies * n_times, size)
        The two class tokens, whose positions stay, then the patches, frequency by frequency.
    grid, wanted : tuple of int
        (n_frequencies, n_times) of the table and of the result.
    """
    tokens, patches = table[:, :2], table[:, 2:]
    planes = patches.unflatten(1, grid).permute(0, 3, 1, 2)
    for axis in (0, 1):
        if wanted[axis] < grid[axis]:
            start = grid[axis] // 2 - wanted[axis] // 2
            planes = planes.narrow(2 + axis, start, wanted[axis])
    if planes.shape[2:] != wanted:
        planes = functional.interpolate(planes, wanted, mode="bilinear", align_corners=False)
    return torch.cat([tokens, planes.flatten(2).transpose(1, 2)], dim=1)


def _grid(config: Any, n_frames: int) -> tuple[int, int]:
    """Return how many patches lie along frequency and time."""
    frequencies = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    times = (n_frames - config.patch_size) // config.time_stride + 1
    if times < 1:
        raise ModelError(
            f"expected clips of at least {config.patch_size} frames for AST, got {n_frames}; take longer clips"
        )
    return frequencies, times


def _network(config: Any, n_frames: int, labels: tuple[str, ...]) -> SpectrogramTransformer:
    """Return a network with random weights for clips of ``n_frames``, whose input is already normalised."""
    from transformers import ASTConfig, ASTForAudioClassification

    _grid(config, n_frames)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    changed = ASTConfig.from_dict(config.to_dict() | {"max_length": n_frames} | names)
    # Attention in operators that every exporter knows.
    changed._attn_implementation = "eager"  # noqa: SLF001
    return SpectrogramTransformer(ASTForAudioClassification(changed), {"do_normalize": False})

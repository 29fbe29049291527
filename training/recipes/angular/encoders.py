"""The recipe's encoders: a network, the front end that feeds it, and what lengths it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine import FrontendConfig, LogMel
from engine.frontend import preset
from training.networks import ast, beats
from training.networks.ast_checkpoint import load_checkpoint
from training.networks.crnn import RecurrentTagger
from training.networks.residual import ResidualTagger

if TYPE_CHECKING:
    from torch import nn

    from training.recipes.angular.config import Config


@dataclass(frozen=True)
class Encoder:
    """What is trained.

    Attributes
    ----------
    network : Module
        Log-mel to logits and embedding.
    embedding_size : int
    unit_length : bool
        Whether the embeddings it gives have length one; the losses do not mind.
    shortest : int or None
        See ``training.export.export``.
    """

    network: nn.Module
    embedding_size: int
    unit_length: bool
    shortest: int | None


def front_end(sample_rate: int, config: Config) -> FrontendConfig:
    """Return the front end before the training part's statistics are known: natural logarithms of mel power.

    AST and BEATs have their published presets. Those and this one take the mean of each frame out, which makes
    the code's subtraction of the clip's mean idle.
    """
    if config.encoder in ("ast", "beats"):
        return replace(preset(config.encoder), mean=None, std=None)
    win_length = round(config.win_s * sample_rate)
    return FrontendConfig(
        sample_rate=sample_rate,
        win_length=win_length,
        hop_length=round(config.hop_s * sample_rate),
        n_fft=1 << (win_length - 1).bit_length(),
        n_mels=config.n_mels,
        f_min=20.0,
        remove_dc=True,
        log_floor=1e-10,
    )


def log_mel_of(frontend: FrontendConfig, config: Config) -> LogMel:
    """Return the extractor; that the published presets have a band without a bin of the transform is no news."""
    return LogMel(frontend, warn_empty=config.encoder not in ("ast", "beats"))


def make_encoder(n_frames: int, labels: tuple[str, ...], config: Config) -> Encoder:
    """Return the encoder with random weights or those of a checkpoint; the last layer is new in both cases."""
    n_labels, size = len(labels), config.embedding_size
    if config.encoder == "residual":
        tagger = ResidualTagger(n_labels, config.channels, size, config.dropout)
        tagger.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on a CPU
        return Encoder(tagger, size, True, 1)
    if config.encoder == "crnn":
        return Encoder(RecurrentTagger(n_labels, config.channels, size, config.dropout), size, True, 1)
    if config.encoder == "ast":
        if config.checkpoint:
            transformer = ast.adapted(load_checkpoint(Path(config.checkpoint)), n_frames, labels)
        else:
            transformer = ast.untrained(n_frames, labels, layers=config.layers, width=config.width)
        return Encoder(transformer, transformer.embedding_size, False, None)
    if config.checkpoint:
        network = beats.load_checkpoint(Path(config.checkpoint), n_labels)
    else:
        network = beats.Beats(beats.Sizes(encoder_layers=config.layers).scaled(config.width), n_labels)
    return Encoder(network, network.sizes.encoder_embed_dim, False, beats.SHORTEST)

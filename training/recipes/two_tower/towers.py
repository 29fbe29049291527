"""The encoders that may be towers, by name: the front end that feeds each, how long a window it hears, its network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from engine import FrontendConfig, LogMel
from engine.errors import ConfigError
from engine.frontend import preset
from training.export_two_tower import IMINET_SECONDS
from training.networks import ast, beats
from training.networks.cnn14 import Cnn14
from training.networks.crnn import RecurrentTagger
from training.networks.event_encoders import CnnEncoder, LstmEncoder
from training.networks.residual import FrameTagger, ResidualTagger
from training.networks.segments import SegmentCnn
from training.networks.small_towers import small_imitation_tower, small_recording_tower
from training.networks.two_tower import (
    REFERENCE_KEPT,
    CosineHead,
    ImitationTower,
    RecordingTower,
    SimilarityHead,
    TwoTower,
)
from training.networks.yamnet import Yamnet
from training.recipes.two_tower.transfer import encoder_of_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from training.recipes.two_tower.config import Config

# Words, hums and hisses: 25 ms every 20 ms at 16 kHz, in decibels below the window's maximum, roughly standardised.
VOICES = FrontendConfig(
    sample_rate=16000,
    win_length=400,
    hop_length=320,
    n_fft=512,
    n_mels=64,
    f_min=50.0,
    log="dB",
    log_floor=1e-10,
    log_reference="max",
    log_range=80.0,
    mean=-40.0,
    std=20.0,
)


@dataclass(frozen=True)
class Tower:
    """An encoder and what it hears.

    Attributes
    ----------
    frontend : FrontendConfig
    window : int
        Samples at the front end's rate that go through it at a time.
    hop : int
        Samples between two windows of a long reference.
    network : Module
        log-mel (batch, n_frames, n_mels) to embedding (batch, size).
    size : int
    """

    frontend: FrontendConfig
    window: int
    hop: int
    network: nn.Module
    size: int

    @property
    def n_frames(self) -> int:
        """How many frames the network gets."""
        return self.frontend.n_frames(self.window)

    def log_mel(self) -> LogMel:
        """Return the extractor; that the published presets have a band without a bin of the transform is no news."""
        return LogMel(self.frontend, warn_empty=False)


@dataclass(frozen=True)
class Kind:
    """How to make a tower of one kind.

    Attributes
    ----------
    frontend : str or FrontendConfig
        A preset's name, or the settings.
    seconds : float
        Of its window.
    build : callable
        From frames, bands and sizes to the network, which gives the embedding, alone or last, or one for each frame.
    hop_frames : int
        Frames between two windows of a long reference; 0 for those of a window.
    """

    frontend: str | FrontendConfig
    seconds: float
    build: Callable[[int, int, Mapping[str, Any]], nn.Module]
    hop_frames: int = 0


class Embedding(nn.Module):
    """A tagger without its tags, and a linear layer to another size where one is wanted.

    Parameters
    ----------
    network : Module
        log-mel to the embedding, or to logits, embedding and whatever else.
    projection : Module or None
    """

    def __init__(self, network: nn.Module, projection: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.projection = projection

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map log-mel (batch, n_frames, n_mels) to embeddings (batch, size)."""
        given = self.network(log_mel)
        embedding: Tensor = given[1] if isinstance(given, tuple) else given
        if embedding.ndim == 3:
            embedding = embedding.mean(dim=1)
        return embedding if self.projection is None else self.projection(embedding)


def _residual(_: int, __: int, sizes: Mapping[str, Any]) -> nn.Module:
    network = ResidualTagger(
        1, tuple(sizes.get("channels", (16, 24, 48, 96))), sizes.get("embedding_size", 128), sizes.get("dropout", 0.0)
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # faster on a CPU


def _frames(_: int, __: int, sizes: Mapping[str, Any]) -> nn.Module:
    network = FrameTagger(
        1, tuple(sizes.get("channels", (16, 24, 48, 96))), sizes.get("embedding_size", 128), sizes.get("dropout", 0.0)
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # faster on a CPU


def _crnn(_: int, __: int, sizes: Mapping[str, Any]) -> nn.Module:
    return RecurrentTagger(
        1, tuple(sizes.get("channels", (16, 32, 64))), sizes.get("embedding_size", 64), sizes.get("dropout", 0.0)
    )


def _lstm(_: int, n_mels: int, sizes: Mapping[str, Any]) -> nn.Module:
    return LstmEncoder(n_mels, sizes.get("size", 128))


def _cnn(n_frames: int, n_mels: int, sizes: Mapping[str, Any]) -> nn.Module:
    # Two steps of time are left of any window.
    pools = tuple(sizes.get("pool_frames") or (5, n_frames // 5 // 2))
    channels = tuple(sizes.get("channels", (32, 64)))
    return CnnEncoder(n_frames, n_mels, channels, pools, dropout=sizes.get("dropout", 0.0))


def _segments(_: int, n_mels: int, sizes: Mapping[str, Any]) -> nn.Module:
    return SegmentCnn(n_mels, tuple(sizes.get("channels", (64, 64, 64))), dropout=sizes.get("dropout", 0.0))


def _ast(n_frames: int, n_mels: int, sizes: Mapping[str, Any]) -> nn.Module:
    layers, width = sizes.get("layers", 12), sizes.get("width", 768)
    return ast.untrained(n_frames, ("none",), layers=layers, width=width, n_mels=n_mels)


def _beats(_: int, __: int, sizes: Mapping[str, Any]) -> nn.Module:
    return beats.Beats(beats.Sizes(encoder_layers=sizes.get("layers", 12)).scaled(sizes.get("width", 768)), 1)


KINDS: dict[str, Kind] = {
    "imitation": Kind("iminet_imitation", IMINET_SECONDS, lambda *_: ImitationTower()),
    "recording": Kind("iminet_reference", IMINET_SECONDS, lambda *_: RecordingTower(), REFERENCE_KEPT),
    "small_imitation": Kind("iminet_imitation", IMINET_SECONDS, lambda *_: small_imitation_tower()),
    "small_recording": Kind("iminet_reference", IMINET_SECONDS, lambda *_: small_recording_tower(), REFERENCE_KEPT),
    "residual": Kind(VOICES, 1.0, _residual),
    "frames": Kind(VOICES, 1.0, _frames),
    "crnn": Kind(VOICES, 1.0, _crnn),
    "lstm": Kind(VOICES, 1.0, _lstm),
    "cnn": Kind(VOICES, 1.0, _cnn),
    "segments": Kind(VOICES, 1.0, _segments),
    "cnn14": Kind("panns32k", 1.0, lambda _, n_mels, __: Cnn14(1, n_mels=n_mels)),
    "yamnet": Kind("yamnet", 0.975, lambda *_: Yamnet(1)),
    "ast": Kind("ast", 1.0, _ast),
    "beats": Kind("beats", 1.0, _beats),
}


def make_tower(encoder: str, side: str, config: Config) -> Tower:
    """Return a tower by the name of its encoder, with random weights, or as the run in a folder of that name left it.

    Parameters
    ----------
    encoder : str
    side : "query" or "reference"
        Of a run of this recipe, the tower to start from.
    config : Config

    Raises
    ------
    ConfigError
        There is no such encoder and no such run, or the run has none that hears sound.
    """
    run, sizes = None, {"layers": config.layers, "width": config.width}
    if config.channels:
        sizes["channels"] = config.channels
    if encoder in KINDS:
        kind = KINDS[encoder]
    elif (Path(encoder) / "config.json").is_file():
        run = encoder_of_run(Path(encoder), side)
        kind, sizes = replace(KINDS[run.kind], frontend=run.frontend), dict(run.sizes)
    else:
        raise ConfigError(
            f"expected --{side}_encoder to be one of {', '.join(KINDS)}, or the folder of a run, got {encoder!r}; "
            "change it"
        )
    frontend = preset(kind.frontend) if isinstance(kind.frontend, str) else kind.frontend
    window = round(kind.seconds * frontend.sample_rate) if run is None else run.window
    n_frames = frontend.n_frames(window)
    network = kind.build(n_frames, frontend.n_mels, sizes)
    if run is not None:
        run.load_into(network)
        if config.frozen:
            network = Frozen(network)
    made = Embedding(network)
    with torch.no_grad():
        size = made.eval()(torch.zeros(2, n_frames, frontend.n_mels)).shape[1]
    if config.embedding_size:
        projection = nn.Linear(size, config.embedding_size, bias=False)
        made, size = Embedding(network, projection), config.embedding_size
    hop = kind.hop_frames * frontend.hop_length if kind.hop_frames else window
    return Tower(frontend, window, hop, made.train(), size)


class Frozen(nn.Module):
    """A network that stays as it is: no gradients, no dropout, and the statistics of its batch norms do not move."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, log_mel: Tensor) -> Any:
        """Return what the network gives."""
        return self.network(log_mel)


def two_towers(query: Tower, reference: Tower, config: Config) -> TwoTower:
    """Return both towers under the head that the configuration names; ConfigError where their sizes do not meet."""
    if config.head == "joined":
        return TwoTower(
            query.network, reference.network, SimilarityHead(query.size, reference.size, dropout=config.dropout)
        )
    if query.size != reference.size:
        raise ConfigError(
            f"expected embeddings of one size for --head=cosine, got {query.size} and {reference.size}; set "
            "--embedding_size"
        )
    return TwoTower(query.network, reference.network, CosineHead())

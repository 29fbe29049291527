"""Published checkpoints to models with cards: ``python -m training convert NETWORK --checkpoint PATH -o MODEL``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from engine.errors import ConfigError, ModelError
from engine.frontend import preset
from training.export import export
from training.networks import ast, beats, cnn14, yamnet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from engine.card import Pad, ScoreKind
    from engine.frontend import FrontendConfig


@dataclass(frozen=True, kw_only=True)
class Published:
    """A network with its weights, and how its authors feed it.

    Attributes
    ----------
    network : Module
    frontend : FrontendConfig
    window, hop : int
        In samples.
    shortest : int or None
        See ``training.export.export``.
    embedding_size : int
    labels : tuple of str
        Empty where the checkpoint does not say them.
    pad : str
    frame_padding : float
        See ``ModelCard`` and ``ModelInput``.
    """

    network: nn.Module
    frontend: FrontendConfig
    window: int
    hop: int
    shortest: int | None
    embedding_size: int
    labels: tuple[str, ...] = ()
    pad: Pad = "zeros"
    frame_padding: float = 0.0


def convert(
    kind: str,
    checkpoint: Path,
    output: Path,
    *,
    labels: Sequence[str] = (),
    score: ScoreKind = "sigmoid",
    overwrite: bool = False,
    training_data: str = "unknown",
    licence: str = "unknown",
    attribution: str = "unknown",
) -> ModelCard:
    """Write a published checkpoint as a model that the engine runs; return its card.

    Parameters
    ----------
    kind : str
        One of ``NETWORKS``.
    checkpoint : Path
        A file, or for "ast" a folder, in the format of its publisher.
    output : Path
        The .onnx file; its name without ending becomes the model's.
    labels : sequence of str
        In the order of the network's scores; may be left out where the checkpoint holds them.
    score : str
        "sigmoid" (AudioSet) or "softmax" (a network fine-tuned to classes that exclude each other).
    overwrite : bool
        Whether ``output`` may exist.
    training_data, licence, attribution : str
        For the card.

    Raises
    ------
    ConfigError
        An output that exists, no labels, or a network that nobody knows.
    ModelError
        A checkpoint that is not what it should be, or an export that does not compute what torch computes.
    """
    if kind not in NETWORKS:
        raise ConfigError(f"expected one of the networks {', '.join(NETWORKS)}, got {kind!r}; choose one of them")
    if output.exists() and not overwrite:
        raise ConfigError(f"expected a new file, got {str(output)!r}, which exists; rename it or add --overwrite")
    published = NETWORKS[kind](checkpoint)
    labels = tuple(labels) or published.labels
    if not labels:
        raise ConfigError(f"expected labels, a checkpoint of {kind} has none; name their file with --labels")
    card = ModelCard(
        name=output.stem,
        task="tag",
        labels=labels,
        score=score,
        frontend=published.frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel"), frame_padding=published.frame_padding),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        window=published.window,
        hop=published.hop,
        pad=published.pad,
        # A label that is heard in one window is heard in the recording; shares of one whole are averaged.
        reduce="max" if score == "sigmoid" else "mean",
        embedding_size=published.embedding_size,
        embedding_normalised=False,
        training_data=training_data,
        licence=licence,
        attribution=attribution,
        commit="",
    )
    return export(published.network, card, output, shortest=published.shortest)


def _cnn14(checkpoint: Path) -> Published:
    network = cnn14.load_checkpoint(checkpoint)
    frontend = preset("panns32k")
    # The length of AudioSet's clips; shorter ones were filled with zeros in training.
    window = 10 * frontend.sample_rate
    return Published(
        network=network,
        frontend=frontend,
        window=window,
        hop=window,
        shortest=cnn14.SHORTEST,
        embedding_size=network.fc1.out_features,
    )


def _yamnet(checkpoint: Path) -> Published:
    network = yamnet.load_tflite(checkpoint)
    frontend = preset("yamnet")
    return Published(
        network=network,
        frontend=frontend,
        window=frontend.n_samples(yamnet.N_FRAMES),
        hop=48 * frontend.hop_length,  # half a patch, as published
        shortest=None,
        embedding_size=network.classify.in_features,
    )


def _ast(checkpoint: Path) -> Published:
    network = ast.load_folder(checkpoint)
    window = network.frontend.n_samples(network.n_frames)
    return Published(
        network=network,
        frontend=network.frontend,
        window=window,
        hop=window,
        shortest=None,
        embedding_size=network.embedding_size,
        labels=network.labels,
        pad="frames",
        frame_padding=network.frame_padding,
    )


def _beats(checkpoint: Path) -> Published:
    network = beats.load_checkpoint(checkpoint)
    if network.predictor is None:
        raise ModelError(
            f"expected a fine-tuned checkpoint of BEATs, {checkpoint} is pre-trained and has no labels; "
            "train some with python -m training run angular --encoder=beats --checkpoint=FILE"
        )
    frontend = preset("beats")
    # The length of AudioSet's clips.
    window = 10 * frontend.sample_rate
    return Published(
        network=network,
        frontend=frontend,
        window=window,
        hop=window,
        shortest=beats.SHORTEST,
        embedding_size=network.sizes.encoder_embed_dim,
        labels=beats.checkpoint_labels(checkpoint),
    )


NETWORKS: dict[str, Callable[[Path], Published]] = {"ast": _ast, "beats": _beats, "cnn14": _cnn14, "yamnet": _yamnet}

"""What somebody who knows a foreign model says about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.card import Pad, Reduce, ScoreKind, Task
    from engine.card_parts import InputKind
    from engine.frontend import FrontendConfig

Activation = Literal["sigmoid", "softmax"]


@dataclass(frozen=True)
class State:
    """An input that starts as zeros and is an output of the window before after that.

    Attributes
    ----------
    name, output : str
        The input's and the output's name in the graph.
    shape : tuple of int or None
        None is the graph's, its free axes with length one.
    """

    name: str
    output: str
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about a foreign model. None is derived from the graph or has the value that is said here.

    Attributes
    ----------
    labels : tuple of str
        In the order of the scores; empty for a model that only embeds.
    score : str or None
        "sigmoid", "softmax" or "distance": what the scores are. None is ``activation``.
    activation : str or None
        "sigmoid" or "softmax": appended to the graph, for a model that gives logits.
    frontend : FrontendConfig or None
        For a model that takes a log-mel spectrogram.
    sample_rate : int or None
        In Hz; for a model that takes a waveform.
    kind : str or None
        "log_mel", "waveform" or "embedding"; None is the first with a front end, the second with a sample rate.
    input_axes : tuple of str or None
        Of "batch", "channel", "time", "mel" and "feature". The input for the sound is the one that is neither a state
        nor a constant.
    scores, embedding, frames : str or None
        Names of the outputs. With none of the three, scores are the one output whose width is the number of labels, and
        the one output of a model without labels is its embedding.
    scores_axes, embedding_axes, frames_axes : tuple of str or None
        Of "batch", "time", "label" and "feature".
    window, hop : int or None
        In samples, or rows. None is the length that the graph fixes, and the window.
    pad : str
        See ``ModelCard``.
    frame_padding : float
        See ``ModelInput``.
    reduce : str or None
        None is "mean" for softmax and "max" for the others.
    context : int
        Samples before each window that are fed in front of it.
    row_s : float or None
        See ``ModelInput``.
    frame_hop, frame_length : int or None
        In samples; needed with ``frames``. A length of None is the hop.
    states : tuple of State
    constants : Mapping from str to float
        Inputs that are always the same, for example ``{"sr": 16000}``.
    embedding_normalised : bool or None
        None is measured.
    task : str or None
        None is "tag" for a model with labels and "embed" for one without.
    name : str or None
        None is the output file's name without its ending.
    thresholds : float, Mapping from label to float, or None
    threshold_method, training_data, licence, attribution, commit : str
    metrics : Mapping
        For the card as they are.
    """

    labels: tuple[str, ...] = ()
    score: ScoreKind | None = None
    activation: Activation | None = None
    frontend: FrontendConfig | None = None
    sample_rate: int | None = None
    kind: InputKind | None = None
    input_axes: tuple[str, ...] | None = None
    scores: str | None = None
    scores_axes: tuple[str, ...] | None = None
    embedding: str | None = None
    embedding_axes: tuple[str, ...] | None = None
    frames: str | None = None
    frames_axes: tuple[str, ...] | None = None
    window: int | None = None
    hop: int | None = None
    pad: Pad = "zeros"
    frame_padding: float = 0.0
    reduce: Reduce | None = None
    context: int = 0
    row_s: float | None = None
    frame_hop: int | None = None
    frame_length: int | None = None
    states: tuple[State, ...] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    embedding_normalised: bool | None = None
    task: Task | None = None
    name: str | None = None
    thresholds: float | Mapping[str, float] | None = None
    threshold_method: str = "stated when the model was adopted"
    training_data: str = "unknown"
    licence: str = "unknown"
    attribution: str = "unknown"
    commit: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)

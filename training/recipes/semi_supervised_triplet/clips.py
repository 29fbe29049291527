"""Section 3.1 of the paper: the clips, their features and labels, on the paper's data or the stand-in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine import FrontendConfig, LogMel
from engine.audio import load
from training.datasets.dcase2018 import load_dcase2018
from training.datasets.esc50 import CITATION, authors
from training.datasets.mixing import fitted
from training.datasets.scenes import SECONDS, make_scenes, waveforms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import DataSet
    from training.recipes.semi_supervised_triplet.config import Config


@dataclass(frozen=True, eq=False)
class Clips:
    """Linear mel spectrograms of the training and validation clips, and the evaluation clips as sound.

    Attributes
    ----------
    labels : tuple of str
    mel : dict of str to Tensor, shape (n_clips, n_frames, n_mels)
        Of "labelled", "unlabelled" and "validation", not normalised.
    targets : dict of str to ndarray, shape (n_clips, n_labels)
        Of "labelled", "validation" and "evaluation"; of the unlabelled clips nobody may know them.
    evaluation : callable
        Gives the samples of the evaluation clips, each time anew.
    frontend : FrontendConfig
        With each band's mean and deviation over the labelled and unlabelled clips.
    description, licence, attribution : str
        For the card.
    """

    labels: tuple[str, ...]
    mel: dict[str, Tensor]
    targets: dict[str, NDArray[np.uint8]]
    evaluation: Evaluation
    frontend: FrontendConfig
    description: str
    licence: str
    attribution: str

    def normalised(self, mel: Tensor) -> Tensor:
        """Return log-mel as the network and the front end of the card have it."""
        assert self.frontend.mean is not None
        assert self.frontend.std is not None
        log_mel = (mel + self.frontend.log_offset).log()
        return (log_mel - torch.tensor(self.frontend.mean)) / torch.tensor(self.frontend.std)


class Evaluation:
    """The evaluation clips as sound, mixed or decoded when they are asked for."""

    def __init__(self, clips: Iterable[object], config: Config) -> None:
        self.clips, self.sample_rate = tuple(clips), config.sample_rate

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Give the samples of each clip."""
        return _sounds(self.clips, self.sample_rate)


def load_clips(data: Path, config: Config) -> Clips:
    """Return the clips of the configured corpus.

    Raises
    ------
    ConfigError
        When the data set is not there, or has too few recordings.
    """
    frontend = FrontendConfig(
        sample_rate=config.sample_rate,
        win_length=config.win_length,
        hop_length=config.hop_length,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        spectrum="magnitude",
        log_floor=0.0,
        log_offset=config.log_offset,
    )
    if config.corpus == "scenes":
        counts = {part: getattr(config, part) for part in ("labelled", "unlabelled", "validation", "evaluation")}
        made = make_scenes(data, data / config.background, counts, config.seed)
        parts, labels = dict(made.parts), made.labels
        targets = {part: made.targets(part) for part in ("labelled", "validation", "evaluation")}
        told = (
            f"scenes of ESC-10 over field recordings, folds disjoint: {_counted(counts)}",
            "Apache-2.0; the training recordings are CC0, CC BY 3.0 and BSD-3-Clause",
            f"{CITATION}. Freesound recordings by {', '.join(authors(data))}.",
        )
    else:
        sets = _dcase2018(data)
        parts, labels = {part: found.records for part, found in sets.items()}, sets["labelled"].labels  # type: ignore[assignment]
        targets = {part: sets[part].targets() for part in ("labelled", "validation", "evaluation")}
        told = (
            f"DCASE 2018 task 4: {_counted({part: len(found) for part, found in sets.items()})}",
            "Apache-2.0; the training recordings keep the terms of their YouTube videos",
            "DCASE 2018 task 4 (Serizel and others, 2018)",
        )
    mel = {
        part: linear_mel(_sounds(parts[part], config.sample_rate), frontend)
        for part in ("labelled", "unlabelled", "validation")
    }
    bands = torch.cat([mel["labelled"], mel["unlabelled"]]).flatten(0, 1).add(config.log_offset).log()
    mean, std = (tuple(round(value, 4) for value in of.tolist()) for of in (bands.mean(0), bands.std(0)))
    return Clips(
        labels,
        mel,
        targets,
        Evaluation(parts["evaluation"], config),
        replace(frontend, mean=mean, std=tuple(max(value, 1e-3) for value in std)),
        *told,
    )


def linear_mel(sounds: Iterable[NDArray[np.float32]], frontend: FrontendConfig) -> Tensor:
    """Return mel magnitudes, shape (n_clips, n_frames, n_mels), by the engine's front end and the inverse logarithm."""
    log_mel = LogMel(frontend)
    mel = torch.from_numpy(np.stack([log_mel(sound) for sound in sounds]))
    return (mel.exp() - frontend.log_offset).clamp_min(0)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {part}" for part, n in counts.items())


def _dcase2018(data: Path) -> dict[str, DataSet]:
    found = load_dcase2018(data, ("weak", "unlabel_in_domain", "test", "eval"))
    of_split = {"labelled": "train", "unlabelled": "unlabelled", "validation": "validation", "evaluation": "test"}
    return {part: found.select(split=split) for part, split in of_split.items()}


def _sounds(clips: Iterable[object], sample_rate: int) -> Iterator[NDArray[np.float32]]:
    from training.datasets.scenes import Scene

    clips = tuple(clips)
    if all(isinstance(clip, Scene) for clip in clips):
        yield from waveforms(clips, sample_rate)  # type: ignore[arg-type]
        return
    for clip in clips:
        yield fitted(load(clip.path, sample_rate)[0], math.ceil(SECONDS * sample_rate))  # type: ignore[attr-defined]

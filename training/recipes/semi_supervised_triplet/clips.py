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
from training.datasets.scenes import PARTS, SECONDS, make_scenes, waveforms
from training.feature_cache import FeatureCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

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
        Gives the samples of the evaluation clips one by one.
    frontend : FrontendConfig
        With each band's mean and deviation over the labelled and unlabelled clips.
    description, licence, attribution : str
        For the card.
    """

    labels: tuple[str, ...]
    mel: dict[str, Tensor]
    targets: dict[str, NDArray[np.uint8]]
    evaluation: Callable[[], Iterator[NDArray[np.float32]]]
    frontend: FrontendConfig
    description: str
    licence: str
    attribution: str

    def log_mel(self, mel: Tensor) -> Tensor:
        """Return log-mel as the network and the front end of the card have it."""
        assert self.frontend.mean is not None
        assert self.frontend.std is not None
        log_mel = (mel + self.frontend.log_offset).log()
        return (log_mel - torch.tensor(self.frontend.mean)) / torch.tensor(self.frontend.std)


def load_clips(data: Path, config: Config, cache: Path) -> Clips:
    """Return the clips of the configured corpus.

    Parameters
    ----------
    data : Path
        The data set's folder.
    config : Config
    cache : Path
        Folder for the features of recordings; those of scenes are made anew.

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
    return _scenes(data, config, frontend) if config.corpus == "scenes" else _dcase2018(data, config, frontend, cache)


def _scenes(data: Path, config: Config, frontend: FrontendConfig) -> Clips:
    counts = {part: getattr(config, part) for part in PARTS}
    made = make_scenes(data, data / config.background, counts, config.seed)
    log_mel = LogMel(frontend)
    mel = {
        part: linear(np.stack([log_mel(sound) for sound in waveforms(made.parts[part], config.sample_rate)]), frontend)
        for part in PARTS[:3]
    }
    return Clips(
        made.labels,
        mel,
        {part: made.targets(part) for part in PARTS if part != "unlabelled"},
        lambda: waveforms(made.parts["evaluation"], config.sample_rate),
        normalised(frontend, mel),
        f"scenes of ESC-10 over field recordings, folds disjoint: {_counted(counts)}",
        "Apache-2.0; the training recordings are CC0, CC BY 3.0 and BSD-3-Clause",
        f"{CITATION}. Freesound recordings by {', '.join(authors(data))}.",
    )


def _dcase2018(data: Path, config: Config, frontend: FrontendConfig, cache: Path) -> Clips:
    found = load_dcase2018(data, ("weak", "unlabel_in_domain", "test", "eval"))
    splits = ("train", "unlabelled", "validation", "test")
    sets = {part: found.select(split=split) for part, split in zip(PARTS, splits, strict=True)}
    n_samples = math.ceil(SECONDS * config.sample_rate)
    features = FeatureCache(cache, frontend)
    silence = np.float32(math.log(config.log_offset))
    mel = {}
    for part in PARTS[:3]:
        log_mel = np.full((len(sets[part]), frontend.n_frames(n_samples), config.n_mels), silence)
        for row, record in zip(log_mel, sets[part].records, strict=True):
            frames = features(record.path)[: len(row)]  # a short clip ends in silence
            row[: len(frames)] = frames
        mel[part] = linear(log_mel, frontend)
    return Clips(
        found.labels,
        mel,
        {part: sets[part].targets() for part in PARTS if part != "unlabelled"},
        lambda: (fitted(load(r.path, config.sample_rate)[0], n_samples) for r in sets["evaluation"].records),
        normalised(frontend, mel),
        f"DCASE 2018 task 4, {len(found.missing)} files missing: {_counted({p: len(of) for p, of in sets.items()})}",
        "Apache-2.0; the training recordings keep the terms of their YouTube videos",
        "DCASE 2018 task 4 (Serizel and others, 2018)",
    )


def linear(log_mel: NDArray[np.float32], frontend: FrontendConfig) -> Tensor:
    """Return mel magnitudes from the front end's logarithms, shape (n_clips, n_frames, n_mels)."""
    return torch.from_numpy(log_mel).exp_().sub_(frontend.log_offset).clamp_min_(0)


def normalised(frontend: FrontendConfig, mel: Mapping[str, Tensor]) -> FrontendConfig:
    """Return the front end with each band's mean and deviation over the labelled and unlabelled clips."""
    n, total, squares = 0, 0.0, 0.0
    for clip in (clip for part in ("labelled", "unlabelled") for clip in mel[part]):
        log_mel = (clip.double() + frontend.log_offset).log()
        n, total, squares = n + len(clip), total + log_mel.sum(dim=0), squares + (log_mel**2).sum(dim=0)
    mean = total / n
    std = (squares / n - mean**2).clamp_min(0).sqrt().clamp_min(1e-3)
    rounded = (tuple(round(value, 4) for value in of.tolist()) for of in (mean, std))
    return replace(frontend, **dict(zip(("mean", "std"), rounded, strict=True)))


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {part}" for part, n in counts.items())

"""Log-mel features of recordings, through the engine's own front end and no other.

Augmentation works on mel power, before the steps that look at the whole window. So the front end is split there:
``before_window_steps`` is what the engine computes once per recording, ``window_steps`` is the rest in torch, on the
augmented windows. Together they are the front end in the model's card; a test holds them to it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine import FrontendConfig, LogMel
from engine.audio import load
from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.datasets.record import Record


@dataclass(frozen=True)
class MelPower:
    """Mel power spectrograms of many recordings.

    Attributes
    ----------
    power : Tensor, shape (n_recordings, n_longest, n_mels), float32
        Zero after each recording's end.
    lengths : Tensor, shape (n_recordings,), int64
        True number of frames of each.
    """

    power: Tensor
    lengths: Tensor


def before_window_steps(frontend: FrontendConfig) -> FrontendConfig:
    """Return ``frontend`` without the steps of ``window_steps``: plain decibels.

    Raises
    ------
    ConfigError
        When ``frontend`` is not of the kind that ``window_steps`` completes.
    """
    wanted = {"spectrum": "power", "log": "dB", "log_offset": 0.0, "log_reference": "max", "zscore": False}
    for name, value in wanted.items():
        if getattr(frontend, name) != value:
            raise ConfigError(f"expected a front end with {name}={value!r}, got {getattr(frontend, name)!r}; change it")
    return replace(frontend, log_reference=1.0, log_range=None, mean=None, std=None)


def window_steps(power: Tensor, frontend: FrontendConfig) -> Tensor:
    """Return the network's input: decibels under the window's maximum, limited in range, normalised per band.

    Parameters
    ----------
    power : Tensor, shape (batch, n_frames, n_mels)
    """
    level_db = 10 * torch.log10(power.clamp_min(frontend.log_floor))
    level_db = level_db - level_db.amax(dim=(1, 2), keepdim=True)
    if frontend.log_range is not None:
        level_db = level_db.clamp_min(-frontend.log_range)
    if frontend.mean is None or frontend.std is None:
        return level_db
    return (level_db - torch.tensor(frontend.mean)) / torch.tensor(frontend.std)


def mel_power(records: Sequence[Record], frontend: FrontendConfig, cache: Path) -> MelPower:
    """Compute the mel power of each recording at its full length, or read it from ``cache``.

    Parameters
    ----------
    cache : Path
        Folder for one file per front end and list of recordings, written by temporary name and rename.
    """
    stored = cache / f"mel-power-{_key(records, frontend)}.npz"
    if not stored.exists():
        log_mel = LogMel(before_window_steps(frontend))
        clips = [log_mel(load(record.path, frontend.sample_rate)[0]) for record in records]
        lengths = np.array([len(clip) for clip in clips])
        power = np.zeros((len(clips), lengths.max(), frontend.n_mels), np.float32)
        for row, clip in zip(power, clips, strict=True):
            row[: len(clip)] = 10 ** (clip / 10)
        temporary = stored.with_suffix(".part")
        with temporary.open("wb") as file:
            np.savez(file, power=power, lengths=lengths)
        temporary.replace(stored)
    with np.load(stored) as arrays:
        return MelPower(torch.from_numpy(arrays["power"]), torch.from_numpy(arrays["lengths"]))


def band_statistics(features: MelPower, frontend: FrontendConfig) -> FrontendConfig:
    """Return ``frontend`` with the mean and standard deviation of each band over all true frames of ``features``."""
    level_db = window_steps(features.power, replace(frontend, mean=None, std=None))
    inside = torch.arange(level_db.shape[1]) < features.lengths[:, None]
    frames = level_db[inside].double()
    mean, std = (tuple(round(value, 4) for value in values.tolist()) for values in (frames.mean(0), frames.std(0)))
    return replace(frontend, mean=mean, std=std)


def _key(records: Sequence[Record], frontend: FrontendConfig) -> str:
    files = [(str(record.path), record.path.stat().st_size, record.path.stat().st_mtime_ns) for record in records]
    content = json.dumps([before_window_steps(frontend).to_dict(), files])
    return hashlib.sha256(content.encode()).hexdigest()[:16]

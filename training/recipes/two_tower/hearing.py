"""Recordings as a tower hears them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.audio import load
from engine.take import TRIM_DB, prepared_take
from training.disguise import disguise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from training.datasets.record import Record
    from training.recipes.two_tower.towers import Tower


def log_mel(records: Sequence[Record], tower: Tower, *, prepared: bool) -> Tensor:
    """Return the log-mel of each recording's first window, zeros behind a shorter one, (n, n_frames, n_mels).

    Parameters
    ----------
    records : sequence of Record
    tower : Tower
    prepared : bool
        Trim silence and level as ``engine.Ranker`` does with queries.
    """
    frontend, rate = tower.log_mel(), tower.frontend.sample_rate
    made = []
    for record in records:
        samples = samples_of(record, rate)
        if prepared:
            samples = prepared_take(samples, rate, TRIM_DB, str(record.path))
        samples = samples[: tower.window]
        made.append(frontend(np.pad(samples, (0, tower.window - len(samples)))))
    return torch.from_numpy(np.stack(made))


def samples_of(record: Record, sample_rate: int) -> NDArray[np.float32]:
    """Return a recording's samples, in disguise where its split says so: always the same one for a file and number."""
    samples = load(record.path, sample_rate)[0]
    if record.split is None or not record.split.startswith("disguise"):
        return samples
    seed = zlib.crc32(f"{record.path.name} {record.split}".encode())
    return disguise(samples, sample_rate, np.random.default_rng(seed))

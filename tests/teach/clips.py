"""Made-up clips that the tiny network tells apart: noise in a low, a middle or a high band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tests.tiny_models import RATE

if TYPE_CHECKING:
    from pathlib import Path

BANDS = {"low": (100, 700), "middle": (1200, 1900), "high": (2800, 3900)}


def noise(band: str, seed: int, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    """White noise between two frequencies."""
    low, high = BANDS[band]
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(int(seconds * RATE)))
    frequencies = np.fft.rfftfreq(int(seconds * RATE), 1 / RATE)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    samples = np.fft.irfft(spectrum, int(seconds * RATE))
    return (level * samples / np.abs(samples).max()).astype(np.float32)


def write(path: Path, samples: np.ndarray) -> Path:
    """Write samples at the tiny network's rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return path


def folder_of(root: Path, labels: tuple[str, ...] = ("low", "middle", "high"), n: int = 5) -> Path:
    """A folder per label with ``n`` clips of one to two seconds in each."""
    for number, label in enumerate(labels):
        for index in range(n):
            seconds = 1 + 0.25 * (index % 5)
            write(root / label / f"{label}{index}.wav", noise(label, 100 * number + index, seconds))
    return root

"""An embedder whose recordings are lists of vectors in JSON, and counts what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import AudioError
from engine.results import Clip, Window
from tests.tiny_models import EMBEDDING_SIZE, log_mel_card

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

SIZE = EMBEDDING_SIZE


class Reader:
    """Stands in for an Embedder: window i of a recording covers second i, its embedding is the i-th vector."""

    def __init__(self, name: str = "reader", **changes: object) -> None:
        self.card = log_mel_card(name=name, model_sha256="a" * 64, card_sha256="b" * 64, **changes)
        self.read: list[str] = []

    def __call__(self, source: str | os.PathLike[str], **_options: object) -> Clip:
        path = Path(source)
        self.read.append(path.name)
        try:
            vectors = np.array(json.loads(path.read_text()), np.float32).reshape(-1, SIZE)
        except (OSError, ValueError) as error:
            raise AudioError(f"expected vectors in {str(path)!r}, got none; write some") from error
        windows = tuple(Window(float(i), i + 1.0, np.zeros(0, np.float32), vector) for i, vector in enumerate(vectors))
        return Clip(str(path), float(len(windows)), np.zeros(0, np.float32), vectors.mean(axis=0), windows)


def write(path: Path, vectors: Sequence[Sequence[float]]) -> Path:
    """Write a recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(np.asarray(vectors, float).tolist()))
    return path


def library(folder: Path, n_recordings: int, n_windows: int = 3, seed: int = 0) -> np.ndarray:
    """Write recordings 000.wav ... and return their vectors, shape (n_recordings * n_windows, size)."""
    vectors = np.random.default_rng(seed).standard_normal((n_recordings, n_windows, SIZE)).astype(np.float32)
    for i, rows in enumerate(vectors):
        write(folder / f"{i:03d}.wav", rows)
    return vectors.reshape(-1, SIZE)

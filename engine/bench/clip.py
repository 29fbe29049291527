"""What is measured on: the synthetic clip of the golden checks, as samples and encoded in memory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import soundfile

from engine.golden import synthetic_clip
from engine.verify import GOLDEN_CLIP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENCODINGS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS")}


def clip(seconds: float, sample_rate: int) -> NDArray[np.float32]:
    """Return the clip, shape (n_samples,), float32, at least one sample."""
    return synthetic_clip(GOLDEN_CLIP, max(1, round(seconds * sample_rate)), sample_rate)


def recording_rate(model_rate: int) -> int:
    """Return the rate in Hz that recordings have, such that a model has to resample them: 44.1 kHz, else 48 kHz."""
    return 44100 if model_rate != 44100 else 48000


def encoded(samples: NDArray[np.float32], sample_rate: int, encoding: str) -> bytes:
    """Return the clip as the bytes of a file in one of ``ENCODINGS``."""
    kind, subtype = ENCODINGS[encoding]
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sample_rate, 1, subtype, format=kind) as writer:
        # libsndfile's Vorbis encoder takes what it is given at once onto the stack.
        for start in range(0, len(samples), sample_rate):
            writer.write(samples[start : start + sample_rate])
    return file.getvalue()

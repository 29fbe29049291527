"""Recordings of visitors: read as far as is allowed, and never further."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.audio import open_audio
from engine.errors import AudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_upload(path: str, sample_rate: int, max_s: float) -> NDArray[np.float32]:
    """Return the samples of a visitor's recording at a rate, shape (n_samples,).

    What the header says of its length is not believed: reading ends where it has become too long.

    Raises
    ------
    AudioError
        It cannot be read, or is longer than ``max_s``; the sentence names the file as the visitor does.
    """
    blocks, n_samples = [], 0
    try:
        with open_audio(path, sample_rate=sample_rate) as reader:
            for block in reader.blocks(sample_rate):
                blocks.append(block)
                n_samples += len(block)
                if n_samples > max_s * sample_rate:
                    raise AudioError(
                        f"expected a recording of at most {max_s / 60:g} minutes, got a longer one in {path!r}; cut "
                        "it, start engine app with a larger --max-minutes, or use engine tag"
                    )
            return np.concatenate(blocks)
    except AudioError as error:
        # The folder is the server's; Gradio keeps the name.
        raise AudioError(str(error).replace(repr(path), repr(Path(path).name))) from error

"""The seconds that a search found, cut into files of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from engine.archive.durable import replace_file, writing
from engine.audio import open_audio
from engine.errors import AudioError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from engine.audio import Source
    from engine.index.hits import Hit

_BLOCK_S = 10.0


def copy_hits(hits: Iterable[Hit], folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """Write the sound of each hit as 32-bit float WAV, mono, at its own rate, named RANK_SCORE_NAME_START.wav.

    Returns
    -------
    written : list of Path
    failed : list of (path, sentence)
        Recordings that are no longer there, or no longer as long.

    Raises
    ------
    ArchiveError
        The folder cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    written, failed = [], []
    for hit in hits:
        stem = re.sub(r"[^\w.-]+", "_", Path(hit.path).stem)[:80]
        target = folder / f"{hit.rank:04d}_{hit.score:.4f}_{stem}_{hit.start_s:.2f}s.wav"
        try:
            samples, rate = cut(hit.path, hit.start_s, hit.end_s)
        except EngineError as error:
            failed.append((hit.path, str(error)))
            continue
        with writing(folder), replace_file(target) as file:
            soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
        written.append(target)
    return written, failed


def cut(source: Source, start_s: float, end_s: float) -> tuple[NDArray[np.float32], int]:
    """Return samples (n_samples,) of a stretch of a recording and their rate; memory is that of the stretch.

    ``source`` is as for ``engine.audio.open_audio``.

    Raises
    ------
    AudioError
        The recording cannot be read, or ends before the stretch begins.
    """
    with open_audio(source) as reader:
        label = reader.label
        rate = reader.sample_rate
        first, last, at, parts = round(start_s * rate), round(end_s * rate), 0, []
        for block in reader.blocks(round(_BLOCK_S * rate)):
            parts.append(block[max(0, first - at) : max(0, last - at)])
            at += len(block)
            if at >= last:
                break
    samples = np.concatenate([*parts, np.zeros(0, np.float32)])
    if not samples.size:
        raise AudioError(f"expected sound from {start_s:g} s on in {label}, got {at / rate:g} s; update the index")
    return samples, rate

"""How a model is run on a GPU for a whole archive: with which of its files, and how many windows at a time.

Both are measured once, before the plan is written, and kept with it: what a run computes never depends on how busy the
machine was when it was resumed.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.errors import ModelError
from engine.model import Model
from engine.options import AUTO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from engine.card import ModelCard
    from engine.options import CallOptions

logger = logging.getLogger(__name__)

VARIANT = "waveform"
# A file that does not get through a twentieth more is no gain.
SMALLEST_GAIN = 1.05
BATCHES = 8
REPEATS = 3


class OnDevice(NamedTuple):
    """What was chosen.

    Attributes
    ----------
    path : Path
        The file that workers open: the model's, or its waveform variant's.
    batch_size : int or None
        Windows in one call of the network; None where nothing was measured.
    """

    path: Path
    batch_size: int | None


def choose(path: Path, options: CallOptions, device: str, open_model: Callable[..., Model] = Model.open) -> OnDevice:
    """Measure a model and its waveform variant on a GPU, front end included, and return the faster one.

    The variant is ``NAME-waveform.onnx`` beside the model, as ``engine models convert`` writes it, if it was made from
    just this file. A CPU takes the model as it is, one window at a time.

    Parameters
    ----------
    path : Path
    options : CallOptions
        The windows of the run.
    device : str
        As for ``Model.open``.
    open_model : callable, optional
        Opens a file on a device.

    Raises
    ------
    ModelError, DeviceError
        A file cannot be opened or run there.
    """
    if device == "cpu":
        return OnDevice(path, None)
    with ExitStack() as opened:
        model = opened.enter_context(open_model(path, device, threads=1))
        if model.device == "cpu":
            return OnDevice(path, None)
        candidates = {path: model}
        for variant in variants_of(path, model.card):
            candidates[variant] = opened.enter_context(open_model(variant, device, threads=1))
        rates, sizes = {}, {}
        for each, candidate in candidates.items():
            rates[each], sizes[each] = _windows_per_s(candidate, options)
    best = max(rates, key=lambda each: rates[each])
    if rates[best] < SMALLEST_GAIN * rates[path]:
        best = path
    measured = ", ".join(f"{each.name} {rate:.4g} windows per second" for each, rate in rates.items())
    logger.info("%s: the archive is run with %s, %d windows at a time (%s)", device, best.name, sizes[best], measured)
    return OnDevice(best, sizes[best])


def begun_with(path: Path, model_sha256: str) -> Path:
    """Return which file a run was begun with: this one, or its variant if it is that one's content.

    Where it is neither, the model itself, which the run will refuse.
    """
    with Model.open(path, "cpu", threads=1) as model:
        card = model.card
    if card.model_sha256 != model_sha256:
        for variant in variants_of(path, card):
            with Model.open(variant, "cpu", threads=1) as opened:
                if opened.card.model_sha256 == model_sha256:
                    return variant
    return path


def variants_of(path: Path, card: ModelCard) -> Iterator[Path]:
    """Give the waveform variant beside a model, if there is one that was made from it and is intact."""
    variant = path.with_name(f"{path.stem}-{VARIANT}.onnx")
    if not variant.is_file():
        return
    try:
        with Model.open(variant, "cpu", threads=1) as opened:
            metrics: Mapping[str, Any] = opened.card.metrics or {}
    except ModelError as error:
        logger.warning("%s is left out: %s", variant.name, error)
        return
    made_from = metrics.get("made_from")
    if isinstance(made_from, dict) and made_from.get("model_sha256") == card.model_sha256:
        yield variant


def _windows_per_s(model: Model, options: CallOptions) -> tuple[float, int]:
    """Return what a model gets through on its device, and how many windows at a time that was."""
    options = {**options, "batch_size": AUTO}
    model.warmup(**options)
    size = next((sweep.size for sweep in model.batch_sweeps), 1)
    window, hop = model.windowing(options.get("window_s"), options.get("hop_s"))
    n_samples = (BATCHES * size - 1) * hop + window
    noise = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32) / 10
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        n_windows = len(model((noise, model.sample_rate), **options).windows)
        seconds.append(time.perf_counter() - began)
    return n_windows / min(seconds), size

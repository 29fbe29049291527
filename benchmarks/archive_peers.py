"""What people write instead of an archive job: a tuned pool of processes, and a torch DataLoader."""

from __future__ import annotations

import importlib
import multiprocessing
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from benchmarks.end_to_end_peers import Torch, card_of, cut, onnx_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CHUNK = 8
START_LIMIT_S = 120
_peer: list[Any] = []


def decoded(path: str, rate: int) -> NDArray[np.float32]:
    """Return a recording as a mono waveform at the model's rate."""
    samples, source_rate = soundfile.read(path, dtype="float32")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    return samples if source_rate == rate else soxr.resample(samples, source_rate, rate, "HQ")


def process_pool(model: Path, paths: Sequence[str], workers: int) -> float:
    """Return the seconds of a pool: soundfile, soxr, torch features, onnxruntime, one thread in each process."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    with context.Pool(workers, _begin, (model, barrier)) as pool:
        # A process that cannot begin is started again and again: without a limit this would be waited for for ever.
        barrier.wait(START_LIMIT_S)
        begin = time.perf_counter()
        scores = dict(pool.imap_unordered(_scores, paths, CHUNK))
        seconds = time.perf_counter() - begin
    if len(scores) != len(paths):
        raise RuntimeError(f"{len(scores)} of {len(paths)} recordings came back")
    return seconds


def _begin(model: Path, barrier: Any) -> None:
    warnings.simplefilter("ignore")
    features = Torch(model, folded=True)
    card = features.card
    assert card.outputs.scores is not None
    session = onnx_session(model)
    _peer[:] = features, session, card
    _windows_scores(np.zeros((1, card.window), np.float32))
    barrier.wait()


def _scores(path: str) -> tuple[str, NDArray[np.float32]]:
    card = _peer[2]
    return path, _windows_scores(cut(decoded(path, card.frontend.sample_rate), card.window))


def _windows_scores(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    features, session, card = _peer
    names = [port.name for port in session.get_outputs()]
    # Window by window: batches are no faster on one thread.
    rows = [
        session.run(names, {card.input.name: features.log_mel(window[np.newaxis]).numpy()})[
            names.index(card.outputs.scores.name)
        ]
        for window in windows
    ]
    scores: NDArray[np.float32] = np.concatenate(rows)
    return scores


def data_loader(model: Path, paths: Sequence[str], workers: int) -> float:
    """Return the seconds of a DataLoader, its start included: decoding in processes, torch eager in this one."""
    torch = importlib.import_module("torch")
    card = card_of(model)
    network = Torch(model, folded=True)
    assert card.frontend is not None
    rate, window = card.frontend.sample_rate, card.window

    begin = time.perf_counter()
    loader = torch.utils.data.DataLoader(
        _Recordings(paths, rate, window), batch_size=CHUNK, num_workers=workers, collate_fn=np.concatenate
    )
    for windows in loader:
        network.network(network.log_mel(windows))
    return time.perf_counter() - begin


class _Recordings:
    """Windows of each recording, as a torch data set with items."""

    def __init__(self, paths: Sequence[str], rate: int, window: int) -> None:
        self._paths, self._rate, self._window = paths, rate, window

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return cut(decoded(self._paths[index], self._rate), self._window)

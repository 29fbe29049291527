"""What an archive run is made of, timed: the stages of each recording, the work alone, the whole shard function."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.archive_peers import START_LIMIT_S
from engine.archive.heap import keep_freed_memory
from engine.archive.items import Item, Opener
from engine.archive.plan import make_shards, write_plan
from engine.archive.settings import settings_for
from engine.archive.shard import run_shard
from engine.archive.store import FILES, WINDOWS, Store
from engine.archive.tables import write_files
from engine.audio import AudioReader, load, open_recording
from engine.bench.stages import StagedModel
from engine.card import read_card
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from engine.archive.plan import Shard
    from engine.archive.tables import FileRow

STAGES = ("decode", "resample", "log-mel", "network")
# What a process of ``stages_at_once`` has open.
_process: list[Any] = []


def stages(model: StagedModel, paths: Sequence[str]) -> dict[str, float]:
    """Return the seconds of each stage, one recording after another."""
    seconds = dict.fromkeys(STAGES, 0.0)
    for path in paths:
        begin = time.perf_counter()
        samples, rate = load(path)
        decoded = time.perf_counter()
        resampled, _ = load((samples, rate), model.sample_rate)
        seconds["resample"] += time.perf_counter() - decoded
        seconds["decode"] += decoded - begin
        model.forget()
        model((resampled, model.sample_rate))
        seconds["log-mel"] += model.log_mel_s
        seconds["network"] += model.network_s
    return seconds


def stages_at_once(model: Path, paths: Sequence[str], workers: int) -> list[dict[str, float]]:
    """Return the seconds of each stage in each of so many processes that all go through the same recordings."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    with context.Pool(workers, _begin_stages, (model, barrier)) as pool:
        return pool.map(_stages_of, [(paths, number * len(paths) // workers) for number in range(workers)], 1)


def _begin_stages(path: Path, barrier: Any) -> None:
    warnings.simplefilter("ignore")
    session = Session(path, "cpu", 1)
    _process[:] = StagedModel(session, read_card(session.metadata)), barrier


def _stages_of(asked: tuple[Sequence[str], int]) -> dict[str, float]:
    paths, first = asked
    model, barrier = _process
    stages(model, paths[:1])
    keep_freed_memory()
    barrier.wait(START_LIMIT_S)  # each process has one part: none takes two
    return stages(model, [*paths[first:], *paths[:first]])


def bare(model: StagedModel, paths: Sequence[str]) -> float:
    """Return the seconds of the work alone: no hashes, no levels, no tables."""
    begin = time.perf_counter()
    for path in paths:
        with AudioReader(open_recording(path), model.sample_rate, None) as reader:
            for _ in model.listen(reader):
                pass
    return time.perf_counter() - begin


class PlainStore(Store):
    """Writes the same tables under their names at once, and nothing that says whether they are whole."""

    @contextlib.contextmanager
    def replaced(self, shard: Shard) -> Iterator[tuple[Path, list[FileRow]]]:
        """Give the path to write the windows of a shard to, and a list for its rows."""
        rows: list[FileRow] = []
        yield self.windows_path(shard.index), rows
        write_files(self.files_path(shard.index), rows, {})

    def metadata(self, _shard: Shard) -> dict[str, str]:
        """Return nothing."""
        return {}


def whole(model: StagedModel, paths: Sequence[str], folder: Path, kind: type[Store]) -> float:
    """Return the seconds of the shard function over the same recordings, divided and written as a run does it."""
    settings = settings_for(model)
    store = kind(folder, settings)
    store.place.prepare(WINDOWS, FILES)
    items = [Item(path, Path(path).stat().st_size, Path(path).stat().st_mtime) for path in paths]
    keep_freed_memory()  # as workers do
    begin = time.perf_counter()
    shards: Iterable[Shard] = make_shards(items)
    if kind is Store:
        shards = write_plan(store.place, settings, "esc10", shards)
    with Opener() as opener, ThreadPoolExecutor(1) as writing:
        written: Future[None] | None = None
        for shard in shards:
            if kind is Store and store.is_done(shard):
                continue
            finish = run_shard(
                model, shard, store, opener=opener, retry=False, excluded={},
                begun=lambda _: None, done=lambda *_: None, cancel=threading.Event(),
            )  # fmt: skip
            if written is not None:
                written.result()
            written = writing.submit(finish)
    if written is not None:
        written.result()
    return time.perf_counter() - begin

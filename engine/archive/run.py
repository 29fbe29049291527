"""Running an archive on one machine, from its inputs to the tables."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from engine.archive.plan import make_shards, read_plan, write_plan
from engine.archive.scan import scan
from engine.archive.settings import PRODUCTS, settings_for
from engine.archive.store import Store, manifest_path
from engine.archive.supervisor import Supervisor
from engine.errors import ArchiveError, ConfigError
from engine.model import Model
from engine.threads import resolve_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from engine.archive.items import Item
    from engine.archive.plan import Plan, Shard
    from engine.archive.supervisor import Progress
    from engine.model import Cancel


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Attributes
    ----------
    folder : Path
    n_items : int
        Recordings of the archive.
    n_failed : int
        Of those, the ones that could not be used, or not to their end.
    n_run : int
        Those that this run did; the others were done before.
    audio_s : float
        Sound that this run has read, in seconds.
    elapsed_s : float
    """

    folder: Path
    n_items: int
    n_failed: int
    n_run: int
    audio_s: float
    elapsed_s: float


def run(  # noqa: PLR0913 - the options of a job, each by its keyword
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    products: Collection[str] = PRODUCTS,
    window_s: float | None = None,
    hop_s: float | None = None,
    channel: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    limit: int | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    progress: Callable[[Progress], object] | None = None,
    cancel: Cancel | None = None,
) -> Summary:
    """Tag and embed an archive of recordings into a folder of Parquet tables.

    The plan is written first. Every shard of it is written whole or not at all, so that a run which ends early, for
    whatever reason, is taken up again by the same call with ``resume=True``.

    Parameters
    ----------
    inputs : iterable of str or path
        See ``engine.archive.scan``. With ``resume``, recordings that the plan does not have are added to it; it may be
        empty.
    out : path
        The folder to write; new, or with ``resume`` one of an earlier run.
    model : str, path or None
        As for ``Tagger``.
    products : collection of str
        "tags" (scores), "embeddings" or both; of both, those that the model gives.
    window_s, hop_s : float or None
        The card's by default.
    channel : int or None
        The channel to take; None averages all.
    device : str
        As for ``Tagger``.
    workers : int or None
        Processes; by default one for each CPU that this process may use.
    include, exclude : collection of str
        Patterns of names to take, and not to take.
    limit : int or None
        Take only the first recordings.
    resume : bool
    retry_failed : bool
        Do the shards again that have recordings which could not be used.
    progress : callable, optional
        Called a few times in a second with a ``Progress``.
    cancel : threading.Event, optional
        Once set, the run drops the shards in work and ends with ``Cancelled``.

    Returns
    -------
    Summary

    Raises
    ------
    ConfigError
        Settings that make no sense, a folder that is not empty, or one that another run writes.
    ArchiveError
        The folder cannot be written, or workers cannot work.
    ModelError, DeviceError, AudioError
        The model, the device or an input cannot be used.
    Cancelled
    """
    began = time.perf_counter()
    folder = Path(out)
    resolve_threads(workers)
    opened = Model.open(model, device, threads=1)
    device = opened.device
    settings = settings_for(opened, products, window_s, hop_s, channel)
    items = islice(scan(inputs, include, exclude), limit)
    store = Store(folder, settings)
    _prepare(folder, resume=resume)
    with store.locked():
        if resume and manifest_path(folder).exists():
            plan = _extended(store, items)
        else:
            name = os.fspath(model) if model is not None else opened.card.name
            plan = write_plan(manifest_path(folder), settings, name, make_shards(items))
        if not plan.shards:
            raise ArchiveError("expected recordings, got none from the inputs; check them and the patterns")
        pending = [shard for shard in plan.shards if not _is_over(store, shard, retry_failed=retry_failed)]
        supervisor = Supervisor(store, plan, device, resolve_threads(workers) if device == "cpu" else 1)
        try:
            supervisor.run(pending, progress, cancel)
        finally:
            n_failed = store.gather(plan)
    return Summary(
        folder,
        plan.n_items,
        n_failed,
        sum(len(shard.items) for shard in pending),
        supervisor.audio_s,
        time.perf_counter() - began,
    )


def plan_of(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    limit: int | None = None,
) -> str:
    """Return a sentence on what a run over these inputs would do; nothing is written."""
    n_shards, n_items, n_bytes = 0, 0, 0
    for shard in make_shards(islice(scan(inputs, include, exclude), limit)):
        n_shards += 1
        n_items += len(shard.items)
        n_bytes += sum(item.size or 0 for item in shard.items)
    return f"{n_items} recordings, {n_bytes / 1e9:.3f} GB, in {n_shards} shards"


def _prepare(folder: Path, *, resume: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
        (folder / "shards").mkdir(exist_ok=True)
    except OSError as error:
        raise ArchiveError(f"expected a folder to write at {folder}, got {error.strerror}; choose another") from error
    if occupied and not resume:
        raise ConfigError(f"expected a new folder, {folder} is not empty; choose another, or go on with --resume")


def _extended(store: Store, items: Iterable[Item]) -> Plan:
    """Return the plan of the folder, with the items that it does not have in further shards."""
    plan = read_plan(manifest_path(store.folder))
    if plan.settings != store.settings:
        theirs, ours = plan.settings.to_dict(), store.settings.to_dict()
        changed = [name for name in theirs if theirs[name] != ours[name]]
        raise ConfigError(
            f"expected the settings that {store.folder} was begun with, {changed} differ; choose another folder, or "
            "resume with the same"
        )
    known = {item.uri for shard in plan.shards for item in shard.items}
    added = (item for item in items if item.uri not in known)
    more = tuple(make_shards(added, first_index=len(plan.shards), first_file=plan.n_items))
    if not more:
        return plan
    return write_plan(manifest_path(store.folder), plan.settings, plan.model, (*plan.shards, *more))


def _is_over(store: Store, shard: Shard, *, retry_failed: bool) -> bool:
    return store.is_done(shard) and not (retry_failed and store.has_failures(shard))

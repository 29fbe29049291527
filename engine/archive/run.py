"""Running an archive, from its inputs to the tables: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib
import time
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from engine.archive.arrow import pyarrow
from engine.archive.cluster import Actors, connected, resolve_cores, resolve_device, resolve_workers
from engine.archive.durable import writing
from engine.archive.exports import check_formats, remove_exports, write_exports
from engine.archive.on_device import begun_with, choose
from engine.archive.place import is_partial, out_of, place_of
from engine.archive.plan import MANIFEST, make_shards, open_plan, write_plan
from engine.archive.processes import Processes
from engine.archive.scan import scan
from engine.archive.settings import INDEX, PRODUCTS, resumed_settings, settings_for
from engine.archive.splitting import with_splits
from engine.archive.store import LOCK, PARTS, TABLE_FOLDERS, Store
from engine.archive.supervisor import Supervisor
from engine.errors import ArchiveError, Cancelled, ConfigError
from engine.model import Model
from engine.registry import find_model, model_names
from engine.threads import resolve_threads

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from engine.archive.items import Item
    from engine.archive.place import Place
    from engine.archive.plan import Plan, Shard
    from engine.archive.settings import ArchiveSettings
    from engine.archive.supervisor import Crew, Progress
    from engine.model import Cancel

_T = TypeVar("_T")
_INDEX = "engine.index"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Attributes
    ----------
    folder : Path or str
    n_items : int
        Recordings of the archive.
    n_failed : int
        Of those, the ones that could not be used, or not to their end.
    n_run : int
        Those in the shards that this run did; the others were done before.
    n_damaged : int
        Shards that were done before but not intact, and were done again.
    audio_s : float
        Sound that this run has read, in seconds.
    elapsed_s : float
    """

    folder: Path | str
    n_items: int
    n_failed: int
    n_run: int
    n_damaged: int
    audio_s: float
    elapsed_s: float


def run(  # noqa: PLR0913 - the options of a job, each by its keyword
    inputs: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    products: Collection[str] | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    channel: int | None = None,
    time_pattern: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    ray: str | None = None,
    formats: Collection[str] = (),
    threshold: float | Mapping[str, float] | None = None,
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
    whatever reason, is taken up again with ``resume=True``.

    Work is done in processes that are started anew (``spawn``): a script must call this under
    ``if __name__ == "__main__":``. It may be called in any thread.

    Parameters
    ----------
    inputs : iterable of str or path
        See ``engine.archive.scan``. With ``resume``, recordings that the plan does not have are added to it; it may be
        empty.
    out : path or str
        The folder to write, or the URL of a prefix in an object store; new, or with ``resume`` one of an earlier run.
    model : str, path or None
        As for ``Tagger``. With ``resume``, what is None of model, products, window, hop, channel and pattern is as in
        the earlier run, and the rest must be the same.
    products : collection of str or None
        "tags" (scores), "embeddings" or both; of both, the default, those that the model gives. "index" is embeddings
        that are gathered at the end, so that ``engine.Index.open`` of the folder is ready at once.
    window_s, hop_s : float or None
        The card's by default.
    channel : int or None
        The channel to take; None averages all.
    time_pattern : str or None
        How names hold the time of a recording, in the codes of ``strptime``: "%d-%m-%Y %Hh%M" for "hut 06-04-2018
        19h17.wav". It goes before what the recorder wrote; None takes that, or a time as recorders write it in names.
    device : str
        As for ``Tagger``; with ``ray`` it is "auto", "cpu" or "cuda", and each worker is given a GPU of its own.
    workers : int or None
        Processes; by default one for each CPU that this process may use, or one for each CPU or GPU of the cluster.
    ray : str or None
        The address of a Ray cluster that does the work ("auto" on one of its machines), or "local" for one that is
        started here and ended afterwards. Inputs and ``out`` must be there under the same names on all machines. Where
        ``ray.init`` was called before, that cluster is used.
    formats : collection of str
        Of ``write_results``: tables for other programs, written from the finished shards into ``out`` as results.csv
        and the like.
    threshold : float or Mapping from label to float, optional
        The score from which rows go into ``formats``; the shards hold every score.
    include, exclude : collection of str
        Patterns of names to take, and not to take.
    limit : int or None
        Take only the first recordings.
    resume : bool
        Go on with what the folder has.
    retry_failed : bool
        Resume, and read the recordings again that could not be used.
    progress : callable, optional
        Called a few times in a second with a ``Progress``.
    cancel : threading.Event, optional
        Once set, the run drops the shards in work and ends with ``Cancelled``; what is finished is kept.

    Returns
    -------
    Summary

    Raises
    ------
    ConfigError
        Settings that make no sense or differ from the earlier run's, a folder that is not empty or that another run
        writes, no cluster at the address, or a package is missing.
    ArchiveError
        The folder cannot be written, or workers cannot work.
    ModelError, DeviceError, AudioError
        The model, the device or an input cannot be used.
    Cancelled
    """
    began = time.perf_counter()
    pyarrow()
    resume = resume or retry_failed
    folder = out_of(out)
    folder = folder.absolute() if isinstance(folder, Path) else folder
    gathers = products is not None and INDEX in products
    if gathers and not isinstance(folder, Path):
        raise ConfigError(
            f"expected a folder for the product index, which is searched where it lies, got {str(folder)!r}; take "
            "embeddings, copy the results to a folder and open that with engine.Index"
        )
    place = place_of(folder)
    begun = open_plan(place) if resume and place.size(MANIFEST) is not None else None
    asked: dict[str, Any] = {"window_s": window_s, "hop_s": hop_s, "channel": channel, "time_pattern": time_pattern}
    applied = _applied(model, begun, products, asked, device, measured=ray is None)
    settings, takes_parts = applied.settings, applied.takes_parts
    check_formats(formats, threshold, settings.labels)
    items = _until(cancel, islice(scan(inputs, include, exclude), limit))
    store = Store(folder, settings)
    _prepare(store, resume=begun is not None)
    with _crew(ray, applied.path, applied.device, workers, store) as (crew, n_workers), store.locked():
        _sweep(store)
        if begun is None:
            plan = write_plan(
                place, settings, _name_of(applied.path), _shards(items, settings, takes_parts=takes_parts)
            )
        else:
            plan = _extended(place, items, takes_parts=takes_parts)
        if not plan.n_items:
            place.remove(MANIFEST)
            raise ArchiveError("expected recordings, got none from the inputs; check them and the patterns")
        done, pending, n_damaged = _divided(store, plan, retry_failed=retry_failed, cancel=cancel)
        if pending:
            remove_exports(store)
        supervisor = Supervisor(store, plan, crew, n_workers)
        try:
            supervisor.run(pending, progress, cancel)
        except BaseException:
            with contextlib.suppress(ArchiveError):  # it would hide why the run ends
                store.gather(done | supervisor.done)
            raise
        n_failed = store.gather(done | supervisor.done)
        store.remove_parts()
        _sweep(store)
        write_exports(store, formats, threshold)
    if gathers:
        # The vectors are gathered by what searches them, which archives know by this name alone.
        importlib.import_module(_INDEX).Index.open(folder).close()
    n_run = sum(plan.sizes[index] for index in pending)
    return Summary(folder, plan.n_items, n_failed, n_run, n_damaged, supervisor.audio_s, time.perf_counter() - began)


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


@contextlib.contextmanager
def _crew(ray: str | None, model: Path, device: str, workers: int | None, store: Store) -> Iterator[tuple[Crew, int]]:
    """Give where the workers come from, and how many there shall be."""
    if ray is None:
        n_workers = resolve_threads(workers)
        if device == "cpu":
            yield Processes(model, device, store.folder, store.settings), n_workers
        else:
            # One process has the GPU; its threads decode.
            yield Processes(model, device, store.folder, store.settings, n_workers), 1
        return
    with connected(ray, workers):
        device = resolve_device(device)
        cores = resolve_cores(device)
        with contextlib.closing(Actors(model, device, store.folder, store.settings, cores)) as actors:
            yield actors, resolve_workers(workers, device)


class _Applied(NamedTuple):
    """The model of a run and how it is applied."""

    path: Path
    device: str
    settings: ArchiveSettings
    takes_parts: bool


def _applied(
    model: str | os.PathLike[str] | None,
    begun: Plan | None,
    products: Collection[str] | None,
    asked: dict[str, Any],
    device: str,
    *,
    measured: bool,
) -> _Applied:
    """Return what a run is done with: as it was begun, or on a GPU of this machine as is measured to be fastest."""
    path = find_model(begun.model if model is None and begun is not None else model).absolute()
    batch_size = None
    if begun is not None:
        path = begun_with(path, begun.settings.model_sha256)
    elif measured:
        path, batch_size = choose(path, {"window_s": asked["window_s"], "hop_s": asked["hop_s"]}, device)
    # On a cluster, the model's device is there and not here.
    with Model.open(path, device if measured else "cpu", threads=1) as opened:
        if begun is not None:
            settings = resumed_settings(opened, begun.settings, products, **asked)
        else:
            wanted = PRODUCTS if products is None else products
            settings = settings_for(opened, wanted, **asked, batch_size=batch_size)
        # What a recurrent network remembers, or what stands before a window, comes from where the parts are cut.
        takes_parts = not opened.card.input.states and not opened.card.input.context
        return _Applied(path, opened.device if measured else device, settings, takes_parts)


def _name_of(path: Path) -> str:
    """Return what a later run finds this model by: its name where that means this file, else its path."""
    named = path.stem in model_names() and find_model(path.stem).absolute() == path
    return path.stem if named else str(path)


def _prepare(store: Store, *, resume: bool) -> None:
    place = store.place
    try:
        place.prepare(*TABLE_FOLDERS)
        # A run that ended before its plan was written has left nothing else.
        ours = {LOCK, *TABLE_FOLDERS}
        occupied = any(name not in ours and not is_partial(name) for name in place.names())
    except OSError as error:
        raise ArchiveError(
            f"expected a folder to write at {place}, got {error.strerror}; change its permissions or choose another"
        ) from error
    if occupied and not resume:
        hint = "go on with --resume" if place.size(MANIFEST) is not None else "empty it"
        raise ConfigError(f"expected a new folder, {place} is not empty; {hint}, or choose another")


def _sweep(store: Store) -> None:
    """Remove what workers that were killed have left of their files."""
    with writing(store.folder):
        store.place.sweep(*TABLE_FOLDERS, PARTS)


def _shards(
    items: Iterable[Item], settings: ArchiveSettings, first_index: int = 0, first_file: int = 0, *, takes_parts: bool
) -> Iterator[Shard]:
    shards = make_shards(items, first_index, first_file)
    return with_splits(shards, settings) if takes_parts else shards


def _extended(place: Place, items: Iterable[Item], *, takes_parts: bool) -> Plan:
    """Return the plan of the archive, with the items that it does not have in further shards."""
    plan = open_plan(place)
    first = next(items := iter(items), None)
    if first is None:
        return plan
    known = {item.uri for shard in plan for item in shard.items}
    added = (item for item in chain([first], items) if item.uri not in known)
    more = _shards(added, plan.settings, len(plan.sizes), plan.n_items, takes_parts=takes_parts)
    start = next(more, None)
    if start is None:
        return plan
    return write_plan(place, plan.settings, plan.model, chain(plan, [start], more))


def _divided(
    store: Store, plan: Plan, *, retry_failed: bool, cancel: Cancel | None
) -> tuple[set[int], dict[int, bool], int]:
    """Return the shards that are done, those to do with whether it is a second try, and how many are damaged."""
    done, pending, n_damaged = set(), {}, 0
    for shard in _until(cancel, plan):
        if not store.is_done(shard):
            pending[shard.index] = False
            n_damaged += store.has_windows(shard)
            continue
        done.add(shard.index)
        if retry_failed and store.has_failures(shard):
            pending[shard.index] = True
    return done, pending, n_damaged


def _until(cancel: Cancel | None, values: Iterable[_T]) -> Iterator[_T]:
    for value in values:
        if cancel is not None and cancel.is_set():
            raise Cancelled("cancelled before any work was done; run again as before")
        yield value

"""What an archive came to: hours, failures, how scores are distributed, and when labels were heard."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.place import out_of
from engine.archive.read import Archive
from engine.archive.store import Store
from engine.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

N_BINS = 20
_FILE_COLUMNS = ("duration_s", "n_windows", "recorded_at", "error_stage", "error_type", "wall_s")
_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """How the scores of a label are distributed.

    Attributes
    ----------
    label : str
    threshold : float or None
        The score from which it counts as heard.
    n_heard : int or None
        Windows with at least that score; None without a threshold.
    mean, maximum : float
        Of the scores; 0 where there are no windows.
    histogram : tuple of int
        Windows in each of 20 equal bins from 0 to 1; the last holds 1 as well, and scores outside are in the bin next
        to them.
    """

    label: str
    threshold: float | None
    n_heard: int | None
    mean: float
    maximum: float
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Activity:
    """How much of each label there was in spans of time by the recorder's clock.

    Attributes
    ----------
    names : tuple of str
        Of the spans: "00" to "23", or dates such as "2019-05-22".
    n_windows : tuple of int
        Windows that start in each.
    values : dict of str to tuple of float or None
        For each label and span the share of windows with at least the threshold, or the mean score without one; None
        where nothing was recorded.
    """

    names: tuple[str, ...]
    n_windows: tuple[int, ...]
    values: dict[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What ``summarise`` returns.

    Attributes
    ----------
    folder, model : str
    n_items : int
        Recordings of the plan.
    n_done : int
        Of those, the ones in shards that are done.
    n_failed : int
        Of those, the ones with an error.
    failures : dict of str to int
        Of those, how many by stage and type, such as "decode: AudioError"; the most frequent first.
    n_windows : int
    n_timed : int
        Windows whose time is known.
    audio_s : float
        Sound that was read, in seconds.
    worker_s : float
        What all workers together took for it.
    first, last : str or None
        When the earliest and the latest recording began, as ISO 8601 by the recorder's clock.
    labels : tuple of LabelSummary
    by_hour, by_day : Activity
        Over the windows whose time is known: the 24 hours of the day, and the days that have any, in order.
    """

    folder: str
    model: str
    n_items: int
    n_done: int
    n_failed: int
    failures: dict[str, int]
    n_windows: int
    n_timed: int
    audio_s: float
    worker_s: float
    first: str | None
    last: str | None
    labels: tuple[LabelSummary, ...]
    by_hour: Activity
    by_day: Activity

    @property
    def x_real_time(self) -> float | None:
        """Seconds of sound that one worker did in a second; None before there are any."""
        return self.audio_s / self.worker_s if self.worker_s > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {"x_real_time": self.x_real_time}


def summarise(
    folder: str | os.PathLike[str],
    labels: Collection[str] | None = None,
    threshold: float | Mapping[str, float] | None = None,
) -> ArchiveSummary:
    """Read an archive once, shard by shard, also one that is not finished.

    What is held grows with the labels and the days, not with the windows.

    Parameters
    ----------
    folder : path
    labels : collection of str, optional
        All by default.
    threshold : float or Mapping from label to float, optional
        The score from which a label counts as heard; labels that a mapping lacks are left out.

    Raises
    ------
    ConfigError
        There is no archive, or it does not have one of the labels.
    ArchiveError
        A table is damaged.
    """
    store, plan = Store.open(out_of(folder))
    archive = Archive(store.folder, store.settings)
    chosen: dict[str, float] = {}
    if archive.labels or labels or isinstance(threshold, dict):
        chosen = archive.chosen(labels, threshold)
    recordings = _Recordings()
    for batch in archive.files(_FILE_COLUMNS):
        recordings.add(batch)
    scores = _Scores(archive, chosen, counts=threshold is not None)
    for batch in archive.windows(("time", "scores") if chosen else ("time",)):
        scores.add(batch)
    return ArchiveSummary(
        folder=str(folder),
        model=archive.settings.model,
        n_items=plan.n_items,
        n_done=recordings.n_done,
        n_failed=recordings.failures.total(),
        failures=dict(recordings.failures.most_common()),
        n_windows=scores.n_windows,
        n_timed=int(scores.hours.n_windows.sum()),
        audio_s=recordings.audio_s,
        worker_s=recordings.worker_s,
        first=None if recordings.first is None else recordings.first.isoformat(),
        last=None if recordings.last is None else recordings.last.isoformat(),
        labels=scores.labels(),
        by_hour=scores.hours.activity([f"{hour:02d}" for hour in range(24)]),
        by_day=scores.days.activity([str(np.datetime64(day, "D")) for day in scores.day_numbers], scores.day_order),
    )


class _Recordings:
    """The sums over the tables of recordings."""

    def __init__(self) -> None:
        self.n_done = 0
        self.audio_s = self.worker_s = 0.0
        self.first: Any = None
        self.last: Any = None
        self.failures: Counter[str] = Counter()

    def add(self, batch: Any) -> None:
        for row in batch.to_pylist():
            self.n_done += 1
            self.audio_s += row["duration_s"] or 0.0
            self.worker_s += row["wall_s"]
            if row["error_type"] is not None:
                self.failures[f"{row['error_stage']}: {row['error_type']}"] += 1
            if row["recorded_at"] is not None:
                self.first = min(self.first or row["recorded_at"], row["recorded_at"])
                self.last = max(self.last or row["recorded_at"], row["recorded_at"])


class _Spans:
    """Windows and sums of a measure of each label, by span of time; spans are added as they come."""

    def __init__(self, labels: list[str], n_spans: int = 0) -> None:
        self._labels = labels
        self.n_windows = np.zeros(n_spans, np.int64)
        self._sums = np.zeros((n_spans, len(labels)))

    def add(self, spans: NDArray[np.int64], measures: NDArray[np.float64]) -> None:
        """Add windows; shapes (n,) and (n, n_labels)."""
        missing = int(spans.max()) + 1 - len(self.n_windows) if len(spans) else 0
        if missing > 0:
            self.n_windows = np.concatenate([self.n_windows, np.zeros(missing, np.int64)])
            self._sums = np.concatenate([self._sums, np.zeros((missing, len(self._labels)))])
        np.add.at(self.n_windows, spans, 1)
        np.add.at(self._sums, spans, measures)

    def activity(self, names: list[str], order: list[int] | None = None) -> Activity:
        places = range(len(self.n_windows)) if order is None else order
        counts = [int(self.n_windows[place]) for place in places]
        values = {
            label: tuple(
                float(self._sums[place, column] / n) if n else None for place, n in zip(places, counts, strict=True)
            )
            for column, label in enumerate(self._labels)
        }
        return Activity(tuple(names), tuple(counts), values)


class _Scores:
    """The sums over the tables of windows."""

    def __init__(self, archive: Archive, chosen: Mapping[str, float], *, counts: bool) -> None:
        self._names = [label for label in archive.labels if label in chosen]
        self._columns = [archive.labels.index(label) for label in self._names]
        self._n_labels = len(archive.labels)
        self._least = np.array([chosen[label] for label in self._names])
        self._counts = counts
        self.n_windows = 0
        self._n_heard = np.zeros(len(self._names), np.int64)
        self._sums = np.zeros(len(self._names))
        self._maxima = np.full(len(self._names), -np.inf)
        self._bins = np.zeros((len(self._names), N_BINS), np.int64)
        self.hours = _Spans(self._names, 24)
        self.days = _Spans(self._names)
        # The number of each day since 1970, to its place among the spans.
        self._places: dict[int, int] = {}

    @property
    def day_numbers(self) -> list[int]:
        """Days since 1970, in order."""
        return sorted(self._places)

    @property
    def day_order(self) -> list[int]:
        """The places of ``day_numbers``."""
        return [self._places[day] for day in self.day_numbers]

    def add(self, batch: Any) -> None:
        n = len(batch)
        self.n_windows += n
        scores = np.zeros((n, 0))
        if self._names:
            scores = np.asarray(batch["scores"].flatten()).reshape(n, self._n_labels)[:, self._columns]
        heard = scores >= self._least
        self._n_heard += heard.sum(axis=0)
        self._sums += scores.sum(axis=0, dtype=np.float64)
        if n:
            self._maxima = np.maximum(self._maxima, scores.max(axis=0, initial=-np.inf))
        bins = np.clip(np.floor(scores.astype(np.float64) * N_BINS).astype(np.int64), 0, N_BINS - 1)
        columns = np.broadcast_to(np.arange(len(self._names)), bins.shape)
        np.add.at(self._bins, (columns, bins), 1)
        times = batch["time"].cast("int64").to_numpy(zero_copy_only=False)
        known = np.asarray(batch["time"].is_valid())
        at = times[known].astype(np.int64)
        measures = (heard if self._counts else scores)[known].astype(np.float64)
        self.hours.add(at % _DAY_US // _HOUR_US, measures)
        days, place_of = np.unique(at // _DAY_US, return_inverse=True)
        places = [self._places.setdefault(day, len(self._places)) for day in days.tolist()]
        self.days.add(np.array(places, np.int64)[place_of], measures)

    def labels(self) -> tuple[LabelSummary, ...]:
        return tuple(
            LabelSummary(
                label,
                float(self._least[i]) if self._counts else None,
                int(self._n_heard[i]) if self._counts else None,
                float(self._sums[i] / self.n_windows) if self.n_windows else 0.0,
                float(self._maxima[i]) if self.n_windows else 0.0,
                tuple(self._bins[i].tolist()),
            )
            for i, label in enumerate(self._names)
        )


def check_timed(summary: ArchiveSummary) -> None:
    """Raise a ConfigError where no window has a label and a time, so that there is no activity over time."""
    if not summary.labels:
        raise ConfigError("expected an archive with tags for a plot, got embeddings only; run it with tags")
    if not summary.n_timed:
        raise ConfigError(
            "expected recordings whose time is known for a plot, got none; run again into a new folder with "
            "--time-pattern, which says how their names hold it"
        )

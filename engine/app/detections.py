"""What an archive holds: when labels were heard, what failed, detections in their context, and corrected labels."""

from __future__ import annotations

import csv
import heapq
import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from engine.app.names import shown_name
from engine.archive import Item, open_archive, summarise
from engine.archive.items import Opener
from engine.archive.uri import file_name
from engine.errors import ConfigError
from engine.index.cuts import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from engine.archive import ArchiveSummary

CONTEXT_S = 5.0
N_SHOWN = 100
NOTHING = "-"
COLUMNS = ("file", "label", "recording", "heard", "score", "start_s", "end_s")


@dataclass(frozen=True, slots=True)
class Detection:
    """A window in which a label was heard.

    Attributes
    ----------
    uri : str
        Of the recording.
    start_s, end_s : float
    time : str
        By the recorder's clock; empty where it is not known.
    label : str
    score : float
    """

    uri: str
    start_s: float
    end_s: float
    time: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What a visitor says of a detection.

    Attributes
    ----------
    detection : Detection
    label : str
        Several with ``;`` between them, ``-`` for none of the sounds.
    """

    detection: Detection
    label: str


class Recordings:
    """An archive, read for visitors. Threads share it.

    Raises
    ------
    ConfigError
        There is no archive in the folder, or pyarrow is missing.
    """

    def __init__(self, folder: Path, *, shares_recordings: bool = True) -> None:
        self._archive = open_archive(folder)
        self.folder = folder
        self.shares_recordings = shares_recordings
        self.labels = self._archive.labels

    def summary(self, label: str | None, threshold: float) -> ArchiveSummary:
        """Return what is known of a label, without one of the recordings alone; errors as for ``summarise``."""
        return summarise(self.folder, None if label is None else [label], None if label is None else threshold)

    def failures(self) -> list[list[str]]:
        """Return name, stage and reason of what could not be used."""
        return [[self._name(row["uri"]), row["error_stage"], row["error"]] for row in self._archive.failures()]

    def detections(self, label: str, threshold: float) -> list[Detection]:
        """Return where a label was heard, the surest first, at most 100."""
        rows = (
            Detection(
                row["uri"],
                row["start_s"],
                row["end_s"],
                "" if row["time"] is None else row["time"].isoformat(sep=" ", timespec="seconds"),
                row["label"],
                row["score"],
            )
            for batch in self._archive.tags([label], threshold)
            for row in batch.to_pylist()
        )
        return heapq.nlargest(N_SHOWN, rows, key=lambda found: found.score)

    def table(self, found: Iterable[Detection]) -> list[list[Any]]:
        """Return detections as the page shows them."""
        return [
            [each.time, round(each.start_s, 2), round(each.end_s, 2), round(each.score, 3), self._name(each.uri)]
            for each in found
        ]

    def context(self, detection: Detection) -> tuple[NDArray[np.float32], int, float]:
        """Return a detection with five seconds before and after it: samples, their rate, and where they begin.

        Raises
        ------
        ConfigError
            The archive's sound is not shared.
        AudioError
            The recording is no longer there.
        """
        self._check_shared()
        start_s = max(0.0, detection.start_s - CONTEXT_S)
        with Opener() as opener, opener.open(Item(detection.uri)) as opened:
            samples, rate = cut(opened.source, start_s, detection.end_s + CONTEXT_S)
        return samples, rate, start_s

    def write_training(self, corrections: Sequence[Correction], path: Path) -> None:
        """Write a ZIP with ``corrections.csv``, a table for ``engine teach``, and the clips that it names.

        Raises
        ------
        ConfigError
            There are no corrections, or the archive's sound is not shared.
        AudioError
            A recording is no longer there.
        """
        self._check_shared()
        if not corrections:
            raise ConfigError("expected corrections to export, got none; choose a detection and say what it is")
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        with zipfile.ZipFile(path, "w") as made, Opener() as opener:
            for number, each in enumerate(corrections, 1):
                found = each.detection
                with opener.open(Item(found.uri)) as opened:
                    samples, rate = cut(opened.source, found.start_s, found.end_s)
                sound = io.BytesIO()
                soundfile.write(sound, samples, rate, format="WAV", subtype="FLOAT")
                stem = re.sub(r"[^\w.-]+", "_", Path(file_name(found.uri)).stem)[:80]
                name = f"clips/{number:03d}_{stem}_{found.start_s:.2f}_{found.end_s:.2f}.wav"
                made.writestr(name, sound.getvalue())
                figures = (f"{found.score:.4f}", f"{found.start_s:.6f}", f"{found.end_s:.6f}")
                table.writerow([name, each.label, found.uri, found.label, *figures])
            made.writestr("corrections.csv", text.getvalue())

    def _check_shared(self) -> None:
        if not self.shares_recordings:
            raise ConfigError("expected an app that shares recordings, got one with --share-nothing; start it without")

    def _name(self, uri: str) -> str:
        return shown_name(uri, whole=self.shares_recordings)


def corrected(corrections: Sequence[Correction], detection: Detection, label: str) -> list[Correction]:
    """Return corrections with one more; a detection has one, the last.

    Raises
    ------
    ConfigError
        The label is empty.
    """
    labels = [part.strip() for part in label.split(";")]
    if "" in labels or (NOTHING in labels and len(labels) > 1):
        raise ConfigError(
            f"expected a label, several with ';' between them, or {NOTHING!r} for none of the sounds, got {label!r}; "
            "write one"
        )
    others = [each for each in corrections if _place(each.detection) != _place(detection)]
    return [*others, Correction(detection, ";".join(labels))]


def _place(detection: Detection) -> tuple[str, float, float]:
    return detection.uri, detection.start_s, detection.end_s


def summary_text(found: ArchiveSummary) -> str:
    """Return one sentence on an archive."""
    when = f" from {found.first} to {found.last}" if found.first else ""
    heard = ""
    if found.labels and found.labels[0].n_heard is not None:
        label = found.labels[0]
        heard = f" {label.label}: heard in {label.n_heard} windows, at best {label.maximum:.2f}."
    return (
        f"{found.n_done} of {found.n_items} recordings{when}, {found.audio_s / 3600:.2f} h in {found.n_windows} "
        f"windows, {found.n_failed} failed.{heard}"
    )


def activity(found: ArchiveSummary, label: str) -> list[tuple[str, float]]:
    """Return the share of windows with the label for each hour of the day that has recordings."""
    values = found.by_hour.values.get(label, ())
    return [(hour, value) for hour, value in zip(found.by_hour.names, values, strict=False) if value is not None]

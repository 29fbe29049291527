"""What is heard in a visitor's recording: its windows, the thresholds of the moment, and tables of what passes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.app.upload import read_upload
from engine.archive.formats import TagRow, write_rows
from engine.events import threshold_of
from engine.frontend import LogMel
from engine.picture import Sketch, sketch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from engine.card import ModelCard
    from engine.results import Clip
    from engine.tagger import Tagger

ALL = "all labels"
HEADINGS = ("start (s)", "end (s)", "label", "score")
# What each table is called beside its recording, as an archive calls its own.
SUFFIXES = {"csv": ".csv", "raven": ".selections.txt", "audacity": ".labels.txt"}


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording that was tagged.

    Attributes
    ----------
    name : str
        Of the file.
    clip : Clip
    drawn : Sketch
        Its waveform and spectrogram, no larger than a screen.
    sample_rate : int
    """

    name: str
    clip: Clip
    drawn: Sketch
    sample_rate: int


def hear(tagger: Tagger, path: str, max_s: float) -> Heard:
    """Tag a visitor's recording.

    Raises
    ------
    AudioError
        It cannot be read, or is longer than ``max_s`` seconds.
    ModelError
        The network failed.
    """
    card = tagger.card
    assert card.sample_rate is not None
    samples = read_upload(path, card.sample_rate, max_s)
    clip = tagger((samples, card.sample_rate))
    log_mel = None if card.frontend is None else LogMel(card.frontend, warn_empty=False)(samples)
    return Heard(Path(path).name, clip, sketch((samples, card.sample_rate), log_mel), card.sample_rate)


def shown_threshold(card: ModelCard, chosen: Mapping[str, float], label: str) -> float:
    """Return where the slider stands for a label; for all of them, at the mean."""
    labels = card.labels if label == ALL else (label,)
    return round(sum(threshold_of(each, chosen, card.thresholds) for each in labels) / len(labels), 2)


def with_threshold(card: ModelCard, chosen: Mapping[str, float], label: str, value: float) -> dict[str, float]:
    """Return the thresholds after a move of the slider; labels that nobody moved keep the card's."""
    if label == ALL:
        return dict.fromkeys(card.labels, value)
    return {**chosen, label: value}


def thresholds_text(card: ModelCard, chosen: Mapping[str, float]) -> str:
    """Return one sentence on the thresholds that hold."""
    values = {threshold_of(label, chosen, card.thresholds) for label in card.labels}
    low, high = min(values), max(values)
    span = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}, each label its own"
    if not chosen:
        return f"The model's thresholds: {span}." if card.thresholds else f"The model has no thresholds: {span}."
    return f"Thresholds: {span}."


def rows_above(clip: Clip, chosen: Mapping[str, float]) -> list[tuple[float, float, str, float]]:
    """Return start and end in seconds, label and score of what passes, window by window, the best first."""
    return [
        (window.start_s, window.end_s, tag.label, tag.score) for window in clip.windows for tag in window.above(chosen)
    ]


def table_of(rows: list[tuple[float, float, str, float]]) -> list[list[Any]]:
    """Return rows as the page shows them."""
    return [[round(start_s, 2), round(end_s, 2), label, round(score, 3)] for start_s, end_s, label, score in rows]


def write_table(heard: Heard, chosen: Mapping[str, float], stream: BinaryIO, format: str) -> None:  # noqa: A002
    """Write the rows that pass as "csv", "raven" or "audacity"."""
    rows = (
        TagRow(
            heard.name,
            0.0,
            heard.sample_rate,
            {"uri": heard.name, "start_s": start_s, "end_s": end_s, "time": None, "label": label, "score": score},
        )
        for start_s, end_s, label, score in rows_above(heard.clip, chosen)
    )
    write_rows(rows, stream, format)


def write_tables(heard: Heard, chosen: Mapping[str, float], folder: Path) -> dict[str, str]:
    """Write each table into a folder; return their paths by format."""
    paths = {}
    for format_, suffix in SUFFIXES.items():
        path = folder / f"{Path(heard.name).stem}{suffix}"
        with path.open("wb") as stream:
            write_table(heard, chosen, stream, format_)
        paths[format_] = str(path)
    return paths


def summary_text(heard: Heard, chosen: Mapping[str, float]) -> str:
    """Return one sentence on what was heard."""
    labels = list(dict.fromkeys(tag.label for tag in heard.clip.above(chosen)))
    n_windows = len(heard.clip.windows)
    windows = f"{n_windows} window{'s' * (n_windows > 1)}"
    best = heard.clip.top(1)[0]
    if labels:
        return f"{heard.clip.duration_s:.2f} s in {windows}. Heard: {', '.join(labels)}."
    return (
        f"{heard.clip.duration_s:.2f} s in {windows}. No label reached its threshold; the nearest is {best.label} with "
        f"{best.score:.2f}."
    )

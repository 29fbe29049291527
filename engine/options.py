"""What a call may ask for: windows of another length, batches, and which labels and tags to give."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np

from engine.errors import ConfigError
from engine.results import Labelling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.events import Threshold

# Windows in one call of a network on a GPU: enough to fill it, and one shape for which it is prepared once.
GPU_BATCH = 16
AUTO: Literal["auto"] = "auto"
BatchSize: TypeAlias = int | Literal["auto"]


class CallOptions(TypedDict, total=False):
    """The keywords that every call of a model understands.

    Attributes
    ----------
    window_s, hop_s : float
        Length of a window and distance between two starts in seconds; the card's by default. A network of one fixed
        length takes no other window.
    batch_size : int or "auto"
        Windows in one call of the network on a GPU, 16 by default. "auto" measures batches of 1, 2, 4 ... windows with
        the first recording of two windows or more, as long as the GPU gets through more of them and has the memory, and
        remembers what was best (``batch_sweeps``). A CPU takes one at a time whatever is asked: batches are no faster
        there, and so no window's scores depend on its neighbours.
    top_k : int
        How many ``tags`` to give at most; all by default.
    threshold : float or Mapping from label to float
        The score from which a label is one of the ``tags``; by default every label is.
    labels_allow, labels_deny : collection of str
        Only these labels, or all but these, are in the scores, tags and events.
    """

    window_s: float | None
    hop_s: float | None
    batch_size: BatchSize | None
    top_k: int | None
    threshold: Threshold | None
    labels_allow: Collection[str] | None
    labels_deny: Collection[str] | None


@dataclass(frozen=True, slots=True, eq=False)
class ResolvedOptions:
    """``CallOptions`` made whole with a card.

    Attributes
    ----------
    window, hop : int
        In samples or rows.
    batch_size : int or None
        None is what the network finds best.
    labelling : Labelling
    columns : ndarray of int, or None
        Which of the model's labels were asked for; None is all.
    """

    window: int
    hop: int
    batch_size: int | None
    labelling: Labelling
    columns: NDArray[np.intp] | None


def resolve(
    card: ModelCard,
    rate: float,
    *,
    batches: bool,
    window_s: float | None = None,
    hop_s: float | None = None,
    batch_size: BatchSize | None = None,
    top_k: int | None = None,
    threshold: Threshold | None = None,
    labels_allow: Collection[str] | None = None,
    labels_deny: Collection[str] | None = None,
) -> ResolvedOptions:
    """Check a call's options against the card; ``rate`` is the samples or rows in a second.

    Raises
    ------
    ConfigError
        A value that is out of range, contradicts another or names a label that the model does not have.
    """
    window = card.window if window_s is None else _count("window_s", window_s, rate)
    if card.frontend is not None and card.frontend.n_frames(window) == 0:
        raise ConfigError(
            f"expected window_s to hold a frame of {card.name!r}, {card.frontend.win_length / rate:g} s, got "
            f"{window_s!r}; raise it"
        )
    hop = min(card.hop, window) if hop_s is None else _count("hop_s", hop_s, rate)
    if hop > window:
        raise ConfigError(
            f"expected hop_s to be at most the window, got {hop / rate:g} s for windows of {window / rate:g} s: sound "
            "between windows would be lost; lower hop_s"
        )
    for name, value, other in (("batch_size", batch_size, AUTO), ("top_k", top_k, None)):
        if value is not None and value != other and (type(value) is not int or value < 1):
            alternative = "" if other is None else f" or {other!r}"
            raise ConfigError(f"expected {name} to be a whole number from 1{alternative}, got {value!r}; correct it")
    _check_threshold(card, threshold)
    columns = _columns(card, labels_allow, labels_deny)
    labels = card.labels if columns is None else tuple(card.labels[column] for column in columns)
    return ResolvedOptions(
        window=window,
        hop=hop,
        batch_size=_windows_at_a_time(batch_size) if batches else 1,
        labelling=Labelling(labels, card.thresholds, top_k, threshold),
        columns=columns,
    )


def _windows_at_a_time(batch_size: BatchSize | None) -> int | None:
    if batch_size is None:
        return GPU_BATCH
    return None if batch_size == AUTO else batch_size


def _count(name: str, seconds: Any, rate: float) -> int:
    valid = not isinstance(seconds, bool) and isinstance(seconds, Real) and 0 < float(seconds) * rate < 2**31
    count = round(float(seconds) * rate) if valid else 0
    if count < 1:
        raise ConfigError(f"expected {name} to be a positive number of seconds, got {seconds!r}; correct it")
    return count


def _check_threshold(card: ModelCard, threshold: Threshold | None) -> None:
    numbers: list[Any]
    if isinstance(threshold, Mapping):
        _check_labels(card, "threshold", threshold)
        numbers = list(threshold.values())
    else:
        numbers = [] if threshold is None else [threshold]
    for number in numbers:
        if not isinstance(number, Real) or math.isnan(number):
            raise ConfigError(f"expected threshold to be a number, or one for each label, got {number!r}; correct it")


def _columns(card: ModelCard, allow: Collection[str] | None, deny: Collection[str] | None) -> NDArray[np.intp] | None:
    if allow is None and deny is None:
        return None
    for name, labels in (("labels_allow", allow), ("labels_deny", deny)):
        if labels is not None:
            _check_labels(card, name, labels)
    kept = [
        column
        for column, label in enumerate(card.labels)
        if (allow is None or label in allow) and (deny is None or label not in deny)
    ]
    if not kept:
        raise ConfigError("expected labels_allow and labels_deny to leave at least one label, got none; change them")
    return np.array(kept, np.intp)


def _check_labels(card: ModelCard, name: str, labels: Collection[str]) -> None:
    if isinstance(labels, str):
        raise ConfigError(f"expected {name} to be a collection of labels, got the text {labels!r}; put it in a list")
    if unknown := sorted(str(label) for label in set(labels) - set(card.labels)):
        raise ConfigError(f"expected {name} to hold labels of {card.name!r}, got unknown {unknown}; see its labels")

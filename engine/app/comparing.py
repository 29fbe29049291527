"""Models side by side: their cards as pages, what they score, and how long a window takes them here."""

from __future__ import annotations

import html
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.bench.table import report_text
from engine.card_sections import card_sections
from engine.errors import EngineError
from engine.model import Model
from engine.registry import installed_models

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.bench.report import Report
    from engine.card import ModelCard

HEADINGS = ("model", "accuracy", "size (MB)", "window (s)", "median (ms)", "x real time", "differs")
N_REPEATS = 20
_ACCURACY = re.compile(r"^(accuracy|top_?1|mAP|m?f1|macro_?f1|m?auc)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can be shown.

    Attributes
    ----------
    path : Path
    card : ModelCard
    """

    path: Path
    card: ModelCard


def candidates(model: Path) -> dict[str, Candidate]:
    """Return the models that are found by name, and those beside the given one, such as its variants; copies come once.

    Models that cannot be used are left out: ``engine models list`` tells why.
    """
    beside = sorted(model.parent.glob("*.onnx"))
    paths = dict.fromkeys([model, *beside, *(each.path for each in installed_models() if not each.hidden)])
    found: dict[str, Candidate] = {}
    for path in paths:
        try:
            with Model.open(path, "cpu", 1) as opened:
                card = opened.card
        except EngineError:
            continue
        known = {(each.card.model_sha256, each.card.card_sha256) for each in found.values()}
        if (card.model_sha256, card.card_sha256) not in known:
            found[card.name if card.name not in found else str(path)] = Candidate(path, card)
    return found


def card_html(candidate: Candidate) -> str:
    """Return a card as a page: a section for each of its parts."""
    parts = []
    for title, rows in card_sections(candidate.card, candidate.path).items():
        body = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>"
            if name
            else f"<dd class='whole'>{html.escape(value)}</dd>"
            for name, value in rows
        )
        parts.append(f"<section><h3>{html.escape(title)}</h3><dl>{body}</dl></section>")
    return f'<div class="card">{"".join(parts)}</div>'


def accuracy_of(metrics: Mapping[str, Any], prefix: str = "") -> str:
    """Return the first figure of a card's metrics that says how often the model is right, with its name.

    For a variant that is its original's, with what was lost on the recordings that both were compared with.
    """
    if "made_from" in metrics:
        original = accuracy_of(metrics["made_from"].get("metrics", {}))
        drop = (metrics.get("agreement") or {}).get("accuracy_drop")
        return f"{original}, drop {drop:.3g}" if original and drop is not None else original
    for name, value in metrics.items():
        if isinstance(value, dict):
            if found := accuracy_of(value, f"{prefix}{name}."):
                return found
        elif isinstance(value, int | float) and not isinstance(value, bool) and _ACCURACY.search(name):
            return f"{prefix}{name} {value:.3g}"
    return ""


def compared(chosen: Mapping[str, Candidate], threads: int | None, *, measure: bool) -> list[list[Any]]:
    """Return a row for each model: card, size, and with ``measure`` the median of 20 windows of noise on the CPU.

    Models take turns window by window, so that all of them have the same neighbours on a busy machine. "differs" is
    the largest difference of a score from the first model's, where both have the same labels and hear the same.
    """
    opened = {name: Model.open(each.path, "cpu", threads) for name, each in chosen.items()} if measure else {}
    try:
        rng = np.random.default_rng(0)
        sounds = {
            name: (rng.standard_normal(each.card.window).astype(np.float32) / 10, each.card.sample_rate)
            for name, each in chosen.items()
            if each.card.sample_rate is not None
        }
        times_s: dict[str, list[float]] = {name: [] for name in opened if name in sounds}
        for name in times_s:
            opened[name].warmup()
        for _ in range(N_REPEATS if measure else 0):
            for name, times in times_s.items():
                began = time.perf_counter()
                opened[name](sounds[name])
                times.append(time.perf_counter() - began)
        differs = _differences(opened, chosen)
        return [_row(name, each, times_s.get(name, []), differs.get(name, "")) for name, each in chosen.items()]
    finally:
        for model in opened.values():
            model.close()


def report_html(report: Report) -> str:
    """Return a report of ``engine bench`` as text that keeps its columns."""
    return f'<pre class="report" tabindex="0">{html.escape(report_text(report))}</pre>'


def _row(name: str, candidate: Candidate, times_s: list[float], differs: str) -> list[Any]:
    card = candidate.card
    window_s = "" if card.sample_rate is None else f"{card.window / card.sample_rate:.2f}"
    median_s = float(np.median(times_s)) if times_s else None
    return [
        name,
        accuracy_of(card.metrics),
        f"{candidate.path.stat().st_size / 1e6:.2f}",
        window_s,
        "" if median_s is None else f"{1000 * median_s:.2f}",
        "" if median_s is None else f"{float(window_s) / median_s:.0f}",
        differs,
    ]


def _differences(opened: Mapping[str, Model], chosen: Mapping[str, Candidate]) -> dict[str, str]:
    found: dict[str, str] = {}
    first: tuple[ModelCard, Any, Any] | None = None
    for name, model in opened.items():
        card = chosen[name].card
        if card.sample_rate is None or not card.labels:
            continue
        if first is None:
            sound = np.random.default_rng(1).standard_normal(card.window).astype(np.float32) / 10, card.sample_rate
            first = card, sound, model(sound).scores
            continue
        reference, sound, scores = first
        if (card.labels, card.sample_rate, card.window) == (reference.labels, reference.sample_rate, reference.window):
            found[name] = f"{float(np.abs(model(sound).scores - scores).max()):.2g}"
    return found

"""The activity in an archive as a picture: by hour of the day, and day by day."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.archive.summary import check_timed
from engine.picture import require_matplotlib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.archive.summary import Activity, ArchiveSummary

# More would be too small to read.
MAX_LABELS = 10


def plot_activity(summary: ArchiveSummary) -> bytes:
    """Return a PNG with a row for each label: left over the hours of the day, right over the days.

    Bars are mean scores, or the share of windows with at least the threshold where the summary has one. Hours and days
    without recordings are grey. Of more than 10 labels the 10 with the highest mean score are drawn; the title says
    so.

    Parameters
    ----------
    summary : ArchiveSummary

    Raises
    ------
    ConfigError
        matplotlib is missing, or no window has a label and a time.
    """
    require_matplotlib()
    check_timed(summary)
    from matplotlib.figure import Figure

    by_mean = sorted(summary.labels, key=lambda label: -label.mean)[:MAX_LABELS]
    labels = [label for label in summary.labels if label in by_mean]
    figure = Figure(figsize=(10, 1.0 + 0.95 * len(labels)), layout="constrained")
    panels = figure.subplots(len(labels), 2, squeeze=False, sharex="col", width_ratios=(3, 2))
    for row, label in zip(panels, labels, strict=True):
        hours, days = summary.by_hour.values[label.label], summary.by_day.values[label.label]
        highest = max((value for value in (*hours, *days) if value is not None), default=0.0)
        for axes, values in zip(row, (hours, days), strict=True):
            _draw(axes, values, highest)
        row[0].set_ylabel(_label(label.label), rotation=0, ha="right", va="center")
    panels[-1, 0].set(xlabel="hour of the day, by the recorder's clock", xticks=range(0, 24, 3), xlim=(-0.6, 23.6))
    _name_days(panels[-1, 1], summary.by_day)
    figure.suptitle(_title(summary, len(labels)), fontsize=10)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    return stream.getvalue()


def _draw(axes: Any, values: Sequence[float | None], highest: float) -> None:
    places = np.arange(len(values))
    known = np.array([value is not None for value in values])
    top = highest * 1.1 or 1.0
    axes.bar(places[~known], top, width=1.0, color="0.9")
    axes.bar(places[known], [value for value in values if value is not None], width=0.85, color="tab:blue")
    axes.set_ylim(0, top)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="y", nbins=3)


def _name_days(axes: Any, days: Activity) -> None:
    step = max(1, -(-len(days.names) // 6))
    places = range(0, len(days.names), step)
    axes.set(xlabel="day", xticks=list(places), xlim=(-0.6, max(len(days.names), 7) - 0.4))
    axes.set_xticklabels([days.names[place] for place in places])


def _title(summary: ArchiveSummary, n_drawn: int) -> str:
    thresholds = {label.threshold for label in summary.labels}
    if thresholds == {None}:
        what = "mean score"
    elif len(thresholds) == 1:
        what = f"share of windows with a score from {thresholds.pop():g}"
    else:
        what = "share of windows from each label's threshold"
    some = (
        f", the {n_drawn} of {len(summary.labels)} labels with the highest mean"
        if n_drawn < len(summary.labels)
        else ""
    )
    return f"{summary.model}: {what} over {summary.n_timed} windows{some}"


def _label(name: str) -> str:
    # A dollar sign would begin a formula.
    return name.replace("$", r"\$")

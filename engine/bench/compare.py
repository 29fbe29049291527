"""Two reports side by side: ratios of medians, and what is slower than a limit and than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.bench.report import Report, Row


@dataclass(frozen=True)
class Comparison:
    """One row in two reports.

    Attributes
    ----------
    before, after : Row
    """

    before: Row
    after: Row

    @property
    def ratio(self) -> float:
        """The median after, as a multiple of the one before; above 1 is slower."""
        return self.after.summary.median / self.before.summary.median

    @property
    def beyond_noise(self) -> bool:
        """Whether the intervals that hold the two medians with 95 % confidence have nothing in common."""
        before, after = self.before.summary, self.after.summary
        return after.low > before.high or after.high < before.low

    def is_regression(self, limit: float) -> bool:
        """Return whether the median has grown by more than ``limit``, 0.05 for 5 %, and beyond noise."""
        return self.beyond_noise and self.ratio > 1 + limit


@dataclass(frozen=True)
class Differences:
    """Two reports, row by row.

    Attributes
    ----------
    rows : tuple of Comparison
        In the order of the second report.
    only_before, only_after : tuple of Row
        What one of them lacks.
    notes : tuple of str
        In what else they differ: machine, kernels, versions, models.
    """

    rows: tuple[Comparison, ...]
    only_before: tuple[Row, ...]
    only_after: tuple[Row, ...]
    notes: tuple[str, ...]

    def regressions(self, limit: float) -> tuple[Comparison, ...]:
        """Return the rows that have become slower by more than ``limit``, 0.05 for 5 %, and beyond noise."""
        return tuple(row for row in self.rows if row.is_regression(limit))


def compare(before: Report, after: Report) -> Differences:
    """Compare two reports.

    Raises
    ------
    ConfigError
        They have no row in common.
    """
    old = {row.key: row for row in before.rows}
    new = {row.key: row for row in after.rows}
    pairs = tuple(Comparison(old[key], row) for key, row in new.items() if key in old)
    if not pairs:
        raise ConfigError(
            "expected two reports with rows in common, got none with the same model, device, threads and measure; "
            "measure the same again"
        )
    return Differences(
        rows=pairs,
        only_before=tuple(row for key, row in old.items() if key not in new),
        only_after=tuple(row for key, row in new.items() if key not in old),
        notes=tuple(_notes(before, after)),
    )


def _notes(before: Report, after: Report) -> list[str]:
    compared = [
        (name, before.machine.get(name), after.machine.get(name)) for name in ("processor", "cpus", "system", "kernels")
    ]
    compared += [(name, before.versions.get(name), after.versions.get(name)) for name in sorted(after.versions)]
    old = {model["name"]: model["model_sha256"] for model in before.models}
    compared += [
        (f"network of {model['name']}", old[model["name"]], model["model_sha256"])
        for model in after.models
        if model["name"] in old
    ]
    return [f"{name}: {was}, now {now}" for name, was, now in compared if was != now]

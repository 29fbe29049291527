"""A model beside its variants in one report: which is faster on which device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.bench.compare import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.bench.report import Report

# Of whole models, so that a front end inside the network and one before it can be compared.
MEASURES = ("call", "batch")


def variant_lines(report: Report) -> Iterator[str]:
    """Yield for each variant beside its model how many times as long the longest call and the largest batch take."""
    names = {model["model_sha256"]: model["name"] for model in report.models}
    parents = {model["name"]: names.get(model.get("made_from_sha256")) for model in report.models}
    rows = {row.key: row for row in report.rows}
    pairs: dict[tuple[Any, ...], Comparison] = {}
    for row in sorted(report.rows, key=lambda row: (row.count, row.audio_s)):
        before = rows.get((parents[row.model] or "", *row.key[1:]))
        if before is not None and row.measure in MEASURES:
            pairs[(*row.setting, row.measure)] = Comparison(before, row)
    for found in pairs.values():
        before, row = found.before, found.after
        faster = row if found.ratio < 1 else before
        verdict = f"{faster.model} is faster" if found.beyond_noise else "within noise"
        yield (
            f"{row.model} on {row.device}, {row.threads} thread{'s' * (row.threads > 1)}: {row.title} takes "
            f"{found.ratio:.2f} times as long as with {before.model}: {verdict}"
        )

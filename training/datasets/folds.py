"""Folds for data sets whose publisher made none: every source in one of them, all of about the same size."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def speaker_folds(sources: Sequence[str], n_folds: int) -> list[int]:
    """Return a fold for each clip: all clips of a source in one, the folds of about the same size.

    The sources, the largest first and equal ones by name, go to the smallest fold: the same division in every run.
    """
    counts = Counter(sources)
    sizes = [0] * n_folds
    chosen = {}
    for source in sorted(counts, key=lambda name: (-counts[name], name)):
        chosen[source] = sizes.index(min(sizes))
        sizes[chosen[source]] += counts[source]
    return [chosen[source] for source in sources]

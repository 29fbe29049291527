"""The tables of a model's page, from the figures of its run, and the page with its tables written anew.

A table stands between two comments, ``<!-- table NAME -->`` and ``<!-- end of NAME -->``, each on a line of its own.
What stands outside is text that people write, and stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MISSING = "-"
_TABLE = re.compile(r"^<!-- table ([\w-]+) -->\n(.*?)^<!-- end of \1 -->$", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"^<!-- (?:table|end of) [\w-]+ -->$", re.MULTILINE)


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return a page with the tables between its comments replaced.

    Raises
    ------
    ConfigError
        A comment without its partner, a table twice or without a place, or a place without a table.
    """
    places = [match[1] for match in _TABLE.finditer(page)]
    if len(_MARKER.findall(page)) != 2 * len(places) or len(set(places)) != len(places):
        raise ConfigError(
            f"expected each table once between its two comments, got {places}; repair the page's comments"
        )
    if set(places) != set(tables):
        raise ConfigError(
            f"expected a place on the page for each of the tables {sorted(tables)}, got {sorted(places)}; "
            "add the comments <!-- table NAME --> and <!-- end of NAME -->, or remove them"
        )
    # Blank lines keep Markdown from taking the comment for a part of the table.
    return _TABLE.sub(lambda m: f"<!-- table {m[1]} -->\n\n{tables[m[1]].strip()}\n\n<!-- end of {m[1]} -->", page)


def retrieval_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``training.examine.retrieval`` gives for each row, a fold or a seed, of a mapping."""
    header = ["", "mAP, unseen clips", "P@1, unseen clips", "mAP, training clips", "P@1, training clips"]
    return _table(
        header,
        [
            [name, *(_shown(row[side][figure]) for side in ("unseen", "seen") for figure in ("map", "p_at_1"))]
            for name, row in figures.items()
        ],
    )


def robustness_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``training.examine.robustness`` gives."""
    return _table(
        ["change", "accuracy", "cosine to the unchanged, mean", "lowest"],
        [
            [name, _shown(row["accuracy"]), _shown(row["cosine"]), _shown(row["worst_cosine"], 2)]
            for name, row in figures.items()
        ],
    )


def detection_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``training.examine.detection.detection`` gives for each row, a model and a background."""
    header = ["", "event F1, starts", "macro", "event F1, starts and ends", "macro", "segment F1", "macro"]
    kinds = ("onset", "onset_offset", "segment")
    return _table(
        header,
        [
            [name, *(_shown(row[kind][figure]) for kind in kinds for figure in ("f1", "macro_f1"))]
            for name, row in figures.items()
        ],
    )


def labels_table(figures: Mapping[str, Mapping[str, Any]], kind: str = "onset") -> str:
    """Return F1 of each label for each column, a model, of what ``training.examine.detection.detection`` gives."""
    labels = sorted({label for model in figures.values() for label in model[kind]["by_label"]})
    return _table(
        ["label", *figures],
        [[label, *(_shown(model[kind]["by_label"].get(label)) for model in figures.values())] for label in labels],
    )


def outside_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what ``training.examine.outside.shares_above`` gives."""
    return _table(
        ["sound", "windows", "with any label above its threshold"],
        [
            [kind, str(row["windows"]), f"{row['above']:.1%}" if row["windows"] else MISSING]
            for kind, row in figures.items()
        ],
    )


def threshold_table(
    thresholds: Mapping[str, float], precision: Mapping[str, float | None], recall: Mapping[str, float | None]
) -> str:
    """Return each label's threshold, and the precision and recall that it has on unseen clips."""
    return _table(
        ["label", "threshold", "precision", "recall"],
        [
            [label, f"{value:.2f}", _shown(precision[label], 2), _shown(recall[label], 2)]
            for label, value in thresholds.items()
        ],
    )


def variants_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return accuracy, and what ``training.examine.speed`` gives, for each row, a variant of the model.

    Each has "accuracy" (None where it was not measured) and the values of ``speed``; milliseconds are of one clip of
    its "seconds".
    """
    seconds = {row["seconds"] for row in figures.values()}
    if len(seconds) > 1:
        raise ConfigError(f"expected speeds over clips of one length, got {sorted(seconds)} s; measure them alike")
    length = f"{next(iter(seconds), 0):g} s"
    return _table(
        ["variant", "MB", "accuracy", f"ms per {length}, least", "median", "ms per second of audio, median"],
        [
            [
                name,
                f"{row['bytes'] / 1e6:.2f}",
                _shown(row["accuracy"]),
                f"{row['tagger']['min_ms']:.2f}",
                f"{row['tagger']['median_ms']:.2f}",
                f"{row['tagger']['median_ms_per_second']:.3f}",
            ]
            for name, row in figures.items()
        ],
    )


def confusions_table(figures: Mapping[str, Any], most: int = 10) -> str:
    """Return the most frequent confusions of what ``training.examine.errors`` gives."""
    return _table(
        ["label", "mistaken for", "errors", "sources"],
        [
            [row["truth"], row["given"], str(row["n_errors"]), str(row["n_sources"])]
            for row in figures["confusions"][:most]
        ],
        text_columns=2,
    )


def sources_table(figures: Mapping[str, Any], most: int = 10) -> str:
    """Return the sources with most errors of what ``training.examine.errors`` gives."""
    return _table(
        ["source", "label", "mistaken for", "errors", "of clips"],
        [
            [row["source"], row["truth"], row["given"], str(row["n_errors"]), str(row["n_clips"])]
            for row in figures["sources"][:most]
        ],
        text_columns=3,
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Return a Markdown table; the first columns are text, the others numbers."""
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *rows))


def _shown(figure: float | None, digits: int = 3) -> str:
    return MISSING if figure is None else f"{figure:.{digits}f}"

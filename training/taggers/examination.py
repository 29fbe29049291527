"""A finished run of a tagger examined for its page: everything is measured on exported models, through the engine.

The models of the folds are examined on the clips that they have not seen; of the model that ships only what needs no
labels: what it says of other sounds, its size and its speed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Tagger
from engine.convert import convert_model, read_recordings
from training.evaluate import evaluate
from training.examine import page
from training.examine.errors import errors
from training.examine.outside import hear, shares_above
from training.examine.retrieval import retrieval
from training.examine.robustness import changes, over_folds, robustness
from training.examine.speed import speed
from training.metrics import accuracy, confusion_matrix
from training.taggers.cross_validation import first_seed, models_of
from training.taggers.figures import over_seeds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from training.datasets.record import Record
    from training.examine.outside import Outside
    from training.taggers.cross_validation import Corpus

VARIANTS = ("float32", "int8", "waveform")


def examine(
    run: Path,
    corpus: Corpus,
    name: str,
    outside: Sequence[Outside],
    *,
    excerpts_s: Sequence[float],
    seconds: float,
    calibration: Path,
    harmless: Sequence[str] = (),
) -> dict[str, Any]:
    """Return retrieval, errors, robustness, variants, speed, and what the shipped model says of other sounds.

    Parameters
    ----------
    run : Path
        A finished run with a final model.
    corpus : Corpus
        What it was trained on.
    name : str
        Of the final model.
    outside : sequence of Outside
    excerpts_s : sequence of float
        Lengths of the excerpts among the changes.
    seconds : float
        Of a clip whose tagging is timed.
    calibration : Path
        Folder of recordings for the int8 variants.
    harmless : sequence of str
        Labels that other sounds may have.
    """
    models, first = models_of(run, corpus), first_seed(run, corpus)
    found = {job: retrieval(path, unseen, seen) for job, (path, seen, unseen) in models.items()}
    retrieved = {
        side: {
            figure: over_seeds({job: each[side][figure] for job, each in found.items()}) for figure in ("map", "p_at_1")
        }
        for side in ("unseen", "seen")
    }
    results = {job: evaluate(path, unseen) for job, (path, _, unseen) in models.items()}
    mistakes = errors(
        np.concatenate([result.scores for result in results.values()]),
        np.concatenate([result.truth for result in results.values()]),
        corpus.labels,
        [record.source for _, _, unseen in models.values() for record in unseen],
    )
    changed = over_folds([robustness(path, unseen, changes(excerpts_s)) for path, _, unseen in first.values()])
    with Tagger(run / f"{name}.onnx", device="cpu", threads=1) as tagger:
        thresholds = np.array([tagger.card.thresholds[label] for label in tagger.labels])
    heard = hear(run / f"{name}.onnx", outside)
    heard.scores[:, [corpus.labels.index(label) for label in harmless]] = 0
    return {
        "retrieval": retrieved,
        "errors": mistakes,
        "robustness": changed,
        "outside": shares_above(heard, thresholds),
        "variants": variants(run / f"{name}.onnx", first, calibration, seconds),
    }


def variants(
    shipped: Path, models: Mapping[str, tuple[Path, list[Record], list[Record]]], calibration: Path, seconds: float
) -> dict[str, Any]:
    """Return size and speed of the shipped model and of its variants, and the accuracy of those of the folds' models.

    Variants are made anew in a folder that goes away; one that loses more than ``engine convert`` allows is an error.
    """
    made: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for variant in VARIANTS:
            hits = [
                _accuracy_of(path, unseen, variant, calibration, Path(temporary)) for path, _, unseen in models.values()
            ]
            path = _variant(shipped, variant, calibration, Path(temporary))
            made[variant] = {"accuracy": float(np.mean(hits))} | speed(path, seconds=seconds)
    return made


def _accuracy_of(path: Path, unseen: Sequence[Record], variant: str, calibration: Path, folder: Path) -> float:
    result = evaluate(_variant(path, variant, calibration, folder), unseen)
    return accuracy(confusion_matrix(result.scores, result.truth))


def _variant(path: Path, variant: str, calibration: Path, folder: Path) -> Path:
    if variant == "float32":
        return path
    with Tagger(path, device="cpu", threads=1) as tagger:
        recordings = read_recordings(calibration, tagger.card)
    return convert_model(path, variant, folder / path.stem, recordings, overwrite=True).path


def tables(run: Path, examined: Mapping[str, Any], thresholds: Mapping[str, float]) -> dict[str, str]:
    """Return the tables of a model's page that every tagger has.

    Parameters
    ----------
    run : Path
        A finished run.
    examined : mapping
        What ``examine`` gave.
    thresholds : mapping
        Of the shipped model's card.
    """
    metrics = json.loads((run / "metrics.json").read_text())
    chosen = metrics["thresholds"]
    return {
        "accuracy": accuracy_table(metrics),
        "labels": page.threshold_table(thresholds, chosen["precision"], chosen["recall"]),
        "confusions": page.confusions_table(examined["errors"]),
        "sources": page.sources_table(examined["errors"]),
        "retrieval": retrieval_by_seed(examined["retrieval"]),
        "robustness": page.robustness_table(examined["robustness"]),
        "outside": page.outside_table(examined["outside"]),
        "outside-unseen": page.outside_table(chosen["test_half_above"]),
        "variants": page.variants_table(examined["variants"]),
    }


def accuracy_table(metrics: Mapping[str, Any]) -> str:
    """Return the accuracy of each seed and fold."""
    jobs = [job.split("-fold") for job in metrics["accuracy_by_fold"]]
    seeds, folds = (list(dict.fromkeys(part[i] for part in jobs)) for i in range(2))
    lines = [["", *(f"fold {fold}" for fold in folds), "mean"], ["---", *["---:"] * (len(folds) + 1)]]
    for seed in seeds:
        row = [metrics["accuracy_by_fold"][f"{seed}-fold{fold}"] for fold in folds]
        lines.append([seed.replace("seed", "seed "), *(f"{value:.3f}" for value in (*row, np.mean(row)))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def retrieval_by_seed(figures: Mapping[str, Any]) -> str:
    """Return mAP and precision at 1 of each seed, means over folds."""
    seeds = figures["unseen"]["map"]["by_seed"]
    rows = {
        name: {side: {kind: value["by_seed"][seed] for kind, value in of.items()} for side, of in figures.items()}
        for seed in seeds
        for name in [seed.replace("seed", "seed ")]
    }
    rows["mean"] = {side: {kind: value["mean"] for kind, value in of.items()} for side, of in figures.items()}
    return page.retrieval_table(rows)


def write(path: Path, tables_of_page: Mapping[str, str]) -> None:
    """Write a page's tables anew."""
    path.write_text(page.with_tables(path.read_text(encoding="utf-8"), tables_of_page), encoding="utf-8")


def keep(run: Path, figures: Mapping[str, Any]) -> None:
    """Keep what was examined beside the run's own figures."""
    (run / "examined.json").write_text(json.dumps(figures, indent=2) + "\n")

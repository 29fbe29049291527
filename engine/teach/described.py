"""The card of a taught model: how it was made, on which files, and how well it did on files it was not made with."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from engine.teach.learners import HIDDEN_UNITS, LINEAR_C, MLP_ALPHA, sklearn
from engine.teach.thresholds import UNMEASURED

if TYPE_CHECKING:
    from engine.card import ModelCard, ModelOutputs
    from engine.teach.embedded import EmbeddedExamples
    from engine.teach.folds import Folds
    from engine.teach.head import Head
    from engine.teach.measurement import Measurement
    from engine.teach.settings import Settings

# A card is read before a model is: beyond that many files it has their number and one hash over them.
MAX_LISTED = 2000
HEADS = {
    "linear": f"logistic regression, L2 penalty, C = {LINEAR_C:g}",
    "mlp": f"one hidden layer of {HIDDEN_UNITS} units with ReLU, L2 penalty, alpha = {MLP_ALPHA:g}",
}


def taught_card(
    name: str,
    embedder: ModelCard,
    outputs: ModelOutputs,
    *,
    head: Head,
    embedded: EmbeddedExamples,
    folds: Folds,
    measurement: Measurement | None,
    settings: Settings,
    warnings: tuple[str, ...],
) -> ModelCard:
    """Return the card of a taught model, without golden check.

    Front end, windows and what the embedding is are the embedder's; ``settings`` is complete, with score and reduce.
    """
    assert settings.score is not None
    assert settings.reduce is not None
    thresholds, method = _thresholds(embedded.labels, folds, measurement, settings)
    n_clips, n_recordings = len(embedded.examples), int(embedded.groups.max()) + 1
    return replace(
        embedder,
        name=name,
        task="tag",
        labels=embedded.labels,
        score=settings.score,
        outputs=outputs,
        frame_hop=None,
        frame_length=None,
        reduce=settings.reduce,
        thresholds=thresholds,
        threshold_method=method,
        training_data=(
            f"head: {n_clips} clips of {n_recordings} recordings, listed in the metrics; embedder {embedder.name}: "
            f"{embedder.training_data}"
        ),
        metrics={
            "made_from": {"name": embedder.name, "model_sha256": embedder.model_sha256},
            "head": HEADS[settings.head],
            "fitted_with": f"scikit-learn {sklearn().__version__}",
            "settings": asdict(settings),
            "pooling": _pooling(settings),
            "clips": {label: int(n) for label, n in zip(embedded.labels, embedded.targets.sum(axis=0), strict=True)},
            "recordings": _recordings(embedded),
            "files": _files(embedded),
            "measured": _measured(embedded.labels, folds, measurement),
            "calibration": _calibration(head, measurement),
            "warnings": list(warnings),
        },
        golden=None,
        model_sha256="",
        card_sha256="",
    )


def _thresholds(
    labels: tuple[str, ...], folds: Folds, measurement: Measurement | None, settings: Settings
) -> tuple[dict[str, float], str]:
    if measurement is None:
        return dict.fromkeys(labels, UNMEASURED), f"{UNMEASURED} for every label: there was nothing to choose them on"
    chosen = dict(zip(labels, measurement.thresholds, strict=True))
    measured = {label for label, known in zip(labels, folds.measured, strict=True) if known}
    method = (
        f"for each label the lowest with a precision of {settings.precision:g} on {measurement.n_clips} clips, each "
        "scored by a head that was fitted without its recording"
    )
    short = [label for label in labels if label in measured and not chosen[label].reached]
    unknown = [label for label in labels if label not in measured]
    method += f"; the highest precision there is, which is lower, for {', '.join(short)}" if short else ""
    method += f"; {UNMEASURED} for {', '.join(unknown)}, of one recording" if unknown else ""
    return {label: chosen[label].score if label in measured else UNMEASURED for label in labels}, method


def _pooling(settings: Settings) -> str:
    whole = {"mean": "the mean", "max": "the largest"}[settings.reduce or ""]
    return (
        "each window of a clip was taught with the clip's labels, weighed so that a clip counts once; a clip's score "
        f"is {whole} of its windows'"
    )


def _recordings(embedded: EmbeddedExamples) -> dict[str, int]:
    pairs = {
        (label, group)
        for example, group in zip(embedded.examples, embedded.groups.tolist(), strict=True)
        for label in example.labels
    }
    return dict(sorted(Counter(label for label, _ in pairs).items()))


def _files(embedded: EmbeddedExamples) -> dict[str, Any]:
    listed = [
        {"name": example.name, "labels": list(example.labels), "recording": group, "sha256": digest}
        for example, group, digest in zip(embedded.examples, embedded.groups.tolist(), embedded.sha256, strict=True)
    ]
    together = hashlib.sha256("\n".join(sorted(embedded.sha256)).encode()).hexdigest()
    files: dict[str, Any] = {"n": len(listed), "sha256_of_sorted_sha256": together}
    return files | ({"listed": listed} if len(listed) <= MAX_LISTED else {})


def _measured(labels: tuple[str, ...], folds: Folds, measurement: Measurement | None) -> dict[str, Any] | None:
    if measurement is None:
        return None
    how = (
        f"cross-validation over {folds.n_folds} folds, no recording on both sides; the embedder stays as it is, so "
        "that figures on clips that it was trained on are too good"
    )
    return {"how": how, "n_folds": folds.n_folds, **measurement.to_dict(labels)}


def _calibration(head: Head, measurement: Measurement | None) -> dict[str, Any] | None:
    if measurement is None:
        return None
    return {
        "method": "logits divided by one temperature; figures are of temperatures fitted on the other folds",
        "temperature": head.temperature,
        "before": measurement.before,
        "after": measurement.after,
    }

"""One model per seed and fold, each exported and examined on the clips that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from training.evaluate import evaluate
from training.examine.outside import hear
from training.export import export
from training.taggers.calibration import calibrate
from training.taggers.figures import pooled
from training.taggers.fit import convolutions, fit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from engine import FrontendConfig, ModelCard
    from training.datasets.record import Record
    from training.examine.outside import Outside
    from training.run import Run
    from training.taggers.config import TaggerConfig
    from training.taggers.examples import Examples
    from training.taggers.fit import Fitted

    # The card of a model trained on these records.
    Describe: TypeAlias = Callable[[Sequence[Record], FrontendConfig], ModelCard]
    # What else is measured of a model, as plain values, given the clips that it has seen and those that it has not.
    Examine: TypeAlias = Callable[[Path, Sequence[Record], Sequence[Record]], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Before:
    """Clips of another kind, on which a network learns its convolutions before it hears its own.

    Attributes
    ----------
    clips : Examples
    config : TaggerConfig
        Of that training; network and front end have to be those of the other.
    """

    clips: Examples
    config: TaggerConfig


@dataclass(frozen=True, eq=False)
class Corpus:
    """Clips of one label each, in folds.

    Attributes
    ----------
    labels : tuple of str
    records : tuple of Record
    folds : ndarray, shape (n_clips,), int64
        No source is in two of them.
    clips : Examples
    others : Examples or None
        Sounds of no label; where there are none, the clips of a label may serve.
    background : str
        The label whose clips are noise, to be laid under others; none where it is empty.
    before : Before or None
        The same for all folds, which it has nothing of; networks begin from nothing where it is None.
    """

    labels: tuple[str, ...]
    records: tuple[Record, ...]
    folds: NDArray[np.int64]
    clips: Examples
    others: Examples | None = None
    background: str = ""
    before: Before | None = None

    def beside(self, rows: NDArray[np.int64]) -> Examples | None:
        """Return what may sound beside these clips: sounds of no label, or those of them that are background."""
        if not self.background:
            return self.others
        column = self.labels.index(self.background)
        chosen = torch.from_numpy(rows)
        return self.clips[chosen[self.clips.targets[chosen, column] > 0]]

    def rows(self, fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which clips are learnt from and which are scored when ``fold`` is left out."""
        return np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


def cross_validate(
    corpus: Corpus, frontend: FrontendConfig, config: TaggerConfig, describe: Describe, examine: Examine, run: Run
) -> dict[str, Any]:
    """Return the state of ``run`` with every job done, from where it was interrupted.

    Under "done" stands for each job what its model gives the clips of its fold, through ``engine.Tagger``, and what
    ``examine`` says; under "begun" the convolutions that the jobs of a seed begin with. Models are ``seedS-foldF.onnx``
    in the run's folder.
    """
    state: dict[str, Any] = run.load() or {"done": {}, "begun": {}}
    for seed in config.seeds:
        state = begun(corpus.before, frontend, seed, run, state)
        for fold in sorted(set(corpus.folds.tolist())):
            job = f"seed{seed}-fold{fold}"
            if job in state["done"]:
                continue
            seen, unseen = ([corpus.records[i] for i in rows] for rows in corpus.rows(fold))
            rows = corpus.rows(fold)[0]
            clips, beside = corpus.clips[torch.from_numpy(rows)], corpus.beside(rows)
            begin = state["begun"].get(f"seed{seed}")
            made = fit(clips, beside, frontend, config, seeds=(seed, fold), job=job, run=run, state=state, begin=begin)
            path = run.folder / f"{job}.onnx"
            export(made.network, describe(seen, made.frontend), path)
            result = evaluate(path, unseen)
            done = {"scores": result.scores.tolist(), "truth": result.truth.tolist(), "ms_per_clip": result.ms_per_clip}
            run.log(job=job, accuracy=result.to_dict()["accuracy"])
            state = {"done": state["done"] | {job: done | examine(path, seen, unseen)}, "begun": state["begun"]}
            run.save(state)
    return state


def begun(
    before: Before | None, frontend: FrontendConfig, seed: int, run: Run, state: dict[str, Any]
) -> dict[str, Any]:
    """Return the state of a run with the convolutions that the jobs of a seed begin with, where there are any."""
    name = f"seed{seed}"
    if before is None or name in state["begun"]:
        return state
    made = fit(before.clips, None, frontend, before.config, seeds=(seed, 0), job=f"{name}-before", run=run, state=state)
    learnt: dict[str, Tensor] = convolutions(made.network)
    state = {"done": state["done"], "begun": state["begun"] | {name: learnt}}
    run.save(state)
    return state


def heard(outside: Sequence[Outside]) -> Examine:
    """Return what adds to a job, as "outside", what its model says of sounds of other kinds; nothing without any."""

    def examine(model: Path, seen: Sequence[Record], unseen: Sequence[Record]) -> dict[str, Any]:  # noqa: ARG001
        return {"outside": hear(model, outside).to_dict()} if outside else {}

    return examine


def final_fit(
    corpus: Corpus, frontend: FrontendConfig, config: TaggerConfig, run: Run, state: Mapping[str, Any]
) -> Fitted:
    """Return a network fitted to every clip, its logits calibrated by the cross-validation's scores."""
    beside = corpus.beside(np.arange(len(corpus.records)))
    seeds, begin = (config.seeds[0], 0), state["begun"].get(f"seed{config.seeds[0]}")
    made = fit(corpus.clips, beside, frontend, config, seeds=seeds, job="final", run=run, state=state, begin=begin)
    calibration = calibrate(*pooled(state["done"]), softmax=config.score == "softmax")
    calibration.into(made.network.classify[-1])  # type: ignore[union-attr, index]
    return made


def models_of(run: Path, corpus: Corpus) -> dict[str, tuple[Path, list[Record], list[Record]]]:
    """Return for each job ``seedS-foldF`` of a run its model, the clips that it has seen and those that it has not."""
    found = {}
    for path in sorted(run.glob("seed*-fold*.onnx")):
        fold = int(path.stem.split("-fold")[1])
        seen, unseen = ([corpus.records[i] for i in rows] for rows in corpus.rows(fold))
        found[path.stem] = (path, seen, unseen)
    return found


def first_seed(run: Path, corpus: Corpus) -> dict[str, tuple[Path, list[Record], list[Record]]]:
    """Return those of ``models_of`` that have the first seed."""
    models = models_of(run, corpus)
    seed = min(models).split("-")[0]
    return {job: parts for job, parts in models.items() if job.split("-")[0] == seed}

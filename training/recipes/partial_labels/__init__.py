r"""Paper 2: semi-supervised tagging with partly known labels (Gururani and Lerch, 2021).

An attention model on sequences of embeddings learns from clips of which only some labels are known: by taking missing
ones as absent (b0), by leaving them out (b1), by leaving out those that a first model thinks present (le, label
enhancing), by agreeing with an average of itself (mt, mean teacher), or by both (le_mt).

    python -m training run partial_labels --data OPENMIC --run runs/le --method=le
    python -m training run partial_labels --data SONYC --run runs/mt --corpus=sonyc_ust --sequences=openl3.npz \
        --method=mt --layers=1 --decay=0.99 --learning_rate=5e-4
    python -m training run partial_labels --data AUDIOSET --run runs/as --corpus=audioset_vggish --method=le \
        --percentiles=95
    python -m training run partial_labels --data ESC10 --run runs/sc --corpus=scenes --sequences=runs/s1/model.onnx \
        --dropped=0.8 --method=le --percentiles=50,80,95
    python -m training partial_labels run --data DIR --cells FOLDER ...    the grid of the report

The run writes ``metrics.json`` (figures of the test part through the engine) and ``model.onnx``: with the embedder
inside where it is a model of this project, else on rows of embeddings, and the card names what makes those. Where only
positive labels exist, label enhancing works from the implicit negatives, and the card says so.
Expected numbers: docs/papers/partial_labels.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine import Tagger
from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from training.metrics import f1_per_label, macro_auprc, macro_f1, micro_auprc, two_sided_f1
from training.recipes.partial_labels.config import Config
from training.recipes.partial_labels.corpora import load_corpus
from training.recipes.partial_labels.methods import scores
from training.recipes.partial_labels.methods import train as train_method
from training.recipes.partial_labels.thresholds import best_thresholds, calibrated, calibration_error
from training.run import commit
from training.sequences import export_on, export_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.recipes.partial_labels.corpora import Corpus
    from training.recipes.partial_labels.methods import Part, Trained
    from training.run import Run

__all__ = ["Config", "command", "figures", "train"]


def command(arguments: Sequence[str]) -> int:
    """Run the cells of the report, or print their tables: ``python -m training partial_labels run|report``."""
    from training.recipes.partial_labels.grid import main

    return main(arguments)


def train(data: Path, run: Run, config: Config) -> None:
    """Train by the configured method, export, score the test part, write the figures into ``run``."""
    run.finish(figures(data, run, config))


def figures(data: Path, run: Run, config: Config) -> dict[str, Any]:
    """Return what ``train`` writes."""
    torch.set_num_threads(config.threads)
    corpus = load_corpus(data, config)
    train_part, validation, test = (corpus.parts[part] for part in ("train", "validation", "test"))
    made = train_method(
        train_part,
        validation,
        config,
        lambda stage, epoch, loss, now: run.log(stage=stage, epoch=epoch, loss=loss, validation=now),
    )
    on_validation = scores(made.network, validation.sequences).numpy()
    thresholds = best_thresholds(on_validation, validation.targets, validation.known)
    path = run.folder / "model.onnx"
    card = describe(corpus, config, thresholds)
    if corpus.embedding is None:
        export_rows(made.network, card, path, size=test.sequences.shape[2])
    else:
        export_on(corpus.embedding, made.network, card, path)
    given = engine_scores(path, corpus, test)
    clip = int((test.targets * test.known).sum(axis=1).argmax())  # the first with the most labels, to look at
    with torch.no_grad():
        attention, over_time = made.network.over_time(test.sequences[clip : clip + 1])
    np.savez(
        run.folder / "test.npz",
        scores=given,
        targets=test.targets,
        known=test.known,
        clip=clip,
        attention=attention[0].numpy(),
        over_time=over_time[0].numpy(),
    )
    found = {
        "student": score(given, test, thresholds),
        "calibration": {
            "before": calibration_error(given, test.targets, test.known),
            "after": calibration_error(
                calibrated(given, on_validation, validation.targets, validation.known), test.targets, test.known
            ),
        },
        "f1": dict(zip(corpus.labels, f1_per_label(given, test.targets, test.known).tolist(), strict=True)),
        "validation_loss": made.loss,
    }
    if made.teacher is not None:
        found["teacher"] = score(scores(made.teacher, test.sequences).numpy(), test, thresholds)
    return found | recovered(made, corpus, train_part)


def score(given: NDArray[np.float32], test: Part, thresholds: NDArray[np.float64]) -> dict[str, float]:
    """Return the figures of both data sets over the known entries, and macro F1 at the tuned thresholds."""
    return {
        "two_sided_f1": two_sided_f1(given, test.targets, test.known),
        "macro_f1": macro_f1(given, test.targets, test.known),
        "tuned_macro_f1": macro_f1(given - thresholds + 0.5, test.targets, test.known),
        "macro_auprc": macro_auprc(given, test.targets, test.known),
        "micro_auprc": micro_auprc(given, test.targets, test.known),
    }


def recovered(made: Trained, corpus: Corpus, train_part: Part) -> dict[str, Any]:
    """Return how well label enhancing found the positives among the entries that were hidden: they are known here."""
    if made.pruning is None:
        return {}
    hidden = corpus.truth_known & ~train_part.known
    positive, pruned = hidden & (corpus.truth == 1), made.pruning.pruned & hidden
    hits = int((positive & pruned).sum())
    return {
        "pruning": {
            "percentile": made.percentile,
            "pruned": int(pruned.sum()),
            "hidden": int(hidden.sum()),
            "hidden_positives": int(positive.sum()),
            "precision": hits / pruned.sum() if pruned.any() else None,
            "recall": hits / positive.sum() if positive.any() else None,
        }
    }


def describe(corpus: Corpus, config: Config, thresholds: NDArray[np.float64]) -> ModelCard:
    """Return the card; with an embedder inside, its front end and input take the place of those given here."""
    embedding = corpus.embedding
    window = corpus.parts["test"].sequences.shape[1] if embedding is None else round(10 * embedding.card.sample_rate)
    told = "; only positive tags were known in training" if config.corpus == "audioset_vggish" else ""
    outputs = ModelOutputs(scores=ModelOutput("scores", ("batch", "label")))
    if embedding is not None:
        outputs = ModelOutputs(scores=outputs.scores, embedding=ModelOutput("embedding", ("batch", "feature")))
    return ModelCard(
        name=f"{config.corpus.replace('_', '-')}-{config.method.replace('_', '-')}",
        task="tag",
        labels=corpus.labels,
        score="sigmoid",
        frontend=None if embedding is None else embedding.card.frontend,
        input=(
            ModelInput("sequences", "embedding", ("batch", "time", "feature"), row_s=corpus.row_s)
            if embedding is None
            else embedding.card.input
        ),
        outputs=outputs,
        window=window,
        hop=window,
        pad="zeros",
        reduce="max",
        embedding_size=None if embedding is None else embedding.size,
        embedding_normalised=False,
        thresholds=dict(zip(corpus.labels, np.clip(thresholds, 0, 1).round(6).tolist(), strict=True)),
        threshold_method="largest F1 on the known entries of the validation part",
        training_data=corpus.description + told,
        licence=corpus.licence,
        attribution=corpus.attribution,
        commit=commit(),
    )


def engine_scores(path: Path, corpus: Corpus, test: Part) -> NDArray[np.float32]:
    """Return the scores of the test part by ``engine.Tagger``, shape (n_clips, n_labels).

    On the sequences themselves; a model with its embedder inside was compared with torch when it was written, and takes
    sound.
    """
    with Tagger(path, device="cpu", threads=1) as tagger:
        if corpus.embedding is None:
            return np.stack([tagger.from_embeddings(rows.numpy()).scores for rows in test.sequences])
        return np.stack([tagger((sound, corpus.embedding.card.sample_rate)).scores for sound in corpus.test_sounds()])

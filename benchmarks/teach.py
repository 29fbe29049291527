"""Few-shot accuracy of ``engine.teach``: ``python -m benchmarks.teach --esc10 DIR --words DIR [--embedder NAME|PATH]``.

ESC-10 (``--esc10``, with its ``meta.csv``): clips of the query fold are scored by heads taught on 1, 5, 10 and 20 clips
per class of the other folds; no Freesound source is on both sides, which is checked. The shipped embedder has seen
every clip in its own training, so its row is an upper bound; ``--unseen 'runs/esc10/seed0-fold{fold}.onnx'`` takes the
networks of the ESC-10 recipe that were trained without the query fold.

Words (``--words``, Speech Commands with its ``meta.csv``): the ten words; half of the speakers, others in each draw,
are queries, the clips are drawn from the other half's.

A draw is a query fold or half, and clips drawn from the rest. Beside the accuracy of the queries: what ``teach`` itself
said of its model, and how often its 95 % interval held the accuracy of the queries. One draw of each is written by
``engine.teach`` and scored through ``engine.Tagger``, which must give the same accuracy.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from engine import Embedder, Tagger, teach
from engine.teach import Example, Settings
from engine.teach.embedded import EmbeddedExamples, embed_examples
from engine.teach.teaching import fit_and_measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CLIPS_PER_CLASS = (1, 5, 10, 20)
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SETTINGS = Settings(score="softmax", reduce="mean")


def esc10_examples(folder: Path) -> tuple[list[Example], NDArray[np.intp]]:
    """Return the clips with their sources as recordings, and the fold of each."""
    paths = {path.name: path for path in folder.rglob("*.ogg")}
    rows = _rows(folder)
    examples = [Example(paths[row["filename"]], (row["category"],), row["src_id"]) for row in rows]
    folds = np.array([int(row["fold"]) for row in rows])
    sources = {row["src_id"]: row["fold"] for row in rows}
    if any(sources[row["src_id"]] != row["fold"] for row in rows):
        raise RuntimeError("expected no source in two folds, got one: the folds are not disjoint")
    return examples, folds


def word_examples(folder: Path) -> tuple[list[Example], NDArray[np.intp]]:
    """Return the clips of the ten words with their speakers as recordings, and a number for each speaker."""
    rows = [row for row in _rows(folder) if row["class"] in WORDS]
    speakers = np.unique([row["speaker"] for row in rows], return_inverse=True)[1]
    return [Example(folder / "audio" / row["filename"], (row["class"],), row["speaker"]) for row in rows], speakers


def chosen(embedded: EmbeddedExamples, clips: NDArray[np.bool_]) -> EmbeddedExamples:
    """Return some of the clips."""
    indices = np.flatnonzero(clips)
    return replace(
        embedded,
        examples=tuple(embedded.examples[i] for i in indices),
        windows=embedded.windows.chosen(clips),
        sha256=tuple(embedded.sha256[i] for i in indices),
        targets=embedded.targets[clips],
        groups=np.unique(embedded.groups[clips], return_inverse=True)[1],
    )


def draw_clips(embedded: EmbeddedExamples, queries: NDArray[np.bool_], n: int, seed: int) -> NDArray[np.bool_]:
    """Return ``n`` clips of each class that are no queries and share no recording with one."""
    generator = np.random.default_rng(seed)
    free = ~queries & ~np.isin(embedded.groups, embedded.groups[queries])
    clips = np.zeros(len(queries), bool)
    for label in range(len(embedded.labels)):
        clips[generator.permutation(np.flatnonzero(free & embedded.targets[:, label]))[:n]] = True
    return clips


def one_draw(embedded: EmbeddedExamples, queries: NDArray[np.bool_], clips: NDArray[np.bool_]) -> dict[str, Any]:
    """Teach some clips and score the queries."""
    taught = chosen(embedded, clips)
    head, _, measurement = fit_and_measure(taught, SETTINGS)
    asked = chosen(embedded, queries)
    scores = asked.windows.pooled(head.scores(asked.windows.embeddings), "mean")
    accuracy = float((scores.argmax(axis=1) == asked.targets.argmax(axis=1)).mean())
    found: dict[str, Any] = {"accuracy": accuracy, "n_recordings": int(taught.groups.max()) + 1}
    if measurement is not None:
        found |= {"said": measurement.accuracy, "interval": measurement.interval}
    return found


def through_tagger(
    model: str, embedded: EmbeddedExamples, queries: NDArray[np.bool_], clips: NDArray[np.bool_]
) -> float:
    """Return the accuracy of a model that ``engine.teach`` wrote, scored as a user does."""
    with tempfile.TemporaryDirectory() as folder:
        taught = teach(
            chosen(embedded, clips).examples, f"{folder}/taught.onnx", embedder=model, score="softmax", reduce="mean"
        )
        asked = chosen(embedded, queries).examples
        results = Tagger(taught.path, "cpu", 1).batch([example.path for example in asked], on_error="raise")
        right = [clip.top(1)[0].label == example.labels[0] for clip, example in zip(results, asked, strict=True)]
    return float(np.mean(right))


def measure(
    examples: list[Example], model_of: Callable[[int], str], query_of: Callable[[int], NDArray[np.bool_]], draws: int
) -> dict[str, Any]:
    """Return the draws by clips per class; ``model_of`` and ``query_of`` say what draw number i runs on."""
    embedded: dict[str, EmbeddedExamples] = {}
    found: dict[str, Any] = {str(n): [] for n in CLIPS_PER_CLASS}
    for number in range(draws):
        model, queries = model_of(number), query_of(number)
        if model not in embedded:
            embedded[model] = embed_examples(examples, Embedder(model, "cpu", 1))
            if embedded[model].failures:
                raise RuntimeError(f"expected clips that can be read, got {embedded[model].failures}")
        for n in CLIPS_PER_CLASS:
            clips = draw_clips(embedded[model], queries, n, number)
            one = one_draw(embedded[model], queries, clips)
            if number == 0 and n == 5:
                tagged = through_tagger(model, embedded[model], queries, clips)
                if tagged != one["accuracy"]:
                    raise RuntimeError(f"expected {one['accuracy']} through Tagger, got {tagged}")
            found[str(n)].append(one)
    return found


def summary(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, spread and what the models said of themselves."""
    accuracy = [draw["accuracy"] for draw in draws]
    said = [draw for draw in draws if "said" in draw]
    held = [draw["interval"][0] <= draw["accuracy"] <= draw["interval"][1] for draw in said]
    return {
        "mean": float(np.mean(accuracy)),
        "std": float(np.std(accuracy, ddof=1)),
        "min": min(accuracy),
        "max": max(accuracy),
        "said": float(np.mean([draw["said"] for draw in said])) if said else None,
        "interval_held": float(np.mean(held)) if held else None,
        "n_recordings": float(np.mean([draw["n_recordings"] for draw in draws])),
    }


def main() -> None:
    """Measure, print the table and write it to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--esc10", type=Path, metavar="DIR")
    parser.add_argument("--words", type=Path, metavar="DIR")
    parser.add_argument("--embedder", action="append", default=[], metavar="NAME|PATH")
    parser.add_argument("--unseen", metavar="PATTERN", help="with {fold}: a network that never saw that fold")
    parser.add_argument("--draws", type=int, default=20)
    arguments = parser.parse_args()
    result = report.circumstances("benchmarks.teach", ("numpy", "scipy", "scikit-learn", "onnxruntime-gpu"))
    models = {Path(model).stem: model for model in ["esc10", *arguments.embedder]}
    rows, measured = [], {}
    for task, examples, model_of, query_of in _tasks(arguments, models):
        draws = measure(examples, model_of, query_of, arguments.draws)
        measured[task] = {n: {**summary(each), "draws": each} for n, each in draws.items()}
        rows += [[task, n, *_cells(each)] for n, each in measured[task].items()]
        print("\t".join([task, *(f"{n}: {each['mean']:.3f}" for n, each in measured[task].items())]), flush=True)
    header = ["data and embedder", "clips", "recordings", "accuracy", "std", "min", "max", "said", "interval held"]
    text = "\n\n".join([report.heading(result), report.table(header, rows), _note(arguments.draws)])
    print(text)
    print(f"wrote {report.write('teach', result | {'n_draws': arguments.draws, 'measured': measured}, text)}")


def _tasks(arguments: argparse.Namespace, models: dict[str, str]) -> list[Any]:
    tasks: list[Any] = []
    if arguments.esc10:
        examples, folds = esc10_examples(arguments.esc10)

        def fold_query(number: int) -> NDArray[np.bool_]:
            return folds == 1 + number % 4

        tasks += [(f"ESC-10, {name}", examples, lambda _, m=model: m, fold_query) for name, model in models.items()]
        if pattern := arguments.unseen:
            own = "ESC-10, esc10 without the query fold"
            tasks.append((own, examples, lambda number: pattern.format(fold=1 + number % 4), fold_query))
    if arguments.words:
        words, speakers = word_examples(arguments.words)

        def speaker_query(number: int) -> NDArray[np.bool_]:
            order = np.random.default_rng(1000 + number).permutation(speakers.max() + 1)
            return np.isin(speakers, order[: len(order) // 2])

        tasks += [(f"10 words, {name}", words, lambda _, m=model: m, speaker_query) for name, model in models.items()]
    return tasks


def _cells(figures: dict[str, Any]) -> list[str]:
    said, held = figures["said"], figures["interval_held"]
    numbers = [f"{figures[name]:.3f}" for name in ("mean", "std", "min", "max")]
    return [
        f"{figures['n_recordings']:.0f}",
        *numbers,
        "-" if said is None else f"{said:.3f}",
        "-" if held is None else f"{held:.0%}",
    ]


def _note(draws: int) -> str:
    return (
        f"{draws} draws of each; std over draws. said: the accuracy in the card, from cross-validation over the taught "
        "clips. interval held: how often the card's 95 % interval had the accuracy of the queries in it. esc10 was "
        "trained on all of these ESC-10 clips: its rows are no measurement of unseen sounds, those without the query "
        "fold are. The strength of the penalty (C = 10) was chosen on ESC-10 with yamnet."
    )


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "meta.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    main()

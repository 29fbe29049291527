"""How well embeddings find a sound of the same kind: ``python -m benchmarks.retrieval --data DIR [--folds RUN]``.

It needs the extras bench and checkpoints. DIR holds ``esc10_dev``, ``speech_commands_dev`` and ``models/yamnet``. RUN
is a run of the recipe esc10, whose ``seed*-foldF.onnx`` has not seen fold F:

    python -m training run esc10 --data DIR/esc10_dev --run RUN --epochs=40 --seeds=0 --final=false

Sounds     each clip of ESC-10 asks for clips of its class in the other folds; none of its own Freesound recording
Words      each clip of Speech Commands asks for clips of its word by other speakers, 192 in all: a voice looks for a
           voice, the stand-in for imitations. It is the published 12-class test set; its silence is left out, and the
           words of the class "unknown" count as words of their own

esc10           the embedder that ships: it was trained on all four folds, so that its figures on sounds are too good
esc10 by fold   the same recipe, each fold asked by the model that had not seen it; the clips that it searches it has
yamnet          the TensorFlow Lite file as ``python -m training convert yamnet`` makes it a model, 1,024 numbers
statistics      mean and deviation of each band of YAMNet's log-mel spectrogram: what needs no training

Clips are compared by the cosine of their embeddings, the mean over their windows. mAP is the mean over queries of
the average precision without interpolation; P@1 the share whose nearest clip is of their class. Intervals are the 2.5
and 97.5 percentiles of 1,000 draws of sources (speakers) with replacement.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from engine import Embedder, LogMel
from engine.audio import load
from engine.distance import pairwise
from engine.frontend import preset
from engine.labels import read_labels
from training.convert import convert
from training.metrics import retrieval_precisions
from training.run import commit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Embed = Callable[[Path], NDArray[np.float32]]

DRAWS = 1000
SEEN = (
    "esc10 is the model that ships and was trained on these four folds: its figures here are too good. esc10 by fold "
    "had not seen the fold that asks (it had seen those it searches), yamnet and statistics none of them."
)


@dataclass(frozen=True)
class Sound:
    """A clip: where it lies, what it is, who made it, and the fold it belongs to."""

    path: Path
    kind: str
    source: str
    fold: int = 0


def esc10(folder: Path) -> list[Sound]:
    """Return the clips of ESC-10 with their Freesound recordings as sources."""
    rows = _rows(folder / "meta.csv")
    return [Sound(folder / "audio" / row["filename"], row["category"], row["src_id"], int(row["fold"])) for row in rows]


def words(folder: Path) -> list[Sound]:
    """Return the words of Speech Commands with their speakers as sources."""
    rows = [row for row in _rows(folder / "meta.csv") if row["class"] != "silence"]
    return [Sound(folder / "audio" / row["filename"], row["word"], row["speaker"]) for row in rows]


def statistics() -> Embed:
    """Return mean and deviation over time of each log-mel band."""
    front_end = LogMel(preset("yamnet"))

    def embed(path: Path) -> NDArray[np.float32]:
        samples, _ = load(path, front_end.config.sample_rate)
        log_mel = front_end(samples)
        return np.concatenate([log_mel.mean(axis=0), log_mel.std(axis=0)])

    return embed


def network(model: Path | str) -> Embed:
    """Return the embeddings of a model."""
    embedder = Embedder(model, device="cpu", threads=1)

    def embed(path: Path) -> NDArray[np.float32]:
        embedding = embedder(path).embedding
        assert embedding is not None
        return embedding

    return embed


def embedded(embed: Embed, sounds: Sequence[Sound]) -> tuple[NDArray[np.float32], float]:
    """Return the embeddings of clips, shape (n, size), and the milliseconds for each, decoding included."""
    begin = time.perf_counter()
    vectors = np.stack([embed(sound.path) for sound in sounds])
    return vectors, 1e3 * (time.perf_counter() - begin) / len(sounds)


def answers(
    vectors: NDArray[np.float32], sounds: Sequence[Sound], queries: Sequence[int], *, other_folds: bool
) -> dict[int, tuple[float, bool]]:
    """Return the average precision of each query, and whether the nearest clip is of its kind.

    A query without any clip of its kind among the others asks for nothing and is left out.
    """
    kinds = np.array([sound.kind for sound in sounds])
    sources = np.array([sound.source for sound in sounds])
    folds = np.array([sound.fold for sound in sounds])
    asking = list(queries)
    searched = sources != sources[asking, np.newaxis]
    if other_folds:
        searched &= folds != folds[asking, np.newaxis]
    alike = kinds == kinds[asking, np.newaxis]
    precisions, first = retrieval_precisions(pairwise(vectors[asking], vectors, "cosine"), alike, searched)
    answered = zip(asking, precisions.tolist(), first.tolist(), strict=True)
    return {query: (precision, bool(hit)) for query, precision, hit in answered if not np.isnan(precision)}


def summary(found: dict[int, tuple[float, bool]], sounds: Sequence[Sound]) -> dict[str, Any]:
    """Return mAP and P@1 over all queries and by fold, with their intervals over sources."""
    by_source = defaultdict(list)
    by_fold = defaultdict(list)
    for query, values in found.items():
        by_source[sounds[query].source].append(values)
        by_fold[sounds[query].fold].append(values)
    groups = [np.array(values, float) for values in by_source.values()]
    sums, sizes = np.array([group.sum(axis=0) for group in groups]), np.array([len(group) for group in groups])
    drawn = np.random.default_rng(0).integers(len(groups), size=(DRAWS, len(groups)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)[:, np.newaxis]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    whole = sums.sum(axis=0) / sizes.sum()
    figures: dict[str, Any] = {"n_queries": len(found)}
    for column, name in enumerate(("map", "p_at_1")):
        figures[name] = float(whole[column])
        figures[f"{name}_interval"] = [float(low[column]), float(high[column])]
        if len(by_fold) > 1:
            figures[f"{name}_by_fold"] = {f: float(np.mean(v, axis=0)[column]) for f, v in sorted(by_fold.items())}
    return figures


def measure_sounds(sounds: Sequence[Sound], peers: dict[str, Embed], run: Path | None) -> dict[str, Any]:
    """Return the figures on ESC-10 of every embedder, and of the models that had not seen the fold that asks."""
    everything = range(len(sounds))
    figures = {}
    for name, embed in peers.items():
        vectors, ms = embedded(embed, sounds)
        figures[name] = summary(answers(vectors, sounds, everything, other_folds=True), sounds) | {"ms_per_clip": ms}
    if run is not None:
        found: dict[int, tuple[float, bool]] = {}
        took = []
        for fold in sorted({sound.fold for sound in sounds}):
            (model,) = run.glob(f"seed*-fold{fold}.onnx")
            vectors, ms = embedded(network(model), sounds)
            took.append(ms)
            queries = [i for i in everything if sounds[i].fold == fold]
            found |= answers(vectors, sounds, queries, other_folds=True)
        figures["esc10 by fold"] = summary(found, sounds) | {"ms_per_clip": float(np.mean(took))}
    return figures


def measure_words(sounds: Sequence[Sound], peers: dict[str, Embed]) -> dict[str, Any]:
    """Return the figures on words of every embedder, and of a coin."""
    figures = {}
    for name, embed in peers.items():
        vectors, ms = embedded(embed, sounds)
        found = answers(vectors, sounds, range(len(sounds)), other_folds=False)
        figures[name] = summary(found, sounds) | {"ms_per_clip": ms}
    noise = np.random.default_rng(0).standard_normal((len(sounds), 64), dtype=np.float32)
    figures["chance"] = summary(answers(noise, sounds, range(len(sounds)), other_folds=False), sounds)
    return figures


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""

    def shown(value: dict[str, Any], name: str) -> list[str]:
        low, high = value[f"{name}_interval"]
        return [f"{value[name]:.3f}", f"{low:.3f} to {high:.3f}"]

    rows = []
    for name, value in figures.items():
        ms = f"{value['ms_per_clip']:.1f}" if "ms_per_clip" in value else ""
        rows.append([name, *shown(value, "map"), *shown(value, "p_at_1"), str(value["n_queries"]), ms])
    header = ["embedder", "mAP", "95 %", "P@1", "95 %", "queries", "ms per clip"]
    text = report.table(header, rows)
    folds = [(name, value) for name, value in figures.items() if "map_by_fold" in value]
    if not folds:
        return text
    header = ["by the fold that asks", *(f"{f}: mAP / P@1" for f in folds[0][1]["map_by_fold"])]
    cells = [
        [name, *(f"{value['map_by_fold'][f]:.3f} / {value['p_at_1_by_fold'][f]:.3f}" for f in value["map_by_fold"])]
        for name, value in folds
    ]
    return f"{text}\n\n{report.table(header, cells)}"


def main() -> None:
    """Measure, print the tables and write them to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--folds", type=Path, help="run of the recipe esc10 with a model for each fold")
    arguments = parser.parse_args()
    data: Path = arguments.data
    packages = ("numpy", "onnxruntime-gpu", "onnxruntime", "scikit-learn", "torch")
    result = report.circumstances("benchmarks.retrieval", packages) | {"commit": commit()}
    result["command"] = "python -m benchmarks.retrieval --data DIR" + (" --folds RUN" if arguments.folds else "")
    with tempfile.TemporaryDirectory() as folder:
        yamnet = Path(folder, "yamnet.onnx")
        source = data / "models" / "yamnet"
        labels = read_labels(source / "yamnet_class_map.csv")
        convert("yamnet", source / "yamnet_classification.tflite", yamnet, labels=labels)
        peers = {"esc10": network("esc10"), "yamnet": network(yamnet), "statistics": statistics()}
        result["sounds"] = measure_sounds(esc10(data / "esc10_dev"), peers, arguments.folds)
        result["words"] = measure_words(words(data / "speech_commands_dev"), peers)
    if arguments.folds is not None:
        config = json.loads((arguments.folds / "config.json").read_text(encoding="utf-8"))
        result["fold_models"] = {name: config[name] for name in ("recipe", "epochs", "seeds")}
    text = "\n\n".join(
        [
            report.heading(result),
            f"commit: {result['commit']}",
            "## Sounds: ESC-10, each fold asks the others",
            table(result["sounds"]),
            SEEN,
            f"models by fold: {result.get('fold_models', 'none')}",
            "## Words: Speech Commands, across 192 speakers",
            table(result["words"]),
            "The published 12-class test set without silence; no imitations were used.",
        ]
    )
    print(text)
    print(f"wrote {report.write('retrieval', result, text)}")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()

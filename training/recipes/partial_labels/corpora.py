"""Section IV-A of the paper: sequences of embeddings with labels that are known in part, of four corpora."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.errors import ConfigError
from training.datasets import audioset, openmic2018
from training.datasets.imbalanced import divide_groups
from training.datasets.openmic2018 import load_openmic2018
from training.datasets.scenes import SceneSet, make_scenes, waveforms
from training.datasets.sonyc_ust import load_sonyc_ust
from training.partial_labels import hide, hide_rare
from training.recipes.partial_labels.methods import Part
from training.sequences import Embedding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from training.recipes.partial_labels.config import Config

PARTS = ("train", "validation", "test")
SCENE_PARTS = ("labelled", "unlabelled", "validation", "evaluation")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A data set in parts.

    Attributes
    ----------
    labels : tuple of str
    parts : dict of str to Part
        "train", with entries hidden as configured, "validation" and "test".
    truth : ndarray, shape (n_train, n_labels)
        What was known of the training part before entries were hidden.
    truth_known : ndarray of bool, shape (n_train, n_labels)
    embedding : Embedding or None
        What made the sequences, where it is a model of this project.
    row_s : float
        Seconds from one step of a sequence to the next.
    description, licence, attribution : str
        For the card; the description names the embedder that a model needs.
    test_sounds : callable
        Gives the samples of the test clips, where there is an embedding.
    """

    labels: tuple[str, ...]
    parts: dict[str, Part]
    truth: NDArray[np.uint8]
    truth_known: NDArray[np.bool_]
    embedding: Embedding | None
    row_s: float
    description: str
    licence: str
    attribution: str
    test_sounds: Callable[[], Iterator[NDArray[np.float32]]] = lambda: iter(())


def load_corpus(data: Path, config: Config) -> Corpus:
    """Return the configured corpus.

    Raises
    ------
    ConfigError
        When it is not there, or ``--sequences`` does not belong to it.
    """
    loaders = {"openmic2018": _openmic, "sonyc_ust": _sonyc, "audioset_vggish": _audioset, "scenes": _scenes}
    corpus = loaders[config.corpus](data, config)
    if config.dropped:
        train = corpus.parts["train"]
        generator = np.random.default_rng((config.seed, 3))
        known = (
            hide_rare(train.known, train.targets, config.dropped, generator)
            if config.hidden == "rare"
            else hide(train.known, config.dropped, generator)
        )
        corpus = replace(corpus, parts=corpus.parts | {"train": replace(train, known=known)})
    if bare := [part for part, of in corpus.parts.items() if not of.known.any()]:
        raise ConfigError(
            f"expected known labels in every part of {config.corpus}, got none in {', '.join(bare)}; add clips or hide "
            "fewer"
        )
    return corpus


def _part(sequences: NDArray[np.float32], targets: NDArray[np.uint8], known: NDArray[np.bool_]) -> Part:
    return Part(torch.from_numpy(np.ascontiguousarray(sequences, np.float32)), targets, known)


def _corpus(parts: dict[str, Part], **others: object) -> Corpus:
    train = parts["train"]
    return Corpus(parts=parts, truth=train.targets, truth_known=train.known, **others)  # type: ignore[arg-type]


def _openmic(data: Path, config: Config) -> Corpus:
    """OpenMIC-2018: VGGish as published over 255; 15 % of the training clips validate."""
    found = load_openmic2018(data, audio=False)
    train, test = found.select(split="train"), found.select(split="test")
    order = np.random.default_rng((config.seed, 2)).permutation(len(train))
    n_validation = round(0.15 * len(train))
    rows = {"train": np.sort(order[n_validation:]), "validation": np.sort(order[:n_validation])}
    sequences = openmic2018.vggish(data, train).astype(np.float32) / 255
    parts = {part: _part(sequences[r], train.targets()[r], train.mask()[r]) for part, r in rows.items()}
    parts["test"] = _part(openmic2018.vggish(data, test).astype(np.float32) / 255, test.targets(), test.mask())
    return _corpus(
        parts,
        labels=found.labels,
        embedding=None,
        row_s=0.96,
        description=f"OpenMIC-2018, {_counted(parts)}; its input is VGGish of AudioSet, 8 bits as published, over 255",
        licence="Apache-2.0; OpenMIC-2018 is CC BY 4.0",
        attribution="OpenMIC-2018 (Humphrey, Durand, McFee, ISMIR 2018)",
    )


def _sonyc(data: Path, config: Config) -> Corpus:
    """SONYC-UST: sequences of a file, each number standardised over clips and steps of the training part."""
    found = load_sonyc_ust(data, "summed")
    sets = {part: found.select(split=part) for part in PARTS}
    by_name = _stored(config.sequences)
    raw = {part: np.stack([by_name[record.path.name] for record in of.records]) for part, of in sets.items()}
    mean, std = raw["train"].mean(axis=(0, 1)), np.maximum(raw["train"].std(axis=(0, 1)), 1e-6)
    parts = {part: _part((raw[part] - mean) / std, of.targets(), of.mask()) for part, of in sets.items()}
    return _corpus(
        parts,
        labels=found.labels,
        embedding=None,
        row_s=1.0,
        description=f"SONYC-UST, {_counted(parts)}; its input is {Path(config.sequences).name}, standardised on train",
        licence="Apache-2.0; SONYC-UST is CC BY 4.0",
        attribution="SONYC-UST (Cartwright and others, DCASE 2019)",
    )


def _stored(sequences: str) -> dict[str, NDArray[np.float32]]:
    """Return the sequences of a file by the recordings' names."""
    try:
        with np.load(sequences) as arrays:
            return dict(zip([Path(path).name for path in arrays["paths"]], arrays["sequences"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"expected --sequences, a file of python -m training embed with paths and sequences, got {sequences!r} "
            f"({error}); make one"
        ) from None


def _audioset(data: Path, config: Config) -> Corpus:
    """AudioSet segments with positive tags only: of the training part nothing else is known.

    Validation and test take an unset tag as absent, which it mostly is, and which flatters no method more than another.
    """
    found = audioset.load_audioset_vggish(data)
    sequences = audioset.vggish(data).astype(np.float32) / 255
    kept = np.flatnonzero(found.targets().sum(axis=0) >= config.fewest)
    if not kept.size:
        raise ConfigError(f"expected labels with {config.fewest} clips or more, got none; lower --fewest")
    row_of = {record.path: row for row, record in enumerate(found.records)}
    parts = {}
    for part, records in divide_groups(found.records, config.seed, (0.6, 0.15, 0.25)).items():
        rows = np.array([row_of[record.path] for record in records])
        targets = found.targets()[rows][:, kept]
        known = targets == 1 if part == "train" else np.ones(targets.shape, bool)
        parts[part] = _part(sequences[rows], targets, known)
    return _corpus(
        parts,
        labels=tuple(found.labels[i] for i in kept),
        embedding=None,
        row_s=0.96,
        description=f"AudioSet, {_counted(parts)}, positive tags only; its input is VGGish of AudioSet, over 255",
        licence="Apache-2.0; AudioSet's labels are CC BY 4.0",
        attribution="AudioSet (Gemmeke and others, ICASSP 2017), labels CC BY 4.0",
    )


def _scenes(data: Path, config: Config) -> Corpus:
    """Scenes of ESC-10 with complete labels, of which some are hidden; embedded by a model of this project."""
    if not config.sequences.endswith(".onnx"):
        raise ConfigError(
            f"expected --sequences, an exported .onnx with an embedding, got {config.sequences!r}; train one, for "
            "example python -m training run semi_supervised_triplet --strategy=S1"
        )
    sizes = (config.scenes, 0, config.scenes // 4, config.scenes // 2)
    counts = dict(zip(SCENE_PARTS, sizes, strict=True))
    made = make_scenes(data, data / config.background, counts, config.seed, config.first_fold)
    embedding, sequences = _embedded(Path(config.sequences), config.step_s, made)
    rate = embedding.card.sample_rate
    parts = {}
    for part, name in zip(PARTS, ("labelled", "validation", "evaluation"), strict=True):
        targets = made.targets(name)
        parts[part] = _part(sequences[name], targets, np.ones(targets.shape, bool))
    return _corpus(
        parts,
        labels=made.labels,
        embedding=embedding,
        row_s=config.step_s,
        description=f"scenes of ESC-10, {_counted(parts)}, embedded by {embedding.card.name}",
        licence=embedding.card.licence,
        attribution=embedding.card.attribution,
        test_sounds=lambda: waveforms(made.parts["evaluation"], rate),
    )


@functools.lru_cache(maxsize=1)
def _embedded(model: Path, step_s: float, made: SceneSet) -> tuple[Embedding, dict[str, NDArray[np.float32]]]:
    """Embed scenes once for all cells of a grid that have the same ones."""
    embedding = Embedding(model, step_s)
    return embedding, {
        part: embedding.of(waveforms(scenes, embedding.card.sample_rate))
        for part, scenes in made.parts.items()
        if scenes
    }


def _counted(parts: dict[str, Part]) -> str:
    return ", ".join(f"{len(of.targets)} {part}" for part, of in parts.items())

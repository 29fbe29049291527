"""Which clips to label next: those that the head is unsure of, unlike each other and unlike what it was taught."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from engine.distance import pairwise
from engine.embedder import Embedder
from engine.errors import ConfigError, TeachError
from engine.registry import find_model
from engine.scan import find_audio
from engine.teach.embedded import EmbeddedExamples, embed_examples, file_sha256, window_embeddings
from engine.teach.examples import Failure, read_examples, recording_of
from engine.teach.pooling import ClipWindows
from engine.teach.settings import Settings, TeachOptions
from engine.teach.teaching import completed, fit_and_measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from engine.teach.examples import Example

COLUMNS = ("file", "label", "recording", "predicted", "score", "uncertainty", "distance")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A clip whose label would help.

    Attributes
    ----------
    path : Path
    recording : str or None
        As its name says.
    predicted : str
        The best label.
    score : float
        Of that label.
    uncertainty : float
        From 0, sure, to 1: softmax, one minus the lead of the best label over the second; sigmoid, how near the most
        doubtful label is to 0.5.
    distance : float
        Cosine distance, from 0 to 2, to the nearest clip that is labelled or proposed before this one.
    """

    path: Path
    recording: str | None
    predicted: str
    score: float
    uncertainty: float
    distance: float


@dataclass(frozen=True, slots=True)
class Review:
    """What to label next.

    Attributes
    ----------
    proposals : tuple of Proposal
        The most useful first.
    n_pool : int
        Clips that were looked at; those that are labelled already are not among them.
    failures : tuple of Failure
        Files that were left out, labelled ones and ones of the pool.
    """

    proposals: tuple[Proposal, ...]
    n_pool: int
    failures: tuple[Failure, ...]


def propose(
    examples: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Example],
    pool: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    count: int = 20,
    embedder: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
    **options: Unpack[TeachOptions],
) -> Review:
    """Propose the clips of a pool whose labels would help most.

    A head is fitted to the examples. Then clips are taken one by one, each the one with the largest product of
    uncertainty and distance to what is labelled or was taken before: neither a sure clip nor a second one like it.

    Parameters
    ----------
    examples, embedder, device, threads, progress, **options
        As for ``teach``; progress goes on over the pool.
    pool : path, or sequence of paths
        Files, folders and patterns.
    count : int
        How many to propose at most.

    Raises
    ------
    ConfigError, TeachError, ModelError
        As ``teach``; a TeachError also where nothing in the pool can be read or is left to label.
    AudioError
        The pool has no audio files.
    """
    if type(count) is not int or count < 1:
        raise ConfigError(f"expected count to be a whole number from 1, got {count!r}; correct it")
    settings = Settings(**options)
    lesson = read_examples(examples, settings.recording)
    labelled_paths = {os.path.realpath(example.path) for example in lesson.examples}
    found = find_audio([pool] if isinstance(pool, str | os.PathLike) else pool)
    paths = [path for path in dict.fromkeys(found) if os.path.realpath(path) not in labelled_paths]
    with Embedder(find_model(embedder), device, threads) as opened:
        embedded = embed_examples(lesson.examples, opened, progress)
        n_before = len(lesson.examples)
        later = None if progress is None else lambda done: progress(n_before + done)
        kept, windows, failures = _embed_pool(paths, opened, embedded, later)
    settings = completed(settings, embedded)
    head, _, _ = fit_and_measure(embedded, settings)
    assert settings.reduce is not None
    scores = windows.pooled(head.scores(windows.embeddings), settings.reduce)
    unsure = uncertainty(scores, exclusive=head.exclusive)
    chosen = choose_clips(unsure, windows.means(), embedded.windows.means(), count)
    proposals = tuple(
        Proposal(
            path=kept[index],
            recording=recording_of(kept[index], settings.recording),
            predicted=embedded.labels[int(scores[index].argmax())],
            score=float(scores[index].max()),
            uncertainty=float(unsure[index]),
            distance=distance,
        )
        for index, distance in chosen
    )
    return Review(proposals, len(kept), (*lesson.failures, *embedded.failures, *failures))


def uncertainty(scores: NDArray[np.float64], *, exclusive: bool) -> NDArray[np.float64]:
    """Return how unsure scores of shape (n_clips, n_labels) are, from 0 to 1; see ``Proposal``."""
    if exclusive:
        ordered = np.sort(scores, axis=1)
        lead: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
        return 1 - lead
    nearest: NDArray[np.float64] = (1 - np.abs(2 * scores - 1)).max(axis=1)
    return nearest


def choose_clips(
    unsure: NDArray[np.float64], pool: NDArray[np.float32], labelled: NDArray[np.float32], count: int
) -> list[tuple[int, float]]:
    """Return index and distance of each chosen clip; see ``propose``.

    Parameters
    ----------
    unsure : ndarray, shape (n_pool,)
    pool, labelled : ndarray, shape (n_pool, d) and (n_labelled, d), float32
    count : int
    """
    distance: NDArray[np.float64] = np.full(len(pool), np.inf)
    for row in labelled:  # never the whole matrix: a pool may be large
        distance = np.minimum(distance, pairwise(pool, row[np.newaxis], "cosine")[:, 0])
    chosen: list[tuple[int, float]] = []
    left = np.ones(len(pool), bool)
    for _ in range(min(count, len(pool))):
        index = int(np.where(left, unsure * distance, -1).argmax())
        chosen.append((index, float(distance[index])))
        left[index] = False
        distance = np.minimum(distance, pairwise(pool, pool[index : index + 1], "cosine")[:, 0])
    return chosen


def write_proposals(proposals: Iterable[Proposal], table: str | os.PathLike[str]) -> None:
    """Write a CSV table whose column ``label`` is to be filled in, and which ``teach`` reads then.

    Several labels are written with ``;`` between them, ``-`` is for none of the sounds, and rows that stay empty are
    left out. Files are named relative to the table where they lie below its folder.
    """
    path = Path(table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in proposals:
        figures = (f"{value:.4f}" for value in (each.score, each.uncertainty, each.distance))
        writer.writerow([_name(each.path, path.parent), "", each.recording or "", each.predicted, *figures])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text.getvalue(), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _name(path: Path, folder: Path) -> str:
    whole, home = path.resolve(), folder.resolve()
    return whole.relative_to(home).as_posix() if whole.is_relative_to(home) else str(whole)


def _embed_pool(
    paths: Sequence[Path],
    embedder: Embedder,
    embedded: EmbeddedExamples,
    progress: Callable[[int], object] | None,
) -> tuple[list[Path], ClipWindows, list[Failure]]:
    kept, vectors, failures = [], [], []
    seen = set(embedded.sha256)
    for path, clip in zip(paths, embedder.batch(paths, progress=progress), strict=True):
        if clip.error is not None:
            failures.append(Failure(str(path), str(clip.error)))
            continue
        digest = file_sha256(path)
        if digest not in seen:  # a copy of what is labelled, or of another clip of the pool, has nothing to add
            seen.add(digest)
            kept.append(path)
            vectors.append(window_embeddings(clip.windows))
    if not kept:
        reason = f": {failures[0].path!r}: {failures[0].reason}" if failures else ""
        raise TeachError(
            f"expected clips in the pool that can be read and are not labelled yet, got none{reason}; name other files"
        )
    return kept, ClipWindows.of(vectors), failures

"""Labelled clips as embeddings, grouped by the recordings that they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import TeachError
from engine.teach.examples import Example, Failure, spoken
from engine.teach.folds import group_clips
from engine.teach.pooling import ClipWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.embedder import Embedder
    from engine.results import Window


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedExamples:
    """Labelled clips that could be embedded.

    Attributes
    ----------
    examples : tuple of Example
    windows : ClipWindows
    sha256 : tuple of str
        Of each clip's file.
    labels : tuple of str
        Sorted.
    targets : ndarray, shape (n_clips, n_labels), bool
    groups : ndarray of int, shape (n_clips,)
        Clips of one recording share a number.
    failures : tuple of Failure
        Files that could not be read.
    """

    examples: tuple[Example, ...]
    windows: ClipWindows
    sha256: tuple[str, ...]
    labels: tuple[str, ...]
    targets: NDArray[np.bool_]
    groups: NDArray[np.intp]
    failures: tuple[Failure, ...]


def embed_examples(
    examples: Sequence[Example], embedder: Embedder, progress: Callable[[int], object] | None = None
) -> EmbeddedExamples:
    """Embed labelled clips.

    Clips belong together where the same recording is named for them, where their files are the same, and where the
    model hears exactly the same in them (the same sound in another container).

    Parameters
    ----------
    examples : sequence of Example
    embedder : Embedder
    progress : callable, optional
        Called with the number of clips that are done.

    Raises
    ------
    TeachError
        No clip of a label can be read, or clips with the same content have different labels.
    """
    kept, vectors, hashes, failures = [], [], [], []
    clips = embedder.batch([example.path for example in examples], progress=progress)
    for example, clip in zip(examples, clips, strict=True):
        if clip.error is not None:
            failures.append(Failure(str(example.path), str(clip.error)))
            continue
        kept.append(example)
        vectors.append(window_embeddings(clip.windows))
        hashes.append(file_sha256(example.path))
    _check_labels(examples, kept, failures)
    contents = [hashlib.sha256(each.tobytes()).hexdigest() for each in vectors]
    _check_contradictions(kept, hashes, contents)
    labels = tuple(sorted({label for example in kept for label in example.labels}))
    targets = np.array([[label in example.labels for label in labels] for example in kept], bool)
    named = [[("recording", example.recording)] if example.recording else [] for example in kept]
    keys = [[*own, *pair] for own, pair in zip(named, zip(hashes, contents, strict=True), strict=True)]
    return EmbeddedExamples(
        tuple(kept), ClipWindows.of(vectors), tuple(hashes), labels, targets, group_clips(keys), tuple(failures)
    )


def window_embeddings(windows: Sequence[Window]) -> NDArray[np.float32]:
    """Return the embeddings of a clip's windows, shape (n_windows, embedding_size)."""
    return np.stack([window.embedding for window in windows if window.embedding is not None])


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_labels(examples: Sequence[Example], kept: Sequence[Example], failures: Sequence[Failure]) -> None:
    wanted = {label for example in examples for label in example.labels}
    if lost := sorted(wanted - {label for example in kept for label in example.labels}):
        paths = {str(example.path) for example in examples if lost[0] in example.labels}
        reason = next(failure for failure in failures if failure.path in paths)
        raise TeachError(
            f"expected a clip of each label that can be read, got none of {lost[0]!r}: {reason.path!r}: "
            f"{reason.reason}; add clips or remove the label"
        )


def _check_contradictions(examples: Sequence[Example], hashes: Sequence[str], contents: Sequence[str]) -> None:
    for keys, what in ((hashes, "the same file"), (contents, "the same sound to the model")):
        seen: dict[str, Example] = {}
        for example, key in zip(examples, keys, strict=True):
            known = seen.setdefault(key, example)
            if known.labels != example.labels:
                raise TeachError(
                    f"expected the same labels for the same content, got {str(known.path)!r} as {spoken(known.labels)} "
                    f"and {str(example.path)!r}, {what}, as {spoken(example.labels)}; remove the wrong one, or give "
                    "both all their labels in a table"
                )

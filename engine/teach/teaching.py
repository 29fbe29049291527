"""The steps from labelled clips to a model of the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np

from engine.adopt.graph import load_graph, serialised
from engine.card import ModelCard, write_card
from engine.convert.candidate import open_candidate
from engine.embedder import Embedder
from engine.errors import ConfigError, ModelError, TeachError
from engine.golden import synthetic_clip
from engine.registry import find_model
from engine.teach.described import taught_card
from engine.teach.embedded import EmbeddedExamples, embed_examples, window_embeddings
from engine.teach.examples import Failure, read_examples
from engine.teach.folds import Folds, make_folds
from engine.teach.graph import join_head
from engine.teach.head import Head, fit_head
from engine.teach.learners import sklearn
from engine.teach.measurement import Measurement, measure
from engine.teach.settings import Settings, TeachOptions
from engine.verify import record_golden, verify_model

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import onnx

    from engine.teach.examples import Example

# How far the scores of the ONNX file may be from those of the fitted head, for one window.
LARGEST_DIFFERENCE = 1e-5


@dataclass(frozen=True, slots=True)
class Taught:
    """A model that was taught.

    Attributes
    ----------
    path : Path
    card : ModelCard
        ``card.metrics`` has how it was made, on which files, and every figure.
    head : Head
        As scikit-learn fitted it.
    measurement : Measurement or None
        What cross-validation found; None where there were too few recordings to measure anything.
    failures : tuple of Failure
        Files that were left out, each with the reason.
    n_unlabelled : int
        Rows of tables that were left out because nobody filled in their label.
    warnings : tuple of str
        What makes the model less sure than it could be, one sentence each.
    """

    path: Path
    card: ModelCard
    head: Head
    measurement: Measurement | None
    failures: tuple[Failure, ...]
    n_unlabelled: int
    warnings: tuple[str, ...]


def teach(
    examples: str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Example],
    output: str | os.PathLike[str],
    *,
    embedder: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
    **options: Unpack[TeachOptions],
) -> Taught:
    """Teach new classes from labelled clips: write one ONNX file, embedder and head, whose card says how good it is.

    Parameters
    ----------
    examples : path, or iterable of paths and Examples
        Folders named as labels, CSV tables, or both; see ``engine.teach.read_examples``.
    output : path
        The .onnx file to write, by temporary name and rename; the model is named after it.
    embedder : str, path or None
        A model with an embedding; None is the shipped one.
    device, threads
        For the embedder, as for ``Embedder``.
    overwrite : bool
        Whether ``output`` may exist.
    progress : callable, optional
        Called with the number of clips that are embedded.
    **options
        ``head``, ``score``, ``reduce``, ``precision``, ``recording`` and ``seed``: see ``engine.teach.Settings``.

    Returns
    -------
    Taught

    Raises
    ------
    ConfigError
        An option is out of range, the output exists, or scikit-learn is missing.
    TeachError
        There are no examples, fewer than two labels, none that can be read of one, or they contradict each other.
    ModelError
        The embedder has no embedding or cannot be extended.

    Examples
    --------
    >>> import tempfile
    >>> from engine import Tagger, teach
    >>> from engine.teach import Example
    >>> clips = [Example(f"examples/{name}.flac", (name,)) for name in ("rain", "helicopter")]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     taught = teach(clips, f"{folder}/mine.onnx")
    ...     print(Tagger(taught.path)("examples/rain.flac").top(1)[0].label)
    rain
    """
    settings = Settings(**options)
    sklearn()
    path = Path(output)
    _check_output(path, overwrite)
    lesson = read_examples(examples, settings.recording)
    source = find_model(embedder)
    with Embedder(source, device, threads) as opened:
        embedded = embed_examples(lesson.examples, opened, progress)
        card = opened.card
    settings = completed(settings, embedded)
    head, folds, measurement = fit_and_measure(embedded, settings)
    warnings = _warnings(embedded, folds, measurement, settings)
    graph, outputs = join_head(load_graph(source), card, head)
    described = taught_card(
        path.stem,
        card,
        outputs,
        head=head,
        embedded=embedded,
        folds=folds,
        measurement=measurement,
        settings=settings,
        warnings=warnings,
    )
    _check_scores(graph, described, head)
    written = _written(path, graph, described)
    return Taught(
        path, written, head, measurement, (*lesson.failures, *embedded.failures), lesson.n_unlabelled, warnings
    )


def fit_and_measure(embedded: EmbeddedExamples, settings: Settings) -> tuple[Head, Folds, Measurement | None]:
    """Fit the head to every clip, and measure what heads like it do on recordings that they were not fitted to."""
    assert settings.reduce is not None
    exclusive = settings.score == "softmax"
    windows, targets = embedded.windows, embedded.targets
    folds = make_folds(targets, embedded.groups, settings.seed)
    measurement = measure(
        windows,
        targets,
        embedded.groups,
        folds,
        head=settings.head,
        reduce=settings.reduce,
        precision=settings.precision,
        exclusive=exclusive,
        seed=settings.seed,
    )
    head = fit_head(
        settings.head,
        windows.embeddings,
        windows.spread(targets),
        windows.weights,
        exclusive=exclusive,
        seed=settings.seed,
    )
    return (head if measurement is None else head.at(measurement.temperature)), folds, measurement


def completed(settings: Settings, embedded: EmbeddedExamples) -> Settings:
    """Return the settings with score and reduce as the labels ask for; a TeachError where nothing can be taught."""
    counts = embedded.targets.sum(axis=1)
    score = settings.score or ("softmax" if (counts == 1).all() else "sigmoid")
    if score == "softmax" and not (counts == 1).all():
        example = embedded.examples[int((counts != 1).argmax())]
        raise TeachError(
            f"expected exactly one label for each clip, as labels of a softmax exclude each other, got "
            f"{len(example.labels)} for {str(example.path)!r}; choose sigmoid, or correct its labels"
        )
    if len(embedded.labels) < (2 if score == "softmax" else 1):
        found = f"only {embedded.labels[0]!r}" if embedded.labels else "none"
        raise TeachError(
            f"expected two labels or more, got {found}; add clips of something else, or clips labelled '-' in a table "
            "for what is none of the sounds"
        )
    if score == "sigmoid" and (constant := np.flatnonzero(embedded.targets.all(axis=0))).size:
        raise TeachError(
            f"expected clips without {embedded.labels[constant[0]]!r}, got it as a label of every clip; add clips of "
            "something else"
        )
    return replace(settings, score=score, reduce=settings.reduce or ("mean" if score == "softmax" else "max"))


def _warnings(
    embedded: EmbeddedExamples, folds: Folds, measurement: Measurement | None, settings: Settings
) -> tuple[str, ...]:
    n_clips = embedded.targets.sum(axis=0)
    single = [label for label, n in zip(embedded.labels, n_clips, strict=True) if n == 1]
    alone = [
        label for label, n, known in zip(embedded.labels, n_clips, folds.measured, strict=True) if n > 1 and not known
    ]
    found = []
    if single:
        found.append(
            f"there is one clip only of {_listed(single)}: it was taught, but nothing says how well it is heard; add "
            "clips from other recordings, five make a first measurement"
        )
    if alone:
        found.append(
            f"all clips of {_listed(alone)} are of one recording: what is heard may be that recording instead of the "
            "sound, and it was not measured; add clips from other recordings"
        )
    if measurement is None:
        found.append("nothing was measured: no label has clips of two recordings, and thresholds are 0.5")
        return tuple(found)
    reached = zip(embedded.labels, measurement.thresholds, folds.measured, strict=True)
    if short := [label for label, threshold, known in reached if known and not threshold.reached]:
        found.append(
            f"no threshold reaches a precision of {settings.precision:g} for {_listed(short)}: it has the one with the "
            "highest; add clips, or ask for a lower precision"
        )
    return tuple(found)


def _listed(labels: list[str]) -> str:
    return ", ".join(map(repr, labels))


def _check_output(path: Path, overwrite: bool) -> None:
    if path.suffix != ".onnx":
        raise ConfigError(f"expected the name of an .onnx file to write, got {str(path)!r}; end it with .onnx")
    if path.exists() and not overwrite:
        raise ConfigError(f"expected a new file, got {str(path)!r}, which exists; rename it or allow overwriting")
    if not path.parent.is_dir():
        raise ConfigError(f"expected a file in an existing folder, got {str(path)!r}; make the folder first")


def _check_scores(graph: onnx.ModelProto, card: ModelCard, head: Head) -> None:
    """Refuse a network whose scores are not those of the head that was fitted and measured."""
    model = open_candidate(graph, card)
    rate = model.sample_rate
    # Windows of noise, of a chirp and of clicks: three, so that at least one of them is a whole one.
    clip = model((synthetic_clip("bursts-chirp-clicks", 2 * card.hop + card.window, rate), rate))
    expected = head.scores(window_embeddings(clip.windows))
    difference = float(np.abs(np.stack([window.scores for window in clip.windows]) - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ModelError(
            f"expected the network to give the fitted head's scores within {LARGEST_DIFFERENCE:g}, got them "
            f"{difference:.2g} off: its embeddings are too large for 32-bit floats; choose another embedder"
        )


def _written(path: Path, graph: onnx.ModelProto, card: ModelCard) -> ModelCard:
    finished = serialised(write_card(graph, record_golden(graph, card)))
    temporary = path.with_name(f".{path.stem}.part.onnx")
    try:
        temporary.write_bytes(finished)
        written = verify_model(temporary).card
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return written

"""YAMNet as a peer for ESC-10: its own classes by a map made by hand, or a linear head on its embedding.

YAMNet (M. Plakal and D. Ellis, 2020, trained on AudioSet) runs through the engine as ``training.convert`` writes it.
It sees 0.96 s every 0.48 s. In time a window stands for the 0.48 s in its middle, which is finer than its whole length.

The linear head is the stronger peer: logistic regression per label (scikit-learn, L2, C = 0.1, features of mean 0 and
deviation 1) on the embeddings of the windows of the training clips' heard parts. Each clip is taken twice, as it is and
over pink noise at a random 0 to 20 dB below it, and the noise alone has no label: what a detector must have learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Tagger
from engine.audio import load
from engine.errors import ConfigError
from engine.labels import read_labels
from engine.results import Clip, Labelling, Window
from training.convert import convert
from training.datasets.mixing import heard
from training.examine.detection import try_settings
from training.examine.scenes import pink_noise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.datasets.record import Record
    from training.examine.detection import Trials
    from training.examine.scenes import Scene

MIDDLE_S = 0.24  # of a window, left and right of it 0.24 s are cut
NOISE_BELOW_DB = (0.0, 20.0)
# The highest score of the classes on the right is the label's. Classes that hold others are left out where they say
# less than the label does ("Animal", "Water"), and taken where AudioSet uses them for the sound itself ("Clock").
CLASSES = {
    "dog bark": ("Dog", "Bark", "Yip", "Bow-wow"),
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "sea waves": ("Ocean", "Waves, surf"),
    "crying baby": ("Baby cry, infant cry",),
    "clock tick": ("Clock", "Tick", "Tick-tock"),
    "sneeze": ("Sneeze",),
    "helicopter": ("Helicopter",),
    "chainsaw": ("Chainsaw",),
    "rooster": ("Chicken, rooster", "Crowing, cock-a-doodle-doo"),
    "crackling fire": ("Fire", "Crackle"),
}


def convert_yamnet(folder: Path, output: Path) -> None:
    """Write YAMNet, as published in ``folder`` (TensorFlow Lite and class map), as a model of the engine."""
    labels = read_labels(folder / "yamnet_class_map.csv")
    convert("yamnet", folder / "yamnet_classification.tflite", output, labels=labels)


def listen(yamnet: Path, scene: Scene) -> Clip:
    """Return YAMNet's 521 scores and its embedding for every window of a scene."""
    with Tagger(yamnet, device="cpu", threads=1) as tagger:
        return tagger.embed((scene.samples, scene.sample_rate))


def by_classes(clip: Clip) -> Clip:
    """Return what YAMNet heard as scores of the ten labels, by the highest of each label's ``CLASSES``."""
    columns = [[clip.labels.index(name) for name in names] for names in CLASSES.values()]
    return _relabelled(
        clip, tuple(CLASSES), lambda window: np.array([window.scores[of_label].max() for of_label in columns])
    )


@dataclass(frozen=True, eq=False)
class Head:
    """A logistic regression per label on YAMNet's embedding.

    Attributes
    ----------
    labels : tuple of str
    weight : ndarray, shape (n_labels, embedding_size)
    bias : ndarray, shape (n_labels,)
    """

    labels: tuple[str, ...]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __call__(self, clip: Clip) -> Clip:
        """Return what YAMNet heard as scores of the head's labels."""

        def scores(window: Window) -> NDArray[np.float64]:
            assert window.embedding is not None
            return 1 / (1 + np.exp(-(self.weight @ window.embedding + self.bias)))

        return _relabelled(clip, self.labels, scores)


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows of clips as YAMNet sees them.

    Attributes
    ----------
    embeddings : ndarray, shape (n_windows, embedding_size)
    labels : tuple of str or None
        Of each window; None for noise.
    clips : ndarray, shape (n_windows,), int64
        Position of the record that a window is of, also for the noise that was laid under it.
    """

    embeddings: NDArray[np.float32]
    labels: tuple[str | None, ...]
    clips: NDArray[np.int64]


def examples(yamnet: Path, records: Sequence[Record], seed: int = 0) -> Examples:
    """Return the windows of every clip's heard part, of the same over pink noise, and of one second of the noise."""
    rows, labels, clips = [], [], []
    with Tagger(yamnet, device="cpu", threads=1) as tagger:
        rate = tagger.card.sample_rate
        for i, record in enumerate(records):
            generator = np.random.default_rng([seed, i])
            sound = heard(load(record.path, rate)[0])
            noise = pink_noise(max(len(sound), rate), generator).astype(np.float32)
            below_db = generator.uniform(*NOISE_BELOW_DB)
            noise *= np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-below_db / 20)
            for samples, label in (
                (sound, record.label),
                (sound + noise[: len(sound)], record.label),
                (noise[:rate], None),
            ):
                for window in tagger.embed((samples.astype(np.float32), rate)).windows:
                    rows.append(window.embedding)
                    labels.append(label)
                    clips.append(i)
    return Examples(np.stack(rows), tuple(labels), np.array(clips))


def fit_head(known: Examples, chosen: Sequence[int]) -> Head:
    """Return the head that is fitted to some of the records; ConfigError when scikit-learn is missing.

    Parameters
    ----------
    known : Examples
    chosen : sequence of int
        Positions of the records to learn from.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ConfigError(
            "expected scikit-learn for a linear head, it is not installed; pip install 'sound-engine[train]'"
        ) from error
    rows = np.isin(known.clips, list(chosen))
    labels = np.array([label or "" for label in known.labels])[rows]
    features = known.embeddings[rows].astype(np.float64)
    mean, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    named = tuple(sorted(set(labels.tolist()) - {""}))
    weights, biases = [], []
    for label in named:
        model = LogisticRegression(C=0.1, max_iter=1000).fit((features - mean) / deviation, labels == label)
        weights.append(model.coef_[0] / deviation)
        biases.append(model.intercept_[0] - weights[-1] @ mean)
    return Head(named, np.stack(weights), np.array(biases))


def peer_trials(
    yamnet: Path, known: Examples, records: Sequence[Record], scenes: Mapping[int, Scene]
) -> dict[str, dict[int, Trials]]:
    """Return what both peers, "classes" and "head", make of each fold's scene: what ``detection`` takes.

    Parameters
    ----------
    yamnet : Path
        As ``convert_yamnet`` writes it.
    known : Examples
        What ``examples`` gives for the records.
    records : sequence of Record
        With folds; the head that hears a fold's scene learns from the others.
    scenes : mapping of int to Scene
        Of each fold, made of its clips.
    """
    trials: dict[str, dict[int, Trials]] = {"classes": {}, "head": {}}
    for fold, scene in scenes.items():
        clip = listen(yamnet, scene)
        head = fit_head(known, [i for i, record in enumerate(records) if record.fold != fold])
        trials["classes"][fold] = try_settings(by_classes(clip), scene)
        trials["head"][fold] = try_settings(head(clip), scene)
    return trials


def _relabelled(clip: Clip, labels: tuple[str, ...], scores: Callable[[Window], NDArray[Any]]) -> Clip:
    """Return the clip with other scores, each window cut to the middle that it stands for."""
    labelling = Labelling(labels)
    windows = tuple(
        replace(
            window,
            start_s=window.start_s + MIDDLE_S,
            # The last one may be filled with silence: no later than its true end, and no earlier than its start.
            end_s=max(min(window.start_s + 0.96 - MIDDLE_S, window.end_s), window.start_s + MIDDLE_S + 1e-3),
            scores=scores(window).astype(np.float32),
            labelling=labelling,
        )
        for window in clip.windows
    )
    highest = np.max([window.scores for window in windows], axis=0)
    return replace(clip, scores=highest, windows=windows, labelling=labelling)

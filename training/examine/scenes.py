"""Ten minutes of known events over a background, made from clips: what a tagger's times are measured on.

A scene has fifty events over ten minutes. Each is the heard part of a clip, from its first to its last sample within
40 dB of its peak: many clips of ESC-10 end in silence, which is no event, while a bark in a noisier room lasts as
long as the noise. Every event is 0, 6, 12 or 20 dB louder in mean power than the background that it covers. One in
five begins in the middle of the one before, if that has another label and does not do so itself; the others have pauses
of one second at least between them, their lengths drawn evenly from all that fill the scene.

Two backgrounds:

noise   pink noise at -40 dB of full scale; every label has events
rain    the clips of rain, one after the other, at -34 dB; events are of the labels that are not such noise themselves,
        and rain, which is heard throughout, is not scored. So is the ten-minute archive of the development data made
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from engine.audio import load
from engine.errors import ConfigError
from training.datasets.mixing import heard
from training.metrics import Occurrence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.datasets.record import Record

Background = Literal["noise", "rain"]
SCENE_S = 600.0
N_EVENTS = 50
ABOVE_DB = (0.0, 6.0, 12.0, 20.0)
OVERLAPPING = 0.2  # share of events that begin in the middle of the one before
SHORTEST_PAUSE_S = 1.0
LEVEL_DB = {"noise": -40.0, "rain": -34.0}
# What rain hides and what hides in rain.
LIKE_RAIN = ("rain", "sea waves", "crackling fire")
FADE_S = 0.005  # at both ends of an event, against clicks
LOOP = 1 << 20  # samples of pink noise, 24 s at 44.1 kHz
CROSSFADE_S = 0.5  # from one clip of rain to the next


@dataclass(frozen=True, eq=False)
class Scene:
    """A recording and all that is heard in it.

    Attributes
    ----------
    samples : ndarray, shape (n_samples,), float32
        Within one.
    sample_rate : int
    events : tuple of Occurrence
        In the order of their starts.
    labels : tuple of str
        Those that are scored, sorted: events of others, of the truth or of a model, do not count.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    events: tuple[Occurrence, ...]
    labels: tuple[str, ...]


def make_scene(
    records: Sequence[Record],
    seed: int,
    background: Background = "noise",
    *,
    seconds: float = SCENE_S,
    n_events: int = N_EVENTS,
    sample_rate: int = 44_100,
) -> Scene:
    """Make a scene of clips, of one fold say; the same one for the same arguments.

    Parameters
    ----------
    records : sequence of Record
        With one label each. Labels take turns in random order; a label's clips are repeated only when all were taken.
    seed : int
    background : "noise" or "rain"
    seconds : float
    n_events : int
    sample_rate : int

    Raises
    ------
    ConfigError
        No clips to take, or too many events for the time.
    """
    generator = np.random.default_rng(seed)
    hidden = LIKE_RAIN if background == "rain" else ()
    taken = sorted((r for r in records if r.label not in hidden), key=lambda record: record.path.name)
    if not taken or n_events < 1:
        raise ConfigError(f"expected clips and events for a scene, got {len(taken)} and {n_events}; name more")
    chosen = _chosen(taken, n_events, generator)
    parts = [_faded(heard(load(record.path, sample_rate)[0]), sample_rate) for record in chosen]
    n_samples = round(seconds * sample_rate)
    starts = _starts([len(part) for part in parts], [r.label for r in chosen], n_samples, sample_rate, generator)
    beneath = (
        _rain(records, n_samples, sample_rate, generator) if background == "rain" else pink_noise(n_samples, generator)
    )
    beneath *= 10 ** (LEVEL_DB[background] / 20) / np.sqrt(np.mean(beneath**2))
    mixed = beneath.copy()
    for start, part in zip(starts, parts, strict=True):
        place = slice(start, start + len(part))
        ratio = np.mean(beneath[place] ** 2) / max(np.mean(part.astype(np.float64) ** 2), 1e-20)
        mixed[place] += part * np.sqrt(ratio * 10 ** (generator.choice(ABOVE_DB) / 10))
    mixed /= max(1.0, np.abs(mixed).max())
    events = [
        Occurrence(start / sample_rate, (start + len(part)) / sample_rate, record.label)
        for start, part, record in zip(starts, parts, chosen, strict=True)
    ]
    labels = {record.label for record in records} - ({"rain"} if background == "rain" else set())
    return Scene(mixed.astype(np.float32), sample_rate, tuple(events), tuple(sorted(labels)))


def _chosen(records: Sequence[Record], n_events: int, generator: Generator) -> list[Record]:
    """Return the clip of each event: labels in rounds of random order, and of each label one clip after the other."""
    labels = sorted({record.label for record in records})
    of_label = {label: [record for record in records if record.label == label] for label in labels}
    order = {label: generator.permutation(len(clips)) for label, clips in of_label.items()}
    rounds = math.ceil(n_events / len(labels))
    return [
        of_label[label][order[label][i % len(order[label])]]
        for i in range(rounds)
        for label in generator.permutation(labels).tolist()
    ][:n_events]


def _starts(
    lengths: Sequence[int], labels: Sequence[str], n_samples: int, sample_rate: int, generator: Generator
) -> list[int]:
    """Return where each event begins, in samples."""
    overlaps = [i > 0 and labels[i] != labels[i - 1] and generator.random() < OVERLAPPING for i in range(len(lengths))]
    # From an event's start to the next one's, without the pause.
    steps = []
    end = start = 0
    for i, length in enumerate(lengths):
        # Two overlaps in a row would lay three sounds over each other.
        overlaps[i] = overlaps[i] and not overlaps[i - 1]
        begin = start + lengths[i - 1] // 2 if overlaps[i] else end
        steps.append(begin)
        start, end = begin, max(end, begin + length)
    n_pauses = len(lengths) - sum(overlaps) + 1
    shortest = round(SHORTEST_PAUSE_S * sample_rate)
    free = n_samples - end - n_pauses * shortest
    if free < 0:
        raise ConfigError(
            f"expected events and pauses of at most {n_samples / sample_rate:g} s in all, got "
            f"{(n_samples - free) / sample_rate:g} s; ask for fewer events"
        )
    pauses = shortest + np.floor(generator.dirichlet(np.ones(n_pauses)) * free).astype(int)
    number = np.cumsum([not overlap for overlap in overlaps])  # of the pauses before an event
    waited = np.cumsum(pauses)
    return [int(step + waited[i - 1]) for step, i in zip(steps, number, strict=True)]


def _faded(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    n = min(round(FADE_S * sample_rate), len(samples) // 2)
    made = samples.copy()
    rise = np.arange(n, dtype=np.float32) / max(n, 1)
    made[:n] *= rise
    made[len(made) - n :] *= rise[::-1]
    return made


def pink_noise(n_samples: int, generator: Generator) -> NDArray[np.float64]:
    """Return noise whose power falls as one over the frequency, of any level, shape (n_samples,)."""
    # Circular, so that it is repeated without a seam.
    spectrum = np.fft.rfft(generator.standard_normal(LOOP))
    # As 1 / f in power above the first bins; 1e-4 of the sampling rate is a few hertz.
    return np.resize(np.fft.irfft(spectrum / np.sqrt(np.maximum(np.fft.rfftfreq(LOOP), 1e-4)), LOOP), n_samples)


def _rain(records: Sequence[Record], n_samples: int, sample_rate: int, generator: Generator) -> NDArray[np.float64]:
    clips = sorted((record for record in records if record.label == "rain"), key=lambda record: record.path.name)
    if not clips:
        raise ConfigError("expected clips of rain for this background, got none; choose noise")
    sounds = [heard(load(record.path, sample_rate)[0]).astype(np.float64) for record in clips]
    sounds = [sound / np.sqrt(np.mean(sound**2)) for sound in sounds]
    fade = min(round(CROSSFADE_S * sample_rate), min(map(len, sounds)) // 2)
    rise = np.sqrt(np.arange(fade) / max(fade, 1))  # equal power
    made = np.zeros(n_samples + max(map(len, sounds)))
    position = 0
    while position < n_samples:
        for i in generator.permutation(len(sounds)):
            if position >= n_samples:
                break
            piece = sounds[i].copy()
            piece[:fade] *= rise
            piece[len(piece) - fade :] *= rise[::-1]
            made[position : position + len(piece)] += piece
            position += len(piece) - fade
    return made[:n_samples]

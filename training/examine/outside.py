"""Sounds that are none of a model's labels: speech, music, field recordings and noise by formula, in two halves.

Thresholds are chosen on the calibration half and reported on the test half. Recordings are dealt out in turn, in the
order of their names within their kind, so that no recording is in both.

The recordings are those of a folder laid out as follows; a kind that is not there is left out. None of them holds a
sound of ESC-10 by its description, which nobody verified by ear for each window: among the field recordings are birds,
insects, frogs, a whale and wind.

librosa/*.ogg, auditok/*              speech (file names of LibriSpeech, and auditok's) and music
maad_day/*.flac, opensoundscape/*     field recordings
spinetail/*.wav, librosa/*.ogg        field recordings
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine import Tagger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

Half = Literal["calibration", "test"]
HALVES: tuple[Half, Half] = ("calibration", "test")
MUSIC = ("Hungarian_Dance", "Karissa_Hobbs", "Kevin_MacLeod", "sorohanro")
FORMULA_RATE, FORMULA_S = 44_100, 10.24


@dataclass(frozen=True, eq=False)
class Outside:
    """One recording of something else.

    Attributes
    ----------
    kind : str
        "speech", "music", "field recordings", "noise" or the caller's own.
    half : "calibration" or "test"
    name : str
    sound : path, or (samples, sample_rate)
    """

    kind: str
    half: Half
    name: str
    sound: Any


def recordings(folder: Path) -> list[Outside]:
    """Return the recordings of a folder laid out as this module says."""
    kinds: dict[str, list[Path]] = {"speech": [], "music": [], "field recordings": []}
    for path in sorted(folder.glob("*/*")):
        if path.parent.name == "librosa":
            spoken = re.match(r"\d+-\d+-\d+\.", path.name)
            kinds["speech" if spoken else "music" if path.name.startswith(MUSIC) else "field recordings"].append(path)
        elif path.parent.name == "auditok":
            kinds["speech"].append(path)
        elif path.parent.name in ("maad_day", "opensoundscape", "spinetail") and path.suffix in (".flac", ".wav"):
            kinds["field recordings"].append(path)
    return [found for kind, paths in kinds.items() for found in dealt(kind, paths)]


def sounds_outside(folder: str) -> list[Outside]:
    """Return the recordings of a folder and the formulas; nothing where no folder is named."""
    return [*recordings(Path(folder)), *formulas()] if folder else []


def dealt(kind: str, paths: Sequence[Path]) -> list[Outside]:
    """Return recordings of one kind, dealt out to the two halves in turn."""
    return [Outside(kind, HALVES[i % 2], path.name, path) for i, path in enumerate(paths)]


def formulas() -> list[Outside]:
    """Return noise of three colours, hum, tones, clicks and digital silence, other ones in each half."""
    return [
        Outside(
            "noise", half, f"{name} {i}", (make(np.random.default_rng([i, seed]), i).astype(np.float32), FORMULA_RATE)
        )
        for seed, (name, make) in enumerate(FORMULAS.items())
        for i, half in enumerate(HALVES)
    ]


def _coloured(exponent: float) -> Callable[[np.random.Generator, int], NDArray[np.float64]]:
    def make(generator: np.random.Generator, _: int) -> NDArray[np.float64]:
        n = round(FORMULA_S * FORMULA_RATE)
        frequency = np.maximum(np.fft.rfftfreq(n, 1 / FORMULA_RATE), 20.0)
        noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(n)) * frequency ** (-exponent / 2), n)
        return np.asarray(0.3 * noise / np.abs(noise).max())

    return make


def _time() -> NDArray[np.float64]:
    return np.arange(round(FORMULA_S * FORMULA_RATE)) / FORMULA_RATE


def _hum(_: np.random.Generator, i: int) -> NDArray[np.float64]:
    mains = (50.0, 60.0)[i]
    return np.asarray(sum(0.1 / k * np.sin(2 * np.pi * k * mains * _time()) for k in range(1, 9)))


def _tone(_: np.random.Generator, i: int) -> NDArray[np.float64]:
    return np.asarray(0.3 * np.sin(2 * np.pi * (440.0, 1000.0)[i] * _time()))


def _clicks(generator: np.random.Generator, i: int) -> NDArray[np.float64]:
    made = np.zeros(_time().shape)
    made[generator.integers(0, len(made), size=(3, 9)[i])] = 0.5
    return made


def _silence(_generator: np.random.Generator, _i: int) -> NDArray[np.float64]:
    return np.zeros(_time().shape)


FORMULAS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "white noise": _coloured(0.0),
    "pink noise": _coloured(1.0),
    "brown noise": _coloured(2.0),
    "hum": _hum,
    "tone": _tone,
    "clicks": _clicks,
    "digital silence": _silence,
}


@dataclass(frozen=True, eq=False)
class Heard:
    """What a model gives windows of other sounds.

    Attributes
    ----------
    kinds, halves : tuple of str
        Of each window.
    scores : ndarray, shape (n_windows, n_labels)
    """

    kinds: tuple[str, ...]
    halves: tuple[str, ...]
    scores: NDArray[np.float32]

    def of(self, half: Half, kind: str | None = None) -> NDArray[np.float32]:
        """Return the scores of one half, of all kinds or of one."""
        chosen = [h == half and kind in (None, k) for h, k in zip(self.halves, self.kinds, strict=True)]
        return self.scores[np.array(chosen, np.bool_)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``from_dict`` reads them back."""
        return {"kinds": list(self.kinds), "halves": list(self.halves), "scores": self.scores.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Heard:
        """Return what ``to_dict`` gave."""
        scores = np.array(values["scores"], np.float32)
        return cls(tuple(values["kinds"]), tuple(values["halves"]), scores)


def hear(model: Path, sounds: Sequence[Outside]) -> Heard:
    """Return the scores of every window of every sound, by ``engine.Tagger`` on one thread of the CPU."""

    def windows() -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        with Tagger(model, device="cpu", threads=1) as tagger:
            for sound in sounds:
                for window in tagger(sound.sound).windows:
                    yield sound.kind, sound.half, window.scores

    kinds, halves, scores = zip(*windows(), strict=True)
    return Heard(kinds, halves, np.stack(scores))


def shares_above(heard: Heard, thresholds: NDArray[np.floating], half: Half = "test") -> dict[str, dict[str, float]]:
    """Return for each kind, and for all, how many windows there are and the share with a label above its threshold."""
    found = {}
    for kind in (*dict.fromkeys(heard.kinds), None):
        scores = heard.of(half, kind)
        share = float((scores >= thresholds).any(axis=1).mean()) if len(scores) else float("nan")
        found["all" if kind is None else kind] = {"windows": len(scores), "above": share}
    return found

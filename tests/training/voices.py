"""Trees of voices: spoken words and imitations of published layouts, in which every word or class is a melody."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from tests.training.datasets.layouts import lines
from tests.training.trees import write_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = ("yes", "no", "up", "down", "left", "right")
CLASSES = ("000Cat_Growling", "001Cat_Hiss", "002Bell_ Chime", "003Rain_(on roof)___3Samples")


def melody(number: int, who: int, seconds: float, rate: int) -> NDArray[np.float32]:
    """Two tones that say which melody it is, at a level and in a noise that say who made it."""
    generator = np.random.default_rng(1000 * number + who)
    time = np.arange(round(seconds * rate)) / rate
    first, second = 250 * 1.5**number, 250 * 1.5 ** ((number + 2) % 6)
    tone = np.where(time < seconds / 2, np.sin(2 * np.pi * first * time), np.sin(2 * np.pi * second * time))
    wave = generator.uniform(0.1, 0.5) * tone + 0.02 * generator.standard_normal(len(time))
    return wave.astype(np.float32)


def spoken_words(root: Path, n_speakers: int = 12, takes: int = 2) -> Path:
    """Make the tree of the development part of Speech Commands; the last two words are unknown ones."""
    rows = []
    for number, word in enumerate(WORDS):
        kind = word if number < 4 else "unknown"
        for who in range(n_speakers):
            for take in range(takes):
                name = f"{kind}/{word}_{who}_{take}.flac"
                wave = melody(number, 10 * who + take, 0.6, 16_000)
                (root / "audio" / kind).mkdir(parents=True, exist_ok=True)
                soundfile.write(root / "audio" / name, wave, 16_000)
                row: dict[str, object] = {"filename": name, "class": kind, "word": word, "speaker": f"s{who}"}
                row |= {"duration_s": 0.6, "sha256": hashlib.sha256(wave.tobytes()).hexdigest()}
                rows.append(row)
    # A copy, and a silence that nobody says.
    rows.append(rows[0] | {"filename": rows[0]["filename"]})
    rows.append(rows[0] | {"class": "silence", "word": "silence", "speaker": "", "sha256": "0"})
    write_table(root / "meta.csv", rows)
    return root


def imitation_set(root: Path, n_imitations: int = 4) -> Path:
    """Make the tree of the Vocal Imitation Set, v1.1: each class with a reference, three recordings and imitations."""
    header = ["filename", "classname", *(f"category_d{i}" for i in range(1, 7)), "is_reference", "multi_labeled"]
    rows, credits_, imitations = [], [], []
    for number, name in enumerate(CLASSES):
        reference = f"{name}_reference.wav"
        rows.append((reference, name, *[""] * 6, "TRUE", "FALSE"))
        address = {"file_url": f"http://freesound.org/people/x/sounds/{9000 + number}/", "freesound_id": 9000 + number}
        credits_.append({"": number, "filename": reference, "username": "x", "user_url": "y"} | address)
        _write(root / "original_recordings" / "reference" / reference, melody(number, 0, 1.0, 22_050), 22_050)
        for k in range(3):
            other = f"{100 * number + k}__x__sound.wav"
            rows.append((other, name, *[""] * 6, "FALSE", "FALSE"))
            wave = melody(number, 1 + k, 1.0, 22_050)
            _write(root / "original_recordings" / "non_reference" / name / other, wave, 22_050)
        for k in range(n_imitations + 1):
            included = k < n_imitations
            imitation = f"{name.removesuffix('___3Samples')}-{4808870065078000 + 10 * number + k}.wav"
            folder = "included" if included else "excluded"
            _write(root / "vocal_imitations" / folder / imitation, melody(number, 20 + k, 0.8, 16_000), 16_000)
            imitations.append((len(imitations), len(imitations), imitation, number, included, False, False, f"{k}.0"))
    lines(root / "original_recordings_classes.txt", [header, *rows])
    write_table(root / "original_recordings_license.csv", credits_)
    lines(root / "duplicates.csv", ["Filename,Category"])
    columns = ("", "imitation_id", "imitation_filename", "category_id", "included", "draft", "training")
    lines(root / "vocal_imitations.txt", [(*columns, "participant_id"), *imitations])
    return root


def _write(path: Path, wave: NDArray[np.float32], rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate)

"""Tiny data sets of the published layouts: real file names and tables, half a second of noise or tone per clip."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from training.datasets.speech_commands import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

# In esc10_dev the target is the position; in esc50.csv it is the number.
DEV_CATEGORIES = (
    "dog_bark",
    "rain",
    "sea_waves",
    "baby_cry",
    "clock_tick",
    "person_sneeze",
    "helicopter",
    "chainsaw",
    "rooster",
    "fire_crackling",
)
ESC50_CATEGORIES = {
    "dog": 0,
    "rain": 10,
    "sea_waves": 11,
    "crying_baby": 20,
    "clock_tick": 38,
    "sneezing": 21,
    "helicopter": 40,
    "chainsaw": 41,
    "rooster": 1,
    "crackling_fire": 12,
    "hand_saw": 49,
}
SAMPLE_RATE = 16_000


def esc10_dev(root: Path, folds: tuple[int, ...] = (1, 2), seconds: float = 0.5) -> Path:
    """Make a tree of the development layout: one clip per class and fold, each class its own tone in noise."""
    rows = []
    for fold in folds:
        for target, category in enumerate(DEV_CATEGORIES):
            name = f"{fold}-{1000 * fold + target}-A-{target}.ogg"
            rows.append({"filename": name, "fold": fold, "target": target, "category": category})
            write_clip(root / "audio" / name, 200 * 1.5**target, seconds, seed=100 * fold + target)
    write_table(root / "meta.csv", rows)
    lines = [
        f'- {row["filename"]}: clip derived from "a (b).wav" (http://x/) by Ann{row["target"]} (CC0, http://y/)'
        for row in rows
    ]
    (root / "ATTRIBUTION.md").write_text("# Attribution\n\n" + "\n".join(lines) + "\n")
    return root


def esc50(root: Path, folds: tuple[int, ...] = (1, 2), seconds: float = 0.1) -> Path:
    """Make a tree of the download's layout: one clip per fold of the ten classes of ESC-10 and of one more."""
    rows = []
    for fold in folds:
        for category, target in ESC50_CATEGORIES.items():
            name = f"{fold}-{1000 * fold + target}-A-{target}.wav"
            subset = str(category != "hand_saw")
            rows.append(
                {"filename": name, "fold": fold, "target": target, "category": category, "esc10": subset}
                | {"src_file": 1000 * fold + target, "take": "A"}
            )
            write_clip(root / "audio" / name, 440.0, seconds, seed=target)
    # The published row that the documentation of the data set quotes.
    rows.append(dict(zip(rows[0], ("1-100032-A-0.wav", 1, 0, "dog", "True", 100032, "A"), strict=True)))
    write_clip(root / "audio" / "1-100032-A-0.wav", 440.0, seconds, seed=0)
    write_table(root / "meta" / "esc50.csv", rows)
    (root / "LICENSE").write_text(
        "- [1-100032-A.ogg]: clip derived from rose_bark.wav (http://x/people/nfrae/sounds/100032/) by nfrae [CC0]\n"
        "- [1-1049-A.ogg]: clip derived from saw (old).wav (http://x/) by Someone Else [CC-BY-NC]\n"
    )
    return root


def write_clip(path: Path, tone_hz: float, seconds: float, seed: int) -> None:
    """Write a tone in weak noise, 44.1 kHz for .ogg as published, 16 kHz otherwise."""
    rate = 44_100 if path.suffix == ".ogg" else SAMPLE_RATE
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * tone_hz * time) + noise, rate)


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """Write a CSV table with the columns of the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def speech_commands_dev(root: Path, n_speakers: int) -> Path:
    """Write a tone with noise for each class by each speaker; return the folder."""
    generator = np.random.default_rng(0)
    rows = []
    for i, name in enumerate(CLASSES):
        for speaker in range(n_speakers):
            file = f"{name}/{speaker}{i:07x}_nohash_0.flac"
            (root / "audio" / name).mkdir(parents=True, exist_ok=True)
            tone = np.sin(2 * np.pi * 150 * 1.3**i * np.arange(16_000) / 16_000)
            soundfile.write(root / "audio" / file, 0.3 * tone + 0.05 * generator.standard_normal(16_000), 16_000)
            voice = "" if name == "silence" else f"speaker{speaker}"
            word = {"silence": "", "unknown": "cat"}.get(name, name)
            rows.append({"filename": file, "class": name, "word": word, "speaker": voice, "duration_s": 1.0})
    write_table(root / "meta.csv", rows)
    return root

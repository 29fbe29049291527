"""What changes to a clip's waveform do to a tagger's accuracy and to its embedding.

Every change is a pure function of samples, rate and a generator of its own seed, applied before the engine sees the
clip. Noise is white and so many decibels below the mean power of the clip's heard part (its first to its last sample
within 40 dB of its peak): the silence that many clips end in does not make it weaker. Samples beyond one are cut off,
as a recorder does.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import Tagger
from engine.audio import load
from engine.errors import ConfigError
from training.datasets.mixing import fitted, heard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from training.datasets.record import Record

    Sound = tuple[NDArray[np.float32], int]
    Change = Callable[[NDArray[np.float32], int, Generator], Sound]

SHIFT_S = 0.5
MP3_DELAY = 1105  # samples: 576 of the encoder, 528 and one of the decoder
EXCERPTS_S = (1.0, 2.0, 5.0)


def unchanged(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
    """Return the clip itself."""
    return samples, sample_rate


def with_noise(below_db: float) -> Change:
    """Return the change that adds white noise, ``below_db`` under the clip's heard part; a silent clip stays silent."""

    def change(samples: NDArray[np.float32], sample_rate: int, generator: Generator) -> Sound:
        power = float(np.mean(heard(samples).astype(np.float64) ** 2))
        noise = generator.standard_normal(len(samples)) * np.sqrt(power * 10 ** (-below_db / 10))
        return _clipped(samples + noise), sample_rate

    return change


def with_gain(gain_db: float) -> Change:
    """Return the change that amplifies the clip."""

    def change(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
        return _clipped(samples.astype(np.float64) * 10 ** (gain_db / 20)), sample_rate

    return change


def sampled_at(rate: int) -> Change:
    """Return the change that keeps what ``rate`` can hold: the engine resamples it back to the model's own."""

    def change(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
        return load((samples, sample_rate), rate)[0], rate

    return change


def through_mp3(kbit_s: int) -> Change:
    """Return the change that encodes the clip as MP3 of a constant bit rate, by libsndfile and LAME, and decodes it.

    Raises ConfigError for a rate that MP3 does not have, or where the file's size tells of another bit rate.
    """

    def change(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
        decoded, _ = load(encode_mp3(samples, sample_rate, kbit_s))
        # Without the encoder's delay and what it fills the last frame with.
        return fitted(decoded[MP3_DELAY:], len(samples)), sample_rate

    return change


def in_stereo(*, both: bool) -> Change:
    """Return the change that gives the clip a second channel: its own again, or an empty one."""

    def change(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
        return np.stack([samples, samples if both else np.zeros_like(samples)], axis=1), sample_rate

    return change


def shifted(seconds: float, *, around: bool) -> Change:
    """Return the change that delays the clip: its end comes first (``around``), or silence does and the end is cut."""

    def change(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
        n = min(round(seconds * sample_rate), len(samples))
        moved = np.roll(samples, n)
        if not around:
            moved[:n] = 0
        return moved, sample_rate

    return change


def excerpt(seconds: float, *, loudest: bool) -> Change:
    """Return the change that keeps so many seconds: those of most energy, or the first. A shorter clip is unchanged."""

    def change(samples: NDArray[np.float32], sample_rate: int, _: Generator) -> Sound:
        n = round(seconds * sample_rate)
        if n >= len(samples):
            return samples, sample_rate
        energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
        start = int(np.argmax(energy[n:] - energy[:-n])) if loudest else 0
        return samples[start : start + n], sample_rate

    return change


def changes(excerpts_s: Sequence[float] = EXCERPTS_S) -> dict[str, Change]:
    """Return every change by the name that a table gives it; the first is none."""
    made: dict[str, Change] = {"none": unchanged}
    made |= {f"white noise, {db} dB below": with_noise(db) for db in (20, 10, 0)}
    made |= {"gain -20 dB": with_gain(-20), "gain +0 dB": with_gain(0), "gain +20 dB, clipped": with_gain(20)}
    made |= {"sampled at 8 kHz": sampled_at(8000), "MP3, 32 kbit/s": through_mp3(32)}
    made |= {"stereo, both channels alike": in_stereo(both=True), "stereo, one channel empty": in_stereo(both=False)}
    made |= {
        f"{SHIFT_S:g} s later, end first": shifted(SHIFT_S, around=True),
        f"{SHIFT_S:g} s later, silence first": shifted(SHIFT_S, around=False),
    }
    for name, loudest in (("loudest", True), ("first", False)):
        made |= {f"its {name} {seconds:g} s": excerpt(seconds, loudest=loudest) for seconds in excerpts_s}
    return made


def robustness(
    model: Path, records: Sequence[Record], changed: Mapping[str, Change] | None = None, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return accuracy and drift of the embedding under every change, by ``engine.Tagger`` on the CPU, one thread.

    Parameters
    ----------
    model : Path
    records : sequence of Record
        Clips that the model was not trained on.
    changed : mapping of str to change, optional
        ``changes()`` by default.
    seed : int
        Of the noise; each clip and each change has noise of its own.

    Returns
    -------
    dict
        For each change "accuracy", "cosine" (mean over clips between the embeddings of the changed and the unchanged
        clip), "worst_cosine" and "n_clips"; cosines are None for a model without an embedding.

    Raises
    ------
    ConfigError
        No clips, or a label that the model does not have.
    """
    table = changes() if changed is None else changed
    hits = dict.fromkeys(table, 0)
    cosines: dict[str, list[float]] = {name: [] for name in table}
    with Tagger(model, device="cpu", threads=1) as tagger:
        if not records or (unknown := sorted({record.label for record in records} - set(tagger.labels))):
            raise ConfigError(
                f"expected clips with labels of the model {tagger.labels}, got {unknown if records else 'no clips'}; "
                "examine the model on its own labels"
            )
        for i, record in enumerate(records):
            samples, rate = load(record.path)
            before = tagger((samples, rate)).embedding
            for j, (name, change) in enumerate(table.items()):
                clip = tagger(change(samples, rate, np.random.default_rng([seed, i, j])))
                hits[name] += clip.top(1)[0].label == record.label
                if before is not None and clip.embedding is not None:
                    cosines[name].append(_cosine(before, clip.embedding))
    return {
        name: {
            "accuracy": hits[name] / len(records),
            "cosine": float(np.mean(cosines[name])) if cosines[name] else None,
            "worst_cosine": min(cosines[name], default=None),
            "n_clips": len(records),
        }
        for name in table
    }


def over_folds(parts: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return what ``robustness`` would have given for all folds' clips at once, each clip with its own model."""
    made = {}
    for name in parts[0]:
        sizes = [part[name]["n_clips"] for part in parts]
        cosines = [part[name]["cosine"] for part in parts]
        known = None not in cosines
        made[name] = {
            "accuracy": float(np.average([part[name]["accuracy"] for part in parts], weights=sizes)),
            "cosine": float(np.average(cosines, weights=sizes)) if known else None,
            "worst_cosine": min(part[name]["worst_cosine"] for part in parts) if known else None,
            "n_clips": sum(sizes),
        }
    return made


def encode_mp3(samples: NDArray[np.float32], sample_rate: int, kbit_s: int) -> bytes:
    """Return the samples as MP3 of a constant bit rate; errors as for ``through_mp3``."""
    import soundfile

    # libsndfile's level runs from 0 for the highest bit rate to 1 for the lowest of the MPEG version.
    highest, lowest = (320, 32) if sample_rate >= 32_000 else (160, 8) if sample_rate >= 16_000 else (64, 8)
    if not lowest <= kbit_s <= highest:
        raise ConfigError(
            f"expected {lowest} to {highest} kbit/s for MP3 at {sample_rate} Hz, got {kbit_s}; choose another"
        )
    level = min((highest - kbit_s) / (highest - lowest), 0.999)
    file = io.BytesIO()
    soundfile.write(
        file,
        samples,
        sample_rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=level,
        bitrate_mode="CONSTANT",
    )
    encoded = file.getvalue()
    # A few frames more than the sound: the encoder's delay, and one that describes the file.
    n_bits = 8 * len(encoded)
    frames_s = 5 * 1152 / sample_rate
    if (
        not 0.9 * kbit_s * 1e3 * len(samples) / sample_rate
        <= n_bits
        <= 1.1 * kbit_s * 1e3 * (len(samples) / sample_rate + frames_s)
    ):
        raise ConfigError(
            f"expected {kbit_s} kbit/s of MP3, got {n_bits * sample_rate / len(samples) / 1e3:.1f}; "
            "use a libsndfile with LAME"
        )
    return encoded


def _clipped(samples: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.clip(samples, -1, 1).astype(np.float32)


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    length = np.linalg.norm(a) * np.linalg.norm(b)
    # Two embeddings of zeros are equal.
    return float(a @ b / length) if length else float(np.array_equal(a, b))

"""Changes to a waveform: what each does to a sound that is known, and what is counted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine import Tagger
from engine.audio import load
from engine.errors import ConfigError
from tests.training import trees
from tests.training.cards import small_card, small_network
from training.datasets.record import Record
from training.examine.robustness import (
    changes,
    encode_mp3,
    excerpt,
    in_stereo,
    over_folds,
    robustness,
    sampled_at,
    shifted,
    through_mp3,
    with_gain,
    with_noise,
)
from training.export import export

if TYPE_CHECKING:
    from pathlib import Path

RATE = 16_000


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.25 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_noise_is_so_much_below_the_heard_part() -> None:
    # The second half is silent and does not count.
    sound = np.concatenate([tone(440), np.zeros(RATE, np.float32)])
    for below_db in (0, 10, 20):
        changed, rate = with_noise(below_db)(sound, RATE, generator())
        noise = np.mean(changed[RATE:] ** 2)
        assert rate == RATE
        assert 10 * np.log10(np.mean(sound[:RATE] ** 2) / noise) == pytest.approx(below_db, abs=0.3)
    again = with_noise(20)(sound, RATE, generator())[0]
    assert np.array_equal(changed, again)
    assert not with_noise(0)(np.zeros(100, np.float32), RATE, generator())[0].any()


def test_gain_cuts_what_is_beyond_one() -> None:
    assert with_gain(-20)(tone(440), RATE, generator())[0] == pytest.approx(tone(440) / 10)
    assert np.array_equal(with_gain(0)(tone(440), RATE, generator())[0], tone(440))
    loud = with_gain(20)(tone(440), RATE, generator())[0]
    assert (loud.min(), loud.max()) == (-1, 1)
    assert np.mean(np.abs(loud) == 1) > 0.5


@pytest.mark.parametrize("change", [sampled_at(8000), through_mp3(32)], ids=["8 kHz", "MP3"])
def test_a_low_tone_survives_a_lossy_change_and_keeps_its_place(change) -> None:
    burst = np.concatenate([np.zeros(RATE // 2, np.float32), tone(1000, 0.5), np.zeros(RATE // 2, np.float32)])
    changed = load(change(burst, RATE, generator()), RATE)[0]
    assert abs(len(changed) - len(burst)) <= 1
    n = min(len(changed), len(burst))
    assert np.corrcoef(changed[:n], burst[:n])[0, 1] > 0.98
    assert not np.array_equal(changed[:n], burst[:n])


def test_eight_kilohertz_hold_no_high_tone() -> None:
    changed, rate = sampled_at(8000)(tone(6000), RATE, generator())
    assert rate == 8000
    assert np.abs(changed[200:-200]).max() < 1e-3


def test_mp3_is_of_the_bit_rate_that_was_asked() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    for rate, kbit_s in ((44_100, 32), (44_100, 128), (16_000, 32)):
        seconds = len(noise) / rate
        assert 8 * len(encode_mp3(noise, rate, kbit_s)) / seconds / 1e3 == pytest.approx(kbit_s, rel=0.15)
    with pytest.raises(ConfigError, match="8 to 160"):
        encode_mp3(noise, 16_000, 320)


def test_stereo_shifts_and_excerpts() -> None:
    sound = np.arange(1, 9, dtype=np.float32) / 10
    assert in_stereo(both=True)(sound, 4, generator())[0].tolist() == [[x, x] for x in sound.tolist()]
    assert in_stereo(both=False)(sound, 4, generator())[0][:, 1].tolist() == [0] * 8
    assert shifted(0.5, around=True)(sound, 4, generator())[0].tolist() == np.roll(sound, 2).tolist()
    assert shifted(0.5, around=False)(sound, 4, generator())[0].tolist() == [0, 0, *sound[:6].tolist()]
    middle = np.array([0, 0.1, 0.9, -0.8, 0.1, 0, 0, 0], np.float32)
    assert excerpt(0.5, loudest=True)(middle, 4, generator())[0].tolist() == middle[2:4].tolist()
    assert excerpt(0.5, loudest=False)(middle, 4, generator())[0].tolist() == middle[:2].tolist()
    assert excerpt(5, loudest=True)(middle, 4, generator())[0] is middle


def test_figures_are_those_of_a_loop_over_the_tagger(tmp_path: Path) -> None:
    export(small_network(), small_card(), tmp_path / "small.onnx")
    records = []
    for i, label in enumerate(("low", "high", "both", "high")):
        trees.write_clip(tmp_path / f"{i}.wav", 300.0 * (i + 1), 0.7, seed=i)
        records.append(Record(tmp_path / f"{i}.wav", (label,)))
    chosen = {name: change for name, change in changes().items() if name in ("none", "its loudest 1 s")}
    chosen["noise"] = with_noise(0)
    found = robustness(tmp_path / "small.onnx", records, chosen, seed=7)
    tagger = Tagger(tmp_path / "small.onnx", device="cpu", threads=1)
    hits, cosines = 0, []
    for i, record in enumerate(records):
        samples, rate = load(record.path)
        clip = tagger(with_noise(0)(samples, rate, np.random.default_rng([7, i, 2])))
        hits += clip.top()[0].label == record.label
        cosines.append(float(clip.embedding @ tagger((samples, rate)).embedding))
    assert found["noise"]["accuracy"] == hits / 4
    assert found["noise"]["cosine"] == pytest.approx(np.mean(cosines), abs=1e-5)
    assert found["noise"]["worst_cosine"] == pytest.approx(min(cosines), abs=1e-5)
    # A second is more than the clips have.
    assert found["its loudest 1 s"] == found["none"] == found["none"] | {"n_clips": 4}
    assert found["none"]["worst_cosine"] == pytest.approx(1)
    half = robustness(tmp_path / "small.onnx", records[:1], chosen, seed=7)
    both = over_folds([half, found])["noise"]
    assert both["accuracy"] == pytest.approx((half["noise"]["accuracy"] + 4 * found["noise"]["accuracy"]) / 5)
    assert (both["n_clips"], both["worst_cosine"]) == (
        5,
        min(half["noise"]["worst_cosine"], found["noise"]["worst_cosine"]),
    )
    with pytest.raises(ConfigError, match="no clips"):
        robustness(tmp_path / "small.onnx", [])

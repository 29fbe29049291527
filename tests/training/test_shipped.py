"""The shipped taggers, the embedder and their pages say the same, and name everybody they must."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from engine import Embedder, Tagger
from engine.audio import load
from engine.verify import verify_model
from training.datasets.esc50 import ESC10, authors, load_esc50
from training.datasets.speech_commands import CLASSES, load_speech_commands
from training.recipes import esc10, keywords
from training.taggers.examples import front_end

MODELS = Path(__file__).resolve().parents[2] / "models"


def page(name: str) -> str:
    return (MODELS / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger(MODELS / "esc10.onnx", device="cpu", threads=1)


@pytest.fixture(scope="module")
def words() -> Tagger:
    return Tagger(MODELS / "keywords.onnx", device="cpu", threads=1)


@pytest.fixture(params=["tagger", "words"])
def either(request) -> Tagger:
    return request.getfixturevalue(request.param)


def test_they_are_what_the_recipes_make(either: Tagger) -> None:
    config, labels = {
        "esc10": (esc10.Config(), tuple(ESC10.values())),
        "keywords": (keywords.Config(), CLASSES),
    }[either.card.name]
    path, card = MODELS / f"{either.card.name}.onnx", either.card
    verify_model(path)
    assert card.labels == labels
    assert card.score == config.score
    assert card.frontend is not None
    assert card.frontend.to_dict() | {"mean": None, "std": None} == front_end(config).to_dict()
    assert card.window == round(config.window_s * config.sample_rate)
    assert card.frame_hop == (16 * card.frontend.hop_length if config.step_weight else None)
    assert path.stat().st_size < 2e6


def test_the_page_gives_the_figures_of_the_card(either: Tagger) -> None:
    metrics, text = either.card.metrics, page(either.card.name)
    assert len(metrics["accuracy_by_seed"]) >= 3
    assert metrics["expected_calibration_error"] < 0.05
    assert metrics["thresholds"]["test_half_above"]["all"]["above"] <= 0.05
    figures = [metrics["accuracy"], *metrics["accuracy_by_seed"].values(), *metrics["accuracy_by_fold"].values()]
    assert not [f"{figure:.3f}" for figure in figures if f"{figure:.3f}" not in text]
    assert f"{metrics['expected_calibration_error']:.3f}" in text
    for label, threshold in either.card.thresholds.items():
        recall = metrics["thresholds"]["recall"][label]
        assert re.search(rf"\| {label} \| {threshold:.2f} \| \S+ \| {recall:.2f} \|", text), label


def test_every_table_of_the_page_is_filled(either: Tagger) -> None:
    tables = re.findall(r"<!-- table ([\w-]+) -->\n(.*?)<!-- end of \1 -->", page(either.card.name), re.DOTALL)
    assert len(tables) >= 9
    assert all(table.count("\n|") >= 3 for _, table in tables)
    assert "@" not in page(either.card.name).replace("P@1", "")


def test_the_embedder_has_the_taggers_embedding() -> None:
    sound = (np.random.default_rng(0).uniform(-0.5, 0.5, 44_100).astype(np.float32), 44_100)
    embedder = Embedder(MODELS / "esc10-embedder.onnx", device="cpu", threads=1)
    verify_model(MODELS / "esc10-embedder.onnx")
    tagged = Tagger(MODELS / "esc10.onnx", device="cpu", threads=1).embed(sound)
    np.testing.assert_array_equal(embedder(sound).embedding, tagged.embedding)
    assert embedder.card.metrics["accuracy"] == Tagger(MODELS / "esc10.onnx").card.metrics["accuracy"]


def test_every_author_is_named(shared_data: Path) -> None:
    data = shared_data / "esc10_dev"
    named = authors(data)
    for name in ("esc10", "esc10-embedder"):
        card = Embedder(MODELS / f"{name}.onnx", device="cpu", threads=1).card
        assert all(author in card.attribution for author in named)
    lines = [line for line in (data / "ATTRIBUTION.md").read_text().splitlines() if line.startswith("- ")]
    assert len(lines) == 318
    assert all(line in page("esc10") for line in lines)


def test_real_recordings_get_their_label_first(tagger: Tagger, shared_data: Path) -> None:
    records = load_esc50(shared_data / "esc10_dev", "esc10").records[::8]
    right = [tagger(record.path).top(1)[0].label == record.label for record in records]
    # The model has learnt from these very clips.
    assert sum(right) >= 0.95 * len(right)


def test_events_begin_where_the_sound_does(tagger: Tagger, shared_data: Path) -> None:
    record = next(r for r in load_esc50(shared_data / "esc10_dev", "esc10").records if r.label == "rooster")
    samples, rate = load(record.path)
    later = np.concatenate([1e-3 * np.random.default_rng(0).standard_normal(2 * rate), samples]).astype(np.float32)
    events = [event for event in tagger((later, rate)).events(merge_gap_s=2.0) if event.label == "rooster"]
    assert events
    assert 1.6 < events[0].start_s < 3.2


def test_words_that_were_learnt_are_heard(words: Tagger, shared_data: Path) -> None:
    records = load_speech_commands(shared_data / "speech_commands_dev").records[::40]
    right = [words(record.path).top(1)[0].label == record.label for record in records]
    assert sum(right) >= 0.95 * len(right)


def test_a_word_is_heard_live_while_it_is_said(words: Tagger, shared_data: Path) -> None:
    records = load_speech_commands(shared_data / "speech_commands_dev").records
    said = [next(record for record in records if record.label == label) for label in ("stop", "yes")]
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(32_000)
    sound = np.concatenate([quiet, load(said[0].path)[0], quiet, load(said[1].path)[0], quiet]).astype(np.float32)
    heard = []
    with words.stream(sample_rate=16_000) as stream:
        for start in range(0, sound.size, 800):
            heard += [
                (window.end_s, label)
                for window in stream.push(sound[start : start + 800])
                if (label := window.top(1)[0].label) not in ("silence", "unknown")
                and window.top(1)[0].score >= words.card.thresholds[label]
            ]
    # Each word lies from 2 to 3 and from 5 to 6 seconds, and half a second is between windows.
    assert {label for end_s, label in heard if 2.0 < end_s < 4.0} == {"stop"}
    assert {label for end_s, label in heard if 5.0 < end_s < 7.0} == {"yes"}
    assert len(heard) == len([end_s for end_s, _ in heard if 2.0 < end_s < 4.0 or 5.0 < end_s < 7.0])

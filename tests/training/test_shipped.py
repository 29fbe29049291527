"""The shipped model and its page say the same, and name everybody they must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine import Tagger
from engine.verify import verify_model
from training.datasets.esc50 import ESC10, authors, load_esc50
from training.recipes.esc10 import Config, front_end

MODELS = Path(__file__).resolve().parents[2] / "models"
PAGE = (MODELS / "esc10.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger(MODELS / "esc10.onnx", device="cpu", threads=1)


def test_it_is_what_the_recipe_makes(tagger: Tagger) -> None:
    verify_model(MODELS / "esc10.onnx")
    config, card = Config(), tagger.card
    assert card.labels == tuple(ESC10.values())
    assert card.frontend is not None
    assert card.frontend.to_dict() | {"mean": None, "std": None} == front_end(config).to_dict()
    assert card.window == round(config.window_s * config.sample_rate)
    assert (MODELS / "esc10.onnx").stat().st_size < 2e6


def test_the_page_gives_the_figures_of_the_card(tagger: Tagger) -> None:
    metrics = tagger.card.metrics
    assert metrics["accuracy"] >= 0.88
    assert len(metrics["accuracy_by_seed"]) >= 2
    figures = [metrics["accuracy"], *metrics["accuracy_by_seed"].values(), *metrics["accuracy_by_fold"].values()]
    missing = [f"{figure:.3f}" for figure in figures if f"{figure:.3f}" not in PAGE]
    assert not missing
    for label, recall in metrics["recall"].items():
        assert re.search(rf"\| {label} \| {recall:.2f} \|.*\| {tagger.card.thresholds[label]:.2f} \|", PAGE)


def test_every_author_is_named(tagger: Tagger, shared_data: Path) -> None:
    data = shared_data / "esc10_dev"
    named = authors(data)
    assert all(name in tagger.card.attribution for name in named)
    lines = [line for line in (data / "ATTRIBUTION.md").read_text().splitlines() if line.startswith("- ")]
    assert len(lines) == 318
    assert all(line in PAGE for line in lines)


def test_real_recordings_get_their_label_first(tagger: Tagger, shared_data: Path) -> None:
    records = load_esc50(shared_data / "esc10_dev", "esc10").records[::8]
    right = [tagger(record.path).top(1)[0].label == record.label for record in records]
    # The model has learnt from these very clips.
    assert sum(right) >= 0.95 * len(right)

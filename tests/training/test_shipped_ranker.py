"""The shipped ranker: page and card say the same, it is far better than chance, and ``engine rank`` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine import Embedder, Index, Ranker
from engine.verify import verify_model
from training.recipes.two_tower import make_network, make_trial
from training.recipes.two_tower.card import describe, judge
from training.recipes.two_tower.rankers import RankerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.datasets.ranking import Trial

MODELS = Path(__file__).resolve().parents[2] / "models"
PATH = MODELS / "words-ranker.onnx"
PAGE = (MODELS / "words-ranker.md").read_text(encoding="utf-8")
CONFIG = RankerConfig(loss="supcon", n_unheard=10, name="words-ranker")


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return Ranker("words-ranker", device="cpu", threads=1)


@pytest.fixture(scope="module")
def trial(shared_data: Path) -> Trial:
    return make_trial(shared_data / "speech_commands_dev", CONFIG)


def test_the_figure_in_the_card_is_well_above_chance(ranker: Ranker) -> None:
    verify_model(PATH)
    assert PATH.stat().st_size < 2e6
    metrics = ranker.card.metrics
    assert metrics["validation_n_candidates"] == 10
    assert metrics["validation_n_queries"] >= 200
    assert metrics["validation_mrr_low"] > 2 * metrics["validation_mrr_chance"]
    assert metrics["unheard_mrr_low"] > 2 * metrics["unheard_mrr_chance"]


def test_the_page_gives_the_figures_of_the_card_and_what_it_is_not(ranker: Ranker) -> None:
    named = ("mrr", "mrr_low", "mrr_high", "mrr_chance", "n_queries", "first", "mean_rank")
    figures = [ranker.card.metrics[f"validation_{name}"] for name in named]
    figures += [ranker.card.metrics[f"unheard_{name}"] for name in named[:5]]
    assert not [figure for figure in figures if str(figure) not in PAGE]
    assert "**No vocal imitations were used.**" in PAGE
    assert "No vocal imitations were used." in ranker.card.training_data
    for text in (PAGE, ranker.card.attribution):
        assert "Trained on Speech Commands v0.02 test files, Google, CC BY 4.0" in text
    assert "`engine rank`" in PAGE


def test_it_is_what_the_command_makes(ranker: Ranker, trial: Trial) -> None:
    assert f"--loss {CONFIG.loss} --data DIR" in PAGE
    assert f"--n_unheard={CONFIG.n_unheard} --name={CONFIG.name}" in PAGE
    towers, _ = make_network(CONFIG)
    made, card = describe(CONFIG, trial, towers, ranker.card.metrics), ranker.card
    assert (made.name, made.licence, made.attribution) == (card.name, card.licence, card.attribution)
    assert made.training_data == card.training_data
    assert (made.frontend, made.window, made.hop, made.query) == (card.frontend, card.window, card.hop, card.query)


def test_its_figure_comes_out_again(ranker: Ranker, trial: Trial) -> None:
    found: dict[str, Any] = judge(PATH, trial, CONFIG)
    # Other processors round otherwise, by which single places may change.
    assert found["validation_mrr"] == pytest.approx(ranker.card.metrics["validation_mrr"], abs=0.005)
    assert found["validation_n_queries"] == ranker.card.metrics["validation_n_queries"]


def test_engine_rank_finds_words_by_unseen_speakers(
    trial: Trial, tmp_path: Path, engine: Callable[..., tuple[int, bytes, str]]
) -> None:
    part = trial.parts["validation"]
    words = {"yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"}
    candidates = {record.label: record for record in part.references if record.label in words}
    for record in candidates.values():
        (tmp_path / "said").mkdir(exist_ok=True)
        (tmp_path / "said" / f"{record.label}.flac").write_bytes(record.path.read_bytes())
    with Index.create(tmp_path / "said.index", Embedder("words-ranker", device="cpu", threads=1)) as index:
        index.add([tmp_path / "said"])
        index.save()
    right = 0
    asked = [next(query for query in part.queries if query.label == word) for word in sorted(words)]
    for query in asked:
        code, out, err = engine("rank", query.path, "--library", tmp_path / "said.index", "--format", "json")
        assert (code, len(candidates)) == (0, 10), err
        right += Path(json.loads(out)[0]["path"]).stem == query.label
    assert right >= 6

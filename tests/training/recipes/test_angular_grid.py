"""The grid of the angular losses: which cells there are, that they run, and the tables and picture of made-up ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from engine.errors import ConfigError
from tests.training import trees
from training.recipes.angular import Config, grid
from training.recipes.angular.report import Row, collect, compare, pair_geometry, plot, tables

CORPORA = ("esc10", "keywords", "fsdd")


def cell(folder, name, accuracies, *, moments=(0.1, 0.2, 0.3, 0.4), mean=0.5, spoken=None):
    """Write a finished cell: the accuracy of each fold, the moments after training, one mean distance of all pairs."""
    path = folder / name
    path.mkdir()
    names = ("mu_p", "sigma_p", "mu_n", "sigma_n")
    before, after = dict.fromkeys(names, 0.9), dict(zip(names, moments, strict=True))
    folds = {str(n): {"accuracy": value, "before": before, "after": after} for n, value in enumerate(accuracies)}
    metrics = {"accuracy": float(np.mean(accuracies)), "before": before, "after": after, "folds": folds}
    if spoken is not None:
        metrics["accuracy_without_silence"] = spoken
    (path / "metrics.json").write_text(json.dumps(metrics))
    of_folds = np.full((len(accuracies), 2, 2), mean)
    of_folds[0] += 0.1
    np.savez(path / "test.npz", mean=of_folds, variation=of_folds / 2)


def line(text, start):
    """Return the fields of a row of the first table."""
    found = next(row for row in text.splitlines() if row.startswith(f"| {start} |"))
    return [field.strip() for field in found.strip("|").split("|")]


# Cells


def test_cells_are_one_configuration_and_seed_each_and_the_reduced_ones_are_among_all():
    full = dict(grid.cells("full", CORPORA))
    # Four losses and four other forms, and of the words three that are mixed, each with five seeds.
    assert len(full) == 5 * (3 * (4 + 4) + 3)
    assert len({json.dumps(asdict(config)) for config in full.values()}) == len(full)
    for name, config in full.items():
        corpus, encoder, *_, seed = name.split("_")
        assert (corpus, encoder, int(seed)) == (config.corpus, config.encoder, config.seed)
    reduced = dict(grid.cells("reduced", CORPORA))
    assert reduced.items() <= full.items()
    assert {config.embedding_loss for config in reduced.values()} == {"none", "add", "opl_scaled"}
    assert [name for name in full if name.startswith("esc10")][:4] == [
        f"esc10_residual_{loss}_0" for loss in ("ce", "add", "focal", "opl_scaled")
    ]
    assert {config.corpus for config in full.values() if config.mixup} == {"keywords"}


def test_the_ablation_is_of_the_papers_terms():
    found = dict(grid.cells("ablation", ["esc10"]))
    assert len(found) == 5 * 5
    for name, config in found.items():
        assert "".join(str(int(value)) for value in config.lambdas) == name.split("_")[3]
        assert config == replace(Config(seed=config.seed), embedding_loss="add", lambdas=config.lambdas)


def test_published_cells_have_the_papers_settings():
    found = dict(grid.cells("published", ["esc50"], "ast", "folder"))
    assert len(found) == 3 * 4
    config = found["esc50_ast_add_2"]
    assert (config.learning_rate, config.batch_size, config.checkpoint) == (6.7e-6, 32, "folder")
    mixed = dict(grid.cells("published", ["keywords"], "beats"))
    assert {(c.objective, c.mixup, c.embedding_loss) for c in mixed.values()} == {
        ("bce", 0.5, "none"),
        ("bce", 0.5, "add"),
    }
    with pytest.raises(ConfigError, match="for which there are published settings"):
        dict(grid.cells("published", ["fsdd"]))
    assert list(dict(grid.cells("transformers", ["esc10"]))) == ["esc10_ast_add_0", "esc10_beats_add_0"]


def test_cells_run_once_and_are_reported(tmp_path, monkeypatch, capsys):
    data = trees.esc10_dev(tmp_path / "data", folds=(1, 2))
    tiny = Config(channels=(4, 8), embedding_size=8, n_mels=16, epochs=1, batch_size=8)
    chosen = {"esc10_residual_ce_0": tiny, "esc10_residual_add_0": replace(tiny, embedding_loss="add")}
    monkeypatch.setattr(grid, "cells", lambda *_: iter(chosen.items()))
    folder = tmp_path / "cells"
    command = ["run", "--data", f"esc10={data}", "--cells", str(folder), "--grid", "reduced"]
    assert grid.main([*command, "--limit-s", "0"]) == 0
    assert not folder.exists()
    assert grid.main(command) == 0
    assert {path.name for path in folder.iterdir()} == set(chosen)
    made = {path: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")}
    assert len(made) == 2
    assert grid.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")} == made
    capsys.readouterr()
    assert grid.main(["report", "--cells", str(folder), "-o", str(tmp_path / "figure.png")]) == 0
    assert "### esc10, residual" in capsys.readouterr().out
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_data_that_is_no_corpus_is_refused(capsys):
    with pytest.raises(SystemExit):
        grid.main(["run", "--data", "esc12=x", "--cells", "y"])
    assert "expected CORPUS=DIR with one of esc10" in capsys.readouterr().err


# Tables


def test_a_loss_is_compared_over_the_seeds_and_folds_that_both_have(tmp_path):
    # Seeds 0 to 2 of both, a fourth of one: differences by seed of 4, 2 and 3 points.
    for seed, (one, other) in enumerate([((0.5, 0.6), (0.54, 0.64)), ((0.5, 0.5), (0.53, 0.51))]):
        cell(tmp_path, f"esc10_residual_ce_{seed}", one)
        cell(tmp_path, f"esc10_residual_add_{seed}", other)
    cell(tmp_path, "esc10_residual_ce_2", (0.6, 0.6))
    cell(tmp_path, "esc10_residual_add_2", (0.6, 0.66))
    cell(tmp_path, "esc10_residual_ce_3", (0.1, 0.1))
    rows = collect(tmp_path)["esc10", "residual"]
    found = compare(rows["add"], rows["ce"])
    assert (found.n_seeds, found.n_pairs) == (3, 6)
    assert found.difference == pytest.approx(0.03)
    assert found.effect == pytest.approx(0.03 / np.std([0.04, 0.02, 0.03], ddof=1))
    # All signs alike: of three seeds 2 / 2^3; of the pairs, one of which is 0, 2 / 2^5.
    assert found.p_seeds == pytest.approx(0.25)
    assert found.p == pytest.approx(0.0625)
    shown = line(tables(tmp_path), "add")
    assert shown[:5] == ["add", "3", "58.00 ± 5.57", "+3.00", "+3.00"]
    assert shown[5:] == ["0.062 (n = 6)", "0.250"]
    assert line(tables(tmp_path), "ce")[1:] == ["4", "43.75 ± 22.87", "", "", "", ""]
    assert compare(Row({7: {"folds": {}}}), rows["ce"]) is None


def test_one_seed_has_no_spread_and_no_test_of_seeds(tmp_path):
    cell(tmp_path, "esc50_ast_ce_0", (0.5, 0.6))
    cell(tmp_path, "esc50_ast_add_0", (0.6, 0.6), moments=(0.125, 0.25, 0.5, 1.0))
    text = tables(tmp_path)
    assert line(text, "loss")[-1] == "paper, %"
    assert "| add | 1 | 60.00 | +5.00 |  | 1.000 (n = 2) |  | 94.68 ± 0.09 |" in text
    assert "| add | 0.125 | 0.250 | 0.500 | 1.000 |" in text
    assert "| before training | 0.900 ± 0.000 |" in text


def test_mixed_labels_are_compared_with_mixed_labels_and_words_without_silence(tmp_path):
    cell(tmp_path, "keywords_residual_ce_0", (0.9,), spoken=0.8)
    cell(tmp_path, "keywords_residual_mixup_bce_0", (0.5,), spoken=0.4)
    cell(tmp_path, "keywords_residual_mixup_add_0", (0.6,), spoken=0.5)
    text = tables(tmp_path)
    assert "| mixup_add | 1 | 60.00 | 50.00 | +10.00 |" in text
    assert "| mixup_bce | 1 | 50.00 | 40.00 |  |" in text


def test_the_picture_is_of_the_folds_of_all_seeds_of_that_loss_alone(tmp_path):
    for name, mean in (("ce_0", 0.2), ("add_0", 0.3), ("add_1", 0.5), ("add_1000_0", 5.0)):
        cell(tmp_path, f"esc10_residual_{name}", (0.5, 0.5), mean=mean)
    geometry = pair_geometry(tmp_path, "esc10", "add")
    assert geometry["mean"] == pytest.approx(np.full((2, 2), 0.45))  # 0.4, and a tenth more in one of two folds
    assert geometry["variation"] == pytest.approx(np.full((2, 2), 0.225))
    plot(tmp_path, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_without_finished_cells_there_is_nothing_to_report(tmp_path):
    with pytest.raises(ConfigError, match="got none; run them first"):
        tables(tmp_path)
    cell(tmp_path, "esc10_residual_ce_0", (0.5,))
    with pytest.raises(ConfigError, match="finished cells of ce and add"):
        plot(tmp_path, tmp_path / "figure.png")

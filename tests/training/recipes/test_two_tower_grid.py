"""The trials of the paper as a grid: which cells there are, that they run, and the table and picture of them."""

import json
from dataclasses import asdict, replace

import pytest

from tests.training import voices
from training.recipes.two_tower import Config, grid
from training.recipes.two_tower.picture import typical
from training.recipes.two_tower.rankers import main

CONFIG = Config(query_encoder="small_imitation", reference_encoder="small_recording", n_classes=3, epochs=2)


def cell(folder, loss, schedule, seed, correlation):
    (folder / f"words_{loss}_{schedule}_{seed}").mkdir()
    path = folder / f"words_{loss}_{schedule}_{seed}"
    config = asdict(replace(CONFIG, loss=loss, schedule=schedule, seed=seed))
    (path / "config.json").write_text(json.dumps(config))
    last = {"train_mrr": 0.5, "validation_mrr": 0.4, "validation_mean_rank": 3.0, "validation_n_tied": 1}
    last["validation_mrr_among_targets"] = 0.3
    found = {"correlation": correlation, "last": last, "seconds": 60.0}
    (path / "metrics.json").write_text(json.dumps(found))


def test_the_table_says_how_many_trials_it_rests_on(tmp_path):
    for seed, ours, theirs in ((0, 0.9, 0.1), (1, 0.8, None)):
        cell(tmp_path, "triplet", "published", seed, ours)
        cell(tmp_path, "pairwise", "published", seed, theirs)
    text = grid.tables(tmp_path)
    assert "| triplet | published | 2 | 0.85 |" in text
    assert "| pairwise | published | 2 | 0.10 |" in text
    assert "in 1 of 1 trials with both correlations" in text
    assert text.splitlines()[2].endswith("| 60 |")


def test_the_test_is_of_pairs_of_trials(tmp_path):
    for seed in range(8):
        cell(tmp_path, "triplet", "published", seed, 0.5 + 0.01 * seed)
        cell(tmp_path, "pairwise", "published", seed, 0.4)
        cell(tmp_path, "pairwise", "matched", seed, 0.4 + 0.02 * seed)
    text = grid.tables(tmp_path)
    # 2 / 2^8: all eight of one sign.
    assert "above pairwise (published) in 8 of 8 trials with both correlations, p = 0.0078; the paper's" in text
    assert "above pairwise (matched) in 8 of 8" in text


def test_the_trial_that_is_shown_lies_closest_to_the_means():
    kinds = [("triplet", "published"), ("pairwise", "published")]
    found = {kind: {seed: {"correlation": c} for seed, c in enumerate((0.1, 0.5, 0.9, None))} for kind in kinds}
    assert typical(found, kinds) == 1
    assert typical({kind: {0: {"correlation": None}} for kind in kinds}, kinds) is None


def test_grids():
    full = dict(grid.cells("full", "words"))
    assert len(full) == 28 * 3 + 8 * 2
    # Losses of a seed are one trial from one set of weights.
    assert len({config.seed for config in full.values()}) == 28
    paper = [config for _, config in grid.cells("paper", "imitations", "cuda")]
    assert {(config.query_encoder, config.reference_encoder) for config in paper} == {("imitation", "recording")}
    assert {(config.epochs, config.once, config.batch_size, config.device) for config in paper} == {
        (300, False, 128, "cuda")
    }


def test_cells_run_and_the_report_reads_what_they_write(tmp_path, monkeypatch, capsys):
    """Trap 10: the report looks for the files that training writes."""
    data = voices.spoken_words(tmp_path / "data")
    tiny = [(name, replace(config, n_classes=3, epochs=2)) for name, config in grid.cells("reduced", "words")][:4]
    monkeypatch.setattr(grid, "cells", lambda *_: tiny)
    where = ["--cells", str(tmp_path / "cells")]
    assert main(["run", "--data", str(data), *where]) == 0
    assert main(["report", *where, "-o", str(tmp_path / "figure.png")]) == 0
    text = capsys.readouterr().out
    assert all(f"| {loss} | {schedule} | 1 |" in text for loss, schedule in grid.KINDS)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    before = (tmp_path / "cells" / tiny[0][0] / "metrics.json").stat().st_mtime_ns
    assert main(["run", "--data", str(data), *where]) == 0
    assert (tmp_path / "cells" / tiny[0][0] / "metrics.json").stat().st_mtime_ns == before


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "two_tower report" in said
    assert "words-ranker" in said

"""The trials of the paper as a grid: which cells there are, that they run, and the table and picture of them."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.training import voices
from training.recipes.two_tower import Config, grid
from training.recipes.two_tower.picture import typical
from training.recipes.two_tower.rankers import main

CONFIG = Config(query_encoder="small_imitation", reference_encoder="small_recording", n_classes=3, epochs=2)


def cell(folder, loss, schedule, seed, wiggle, mrr=0.3):
    """A finished cell whose loss falls with the ranks but for a wiggle; none at all is a constant loss."""
    (folder / f"words_{loss}_{schedule}_{seed}").mkdir()
    path = folder / f"words_{loss}_{schedule}_{seed}"
    config = asdict(replace(CONFIG, loss=loss, schedule=schedule, seed=seed))
    (path / "config.json").write_text(json.dumps(config))
    noise = np.random.default_rng(seed).standard_normal(10)
    losses = np.ones(10) if wiggle is None else np.arange(10)[::-1] + wiggle * noise
    curves = [
        {"loss": value, "train_mean_rank": 10.0 - i, "validation_loss": 1.0 - 0.1 * i, "validation_mean_rank": 20.0 - i}
        for i, value in enumerate(losses)
    ]
    last = {"train_mrr": 0.5, "validation_mrr": 0.4, "validation_mean_rank": 3.0, "validation_n_tied": 1, "steps": 7}
    found = {"last": last | {"validation_mrr_among_targets": mrr}, "seconds": 60.0, "curves": curves}
    (path / "metrics.json").write_text(json.dumps(found))


def test_the_table_says_how_many_trials_it_rests_on(tmp_path):
    for seed, theirs in ((0, 5.0), (1, None)):
        cell(tmp_path, "triplet", "published", seed, 0.0)
        cell(tmp_path, "pairwise", "published", seed, theirs)
    text = grid.tables(tmp_path)
    assert "| triplet | published | 7.0 | 2 | 1.00 | 1.00 to 1.00 | 1.00 | 1.00 |" in text
    assert "| pairwise | published | 7.0 | 1 | 0." in text
    assert "above pairwise (published) in 1 of 1 trials with both correlations" in text
    assert (
        "| triplet | published | 2 | 0.500 ± 0.000 | 0.400 ± 0.000 | 0.300 ± 0.000 | 3.000 ± 0.000 | 2 | 60 |" in text
    )
    assert "(published), MRR of unseen queries among targets: +0.000 over 2 trials, p = 1" in text


def test_the_tests_are_of_pairs_of_trials(tmp_path):
    for seed in range(8):
        cell(tmp_path, "triplet", "published", seed, 0.1, mrr=0.5 + 0.01 * seed)
        cell(tmp_path, "pairwise", "published", seed, 3.0)
        cell(tmp_path, "pairwise", "matched", seed, 2.0 if seed < 7 else 0.0)
    text = grid.tables(tmp_path)
    # 2 / 2^8: all eight of one sign.
    assert "above pairwise (published) in 8 of 8 trials with both correlations, p = 0.0078; the paper's" in text
    assert "above pairwise (matched) in 7 of 8" in text
    assert "above pairwise (published), from epoch 5 on, in 8 of 8" in text
    assert (
        "triplet less pairwise (matched), MRR of unseen queries among targets: +0.235 over 8 trials, p = 0.0078" in text
    )


def test_what_is_not_there_is_not_in_the_table(tmp_path):
    cell(tmp_path, "infonce", "matched", 0, None)
    text = grid.tables(tmp_path)
    assert "| infonce | matched | 7.0 | 0 | missing | missing | missing | 1.00 |" in text
    assert "above pairwise" not in text


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

"""The recipe of semi-supervised triplets: Table 1 and the mining against loops, a small run, its tables and plots."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from engine import LogMel, Tagger
from engine.errors import ConfigError
from tests.training import trees
from tests.training.datasets import layouts
from tests.training.datasets.test_scenes import fields
from training.networks.segments import FrameTagger
from training.recipes.semi_supervised_triplet import Config, train
from training.recipes.semi_supervised_triplet.clips import linear, load_clips
from training.recipes.semi_supervised_triplet.embedding import learn_embedding, targets_of
from training.recipes.semi_supervised_triplet.grid import (
    PAPER,
    TABLE_2,
    TABLE_3,
    cells,
    in_per_cent,
    main,
    plot_projection,
    plot_shares,
    tables,
)
from training.recipes.semi_supervised_triplet.tagger import train_tagger
from training.recipes.semi_supervised_triplet.triplets import (
    Segments,
    Triplets,
    another_of_clip,
    choose_anchors,
    cut,
    draw,
    draw_by_label,
    mine,
    near_positives,
    nearest_segments,
)
from training.run import Run

TINY = Config(
    background="../fields",
    labelled=6,
    unlabelled=10,
    validation=4,
    evaluation=6,
    sample_rate=8000,
    win_length=200,
    hop_length=800,
    n_fft=256,
    segment_frames=10,
    channels=(3, 3, 4),
    pool=40,
    epochs=2,
    units=4,
    tagger_epochs=3,
    first_epochs=0,
    tagger_batch=4,
)
N_FRAMES, N_MELS, N_SEGMENTS = 4, 3, 5


class Interruption(BaseException):
    """Stands for the end of a time slot."""


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def segments():
    """Eight clips of five segments; four of them have labels, of which the last has none that another has."""
    mel = torch.rand(40, N_FRAMES, N_MELS, generator=torch.Generator().manual_seed(0))
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], np.uint8)
    return Segments(mel, np.repeat(np.arange(8), N_SEGMENTS), np.repeat(targets, N_SEGMENTS, axis=0), torch.log1p)


def settings(**changes):
    return replace(TINY, segments=N_SEGMENTS, segment_frames=N_FRAMES, n_mels=N_MELS, **changes)


# Table 1


def test_labels_decide_positives_and_negatives(segments, rng):
    anchors = np.tile(np.arange(20), 60)
    positives, negatives = draw_by_label(segments.targets, anchors, N_SEGMENTS, rng)
    for anchor in range(20):
        clip, of_anchor = anchor // N_SEGMENTS, segments.targets[anchor]
        shares = {c for c in range(4) if c != clip and (segments.targets[c * N_SEGMENTS] & of_anchor).any()}
        near = set(positives[anchors == anchor].tolist())
        if shares:
            assert {row // N_SEGMENTS for row in near} == shares
        else:  # no other clip has its label: another segment of its own
            assert near == set(range(clip * N_SEGMENTS, clip * N_SEGMENTS + N_SEGMENTS)) - {anchor}
        unlike = {c for c in range(4) if not (segments.targets[c * N_SEGMENTS] & of_anchor).any()}
        assert {row // N_SEGMENTS for row in negatives[anchors == anchor].tolist()} == unlike


def test_an_anchor_that_all_clips_share_a_label_with_has_its_negative_mined(rng):
    _, negatives = draw_by_label(np.ones((10, 1), np.uint8), np.arange(10), N_SEGMENTS, rng)
    assert (negatives == -1).all()


@pytest.mark.parametrize(
    ("strategy", "labelled_mined", "has_unlabelled"),
    [("S1", True, True), ("S2", False, True), ("S3", False, True), ("S4", True, False), ("S5", False, False)],
)
def test_strategies_are_those_of_table_1(segments, rng, strategy, labelled_mined, has_unlabelled):
    config = settings(strategy=strategy, unlabelled_anchors=1.0 if has_unlabelled else 0.0, transformations=("noise",))
    labelled, unlabelled = choose_anchors(segments, config, rng)
    assert len(unlabelled) == (20 if has_unlabelled else 0)
    nearest = nearest_segments(segments, config)
    made = draw(segments, labelled, unlabelled, nearest, config, rng)
    assert made.anchors.tolist() == [*labelled.tolist(), *unlabelled.tolist()]
    assert ((made.negatives[:20] == -1).all()) == labelled_mined
    assert (made.negatives[20:] == -1).all()
    inputs = segments.inputs(np.arange(40))
    for anchor, positive in zip(made.anchors.tolist(), made.positives, strict=True):
        same = [row for row in range(40) if torch.equal(inputs[row], positive)]
        if anchor >= 20 and strategy == "S3":
            assert same == [nearest[anchor, 0]]
        elif anchor >= 20 or strategy == "S1":  # the anchor with noise: never less than it was
            assert same == []
            assert (positive >= inputs[anchor] - 1e-6).all()
        else:
            assert len(same) == 1
            assert same[0] != anchor


def test_nearest_is_a_brute_force_in_the_input_space(segments):
    inputs = segments.inputs(np.arange(40)).flatten(1).double().numpy()
    distances = ((inputs[:, None] - inputs[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    found = nearest_segments(segments, settings(nearest="one_of_k", nearest_k=3))
    assert found.tolist() == np.argsort(distances, axis=1)[:, :3].tolist()
    distances[segments.clips[:, None] == segments.clips[None]] = np.inf
    other = nearest_segments(segments, settings(nearest_own_clip=False))
    assert other[:, 0].tolist() == distances.argmin(axis=1).tolist()


def test_the_nearest_beyond_the_transformed_sample(segments, rng):
    config = settings(nearest="beyond_transformed", transformations=("noise",), noise="additive", sigma=0.05)
    anchors = np.arange(20, 40)
    found = near_positives(segments, anchors, np.empty((0, 1), np.int64), config, rng)
    inputs = segments.inputs(np.arange(40))
    distances = ((inputs[anchors][:, None] - inputs[None]) ** 2).sum(dim=(2, 3))
    for row, (anchor, positive) in enumerate(zip(anchors.tolist(), found, strict=True)):
        # Noise of 0.05 lies nearer than any other segment: the nearest one is taken.
        order = [other for other in distances[row].argsort().tolist() if other != anchor]
        assert torch.equal(positive, inputs[order[0]])
    far = replace(config, sigma=50.0)
    found = near_positives(segments, anchors, np.empty((0, 1), np.int64), far, rng)
    assert all(not any(torch.equal(positive, other) for other in inputs) for positive in found)


def test_proximity_is_another_segment_of_the_clip(rng):
    rows = np.tile(np.arange(40), 50)
    other = another_of_clip(rows, N_SEGMENTS, rng)
    assert (other // N_SEGMENTS == rows // N_SEGMENTS).all()
    for row in range(40):
        assert len(set(other[rows == row].tolist())) == N_SEGMENTS - 1
        assert row not in other[rows == row]


# Semi-hard negatives


def test_semi_hard_negatives_against_a_loop(segments, rng):
    config = settings(strategy="S1", pool=40)
    positives = segments.inputs(rng.permutation(40))
    triplets = Triplets(np.arange(40), positives, np.full(40, -1))
    negatives, n_farthest = mine(triplets, segments, lambda x: x.flatten(1), config, rng)
    inputs = segments.inputs(np.arange(40)).flatten(1).double()
    fallen = 0
    for anchor in range(40):
        limit = float(((inputs[anchor] - positives[anchor].flatten().double()) ** 2).sum())
        distances = ((inputs - inputs[anchor]) ** 2).sum(dim=1).tolist()
        others = [row for row in range(40) if segments.clips[row] != segments.clips[anchor]]
        beyond = [row for row in others if distances[row] > limit]
        best = min(beyond, key=distances.__getitem__) if beyond else max(others, key=distances.__getitem__)
        fallen += not beyond
        assert negatives[anchor] == best
    assert n_farthest == fallen


def test_where_nothing_is_farther_the_farthest_is_taken_and_counted(segments, rng):
    triplets = Triplets(np.arange(40), torch.full((40, N_FRAMES, N_MELS), 1e3), np.full(40, -1))
    negatives, n_farthest = mine(triplets, segments, lambda x: x.flatten(1), settings(pool=40), rng)
    assert n_farthest == 40
    assert len(set(negatives.tolist())) > 1  # not all the first of the pool
    assert (segments.clips[negatives] != segments.clips).all()


def test_negatives_that_labels_decided_stay(segments, rng):
    given = Triplets(np.arange(4), segments.inputs(np.arange(4)), np.array([7, -1, 9, 30]))
    negatives, _ = mine(given, segments, lambda x: x.flatten(1), settings(pool=40), rng)
    assert negatives[[0, 2, 3]].tolist() == [7, 9, 30]
    assert negatives[1] >= 0


# Numbers of the paper


def test_numbers_of_triplets_are_the_papers():
    targets = np.ones((15_780, 1), np.uint8)
    paper = Segments(torch.empty(0), np.repeat(np.arange(15_990), 10), targets, torch.log)
    totals = {}
    for ratio, (labelled, unlabelled) in (TABLE_2 | TABLE_3).items():
        config = Config(labelled_anchors=labelled, unlabelled_anchors=unlabelled)
        totals[ratio] = tuple(map(len, choose_anchors(paper, config, np.random.default_rng(0))))
    assert totals == {
        "A": (15_780, 15_780),
        "B": (15_780, 70_000),
        "C": (15_780, 144_120),
        "L1.5": (23_670, 7_890),
        "L1": (15_780, 15_780),
        "L0.75": (11_835, 19_725),
        "L0.5": (7_890, 23_670),
    }
    twice, none = choose_anchors(
        paper, Config(strategy="S5", labelled_anchors=2.5, unlabelled_anchors=0.0), np.random.default_rng(0)
    )
    assert len(none) == 0
    assert sorted(set(np.bincount(twice).tolist())) == [2, 3]  # no anchor comes again before all have come
    _, every = choose_anchors(paper, Config(unlabelled_anchors=10.0), np.random.default_rng(0))
    assert sorted(every.tolist()) == list(range(15_780, 159_900))


def test_short_clips_are_padded_to_ten_segments():
    mel = {"labelled": torch.ones(2, 700, 64), "unlabelled": torch.ones(1, 700, 64)}
    made = cut(mel, np.ones((2, 3), np.uint8), Config(), torch.log1p)
    assert made.mel.shape == (30, 96, 64)
    assert made.n_labelled == 20
    assert made.mel.sum(dim=(1, 2)).tolist() == ([96.0 * 64] * 7 + [28.0 * 64] + [0.0] * 2) * 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "S6"}, "--strategy among"),
        ({"transformations": ("echo",)}, "--transformations among"),
        ({"strategy": "S5"}, "unlabelled_anchors=0 with S5"),
        ({"embedding_loss": "opl"}, "--embedding_loss among"),
        ({"embedding_loss": "add", "strategy": "log_mel"}, "has no such stage"),
        ({"embedding": "triple_header"}, "embedding=none with S2, got 'triple_header'"),
        ({"strategy": "frozen"}, "embedding=triple_header with frozen, got 'none'"),
        ({"embedding": "proxies", "strategy": "crnn"}, "--embedding among"),
    ],
)
def test_what_no_part_knows_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        Config(**changes)


# The losses on embeddings beside the triplets


def test_anchors_without_labels_have_none(segments):
    targets = targets_of(np.array([19, 20, 5, 39]), segments)
    assert targets.tolist() == [[0, 0, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("labelled", [1.0, 0.0])
def test_a_loss_on_embeddings_is_of_labelled_anchors(segments, labelled):
    learnt = {}
    for name in ("none", "add", "add_pooled"):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Linear(N_MELS, 4))
        config = settings(strategy="S2", embedding_loss=name, labelled_anchors=labelled)
        learn_embedding(network, segments, config)
        learnt[name] = network[0].weight
    assert torch.equal(learnt["none"], learnt["add"]) == (labelled == 0)
    assert torch.equal(learnt["add_pooled"], learnt["add"]) == (labelled == 0)


@pytest.mark.parametrize("strategy", ["crnn", "S2"])
def test_the_tagger_has_the_loss_where_the_embedding_learns_with_it(strategy):
    generator = torch.Generator().manual_seed(0)
    targets = {"labelled": np.eye(3, dtype=np.uint8).repeat(4, axis=0), "validation": np.eye(3, dtype=np.uint8)}
    frames = {part: torch.randn(len(rows), 5, 8, generator=generator) for part, rows in targets.items()}
    learnt = {}
    for name in ("none", "add"):
        torch.manual_seed(0)
        embed, tagger = torch.nn.Linear(8, 4), FrameTagger(4, 3, 4, 1)

        def tag(rows, embed=embed, tagger=tagger):
            made = embed(rows)
            return tagger(made).mean(dim=1), made.mean(dim=1)

        config = settings(strategy=strategy, embedding_loss=name)
        train_tagger(tag, torch.nn.ModuleList([embed, tagger]), frames, targets, config)
        learnt[name] = embed.weight
    assert torch.equal(learnt["none"], learnt["add"]) == (strategy == "S2")


# The whole


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    fields(root / "fields", 32)
    return trees.esc10_dev(root / "esc10", folds=(1, 2, 3, 4))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    train(data, Run(folder / "scenes-full_A_S2_0", asdict(TINY)), TINY)
    return folder / "scenes-full_A_S2_0"


def test_a_run_gives_one_model_that_the_engine_runs(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["macro_f1"] == pytest.approx(np.mean(list(metrics["f1"].values())))
    with Tagger(finished / "model.onnx", device="cpu") as tagger:
        result = tagger("examples/rain.flac")
        assert tagger.labels == tuple(metrics["f1"])
        assert result.embedding.shape == (4,)
        assert ((result.scores >= 0) & (result.scores <= 1)).all()
    with np.load(finished / "evaluation.npz") as arrays:
        assert arrays["scores"].shape == arrays["targets"].shape == (6, 10)


def test_training_sees_what_the_front_end_of_the_card_gives(finished, data):
    clips = load_clips(data, TINY, finished / "features")
    with Tagger(finished / "model.onnx", device="cpu") as tagger:
        assert tagger.card.frontend == clips.frontend
    expected = np.stack([LogMel(clips.frontend)(sound) for sound in clips.evaluation()])
    plain = replace(clips.frontend, mean=None, std=None)
    log_mel = LogMel(plain)
    found = clips.log_mel(linear(np.stack([log_mel(sound) for sound in clips.evaluation()]), plain)).numpy()
    # Bands without energy in them have a deviation of 0.001 and more; float32 has 1e-7 of the logarithm's 4.6.
    assert np.abs(found - expected).max() < 1e-3


def test_an_interrupted_run_ends_the_same(finished, data, tmp_path):
    lines = []

    def echo(line):
        lines.append(line)
        if len(lines) == 2:
            raise Interruption

    with pytest.raises(Interruption):
        train(data, Run(tmp_path / "run", asdict(TINY), echo), TINY)
    train(data, Run(tmp_path / "run", asdict(TINY)), TINY)
    assert (tmp_path / "run" / "metrics.json").read_text() == (finished / "metrics.json").read_text()


@pytest.mark.parametrize("strategy", ["frozen", "crnn"])
def test_clusters_of_sets_of_labels_in_place_of_triplets(data, tmp_path, strategy):
    config = replace(TINY, strategy=strategy, embedding="triple_header", embedding_epochs=(2, 1, 1), labelled=12)
    folders = [tmp_path / name for name in ("whole", "interrupted")]
    train(data, Run(folders[0], asdict(config)), config)
    lines = []

    def echo(line):
        lines.append(json.loads(line))
        if len(lines) == 2:
            raise Interruption

    with pytest.raises(Interruption):
        train(data, Run(folders[1], asdict(config), echo), config)
    assert [line.get("clustering") for line in lines] == [1, 2]
    train(data, Run(folders[1], asdict(config)), config)
    one, other = ((folder / "metrics.json").read_text() for folder in folders)
    assert one == other
    with Tagger(folders[0] / "model.onnx", device="cpu") as tagger:
        assert tagger.card.name == f"scenes-{strategy}"


def test_a_run_on_the_papers_data(tmp_path):
    """On a tree of the published layout: short clips, an empty evaluation clip, features kept between runs."""
    root = layouts.dcase2018(tmp_path / "dcase")
    config = replace(TINY, corpus="dcase2018", epochs=1, tagger_epochs=1, pool=20)
    train(root, Run(tmp_path / "runs" / "one", asdict(config)), config)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "features").rglob("*.logmel")}
    assert kept
    other = replace(config, seed=1)
    train(root, Run(tmp_path / "runs" / "two", asdict(other)), other)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "features").rglob("*.logmel")} == kept
    with Tagger(tmp_path / "runs" / "one" / "model.onnx", device="cpu") as tagger:
        assert tagger.labels[0] == "Alarm_bell_ringing"
        assert "DCASE 2018 task 4" in tagger.card.training_data


@pytest.mark.parametrize("strategy", ["crnn", "log_mel", "S3", "S4"])
def test_other_strategies_and_the_baselines_run(data, tmp_path, strategy):
    config = replace(TINY, epochs=1, tagger_epochs=1, tagger_pool=2, aggregate="mean", gradient="anchor", squared=False)
    anchors = {"labelled_anchors": 2.0, "unlabelled_anchors": 0.0} if strategy == "S4" else {}
    config = replace(config, strategy=strategy, **anchors)
    train(data, Run(tmp_path / "run", asdict(config)), config)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in log} == ({"embedding", "tagger"} if strategy.startswith("S") else {"tagger"})
    if strategy.startswith("S"):
        assert log[0]["mined"] == {"S3": 60, "S4": 120}[strategy]


def test_the_embedding_is_frozen_while_the_tagger_learns(data, tmp_path, monkeypatch):
    kept = {}

    def after_learning(network, *rest, **options):
        learn_embedding(network, *rest, **options)
        kept.update({name: value.clone() for name, value in network.state_dict().items()})
        kept["network"] = network

    monkeypatch.setattr("training.recipes.semi_supervised_triplet.learn_embedding", after_learning)
    train(data, Run(tmp_path / "run", asdict(TINY)), TINY)
    network = kept.pop("network")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in kept.items())


def test_triplets_come_closer(segments):
    """On segments whose clips differ in level, the embedding learns to tell the labels apart."""
    torch.manual_seed(0)
    config = settings(strategy="S5", labelled_anchors=1.0, unlabelled_anchors=0.0, epochs=30, batch_size=10)
    network = torch.nn.Sequential(torch.nn.Linear(N_MELS, 4))
    level = torch.tensor([0.0, 1.0, 2.0, 5.0]).repeat_interleave(N_SEGMENTS)[:, None, None]
    levels = replace(segments, mel=torch.cat([segments.mel[:20] + level, segments.mel[20:]]))
    losses = []
    learn_embedding(network, levels, config, after=lambda _state, figures: losses.append(figures["loss"]))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


# The grid


def test_cells_are_one_configuration_and_seed_each():
    full = dict(cells(2, "scenes", 3))
    assert len(full) == 3 * (2 + 5 * 3)
    assert len({json.dumps(asdict(config)) for config in full.values()}) == len(full)
    totals = {name: config.labelled_anchors + config.unlabelled_anchors for name, config in full.items()}
    assert {round(total * 15_780) for total in totals.values()} == {31_560, 85_780, 159_900}
    assert len(dict(cells(3, "scenes", 3))) == 3 * 2 * 4
    assert len(dict(cells(2, "scenes", 1, reduced=True))) == 7
    assert next(iter(cells(2, "dcase2018", 1)))[1] == Config(
        corpus="dcase2018", strategy="crnn", labelled_anchors=2.0, unlabelled_anchors=0.0
    )


def test_tables_stand_beside_the_papers(finished, tmp_path, capsys):
    for seed, f1 in enumerate((0.5, 0.6)):
        folder = tmp_path / f"scenes-full_A_S1_{seed}"
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"macro_f1": f1}))
    assert main(["--table", "2", "--cells", str(tmp_path), "--report"]) == 0
    assert "| S1 | 55.0 ± 7.1 (2) | 52.32 |" in capsys.readouterr().out
    assert in_per_cent([0.5]) == "50.0 (1)"
    assert PAPER["S3", "C"] == 38.59
    assert tables(tmp_path / "none", 3) == "\n"
    plot_projection(finished.parent, tmp_path / "figure.png")
    plot_shares(tmp_path, tmp_path / "shares.png")
    assert min(path.stat().st_size for path in tmp_path.glob("*.png")) > 5_000

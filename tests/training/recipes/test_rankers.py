"""Rankers of any two encoders: the command, the figure in the card, transfer from other runs, and ``engine rank``."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import Embedder, Index, Ranker
from engine.errors import ConfigError
from tests.training import trees, voices
from tests.training.datasets.layouts import lines
from training.__main__ import main
from training.datasets.record import Record
from training.recipes import angular, esc10, triple_header
from training.recipes.two_tower import Config, features, make_network, make_trial
from training.recipes.two_tower.card import interval
from training.recipes.two_tower.epoch import batch_losses
from training.recipes.two_tower.hearing import log_mel, samples_of
from training.recipes.two_tower.rankers import RankerConfig
from training.recipes.two_tower.towers import KINDS, make_tower
from training.run import Run

# Small and quick; two of twelve speakers are queries, two candidates.
FIELDS = ("--channels=4,8,16", "--batch_size=32", "--n_unheard=2", "--n_judged=4", "--learning_rate=3e-3")
TOWERS = {"residual", "crnn", "lstm", "cnn", "segments"}


@pytest.fixture(scope="module")
def melodies(tmp_path_factory):
    return voices.spoken_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def finished(melodies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ranker"
    arguments = ["two_tower", "--loss", "supcon", "--data", str(melodies), "--run", str(folder)]
    assert main([*arguments, "--epochs=40", *FIELDS]) == 0
    return folder


def test_the_figure_in_the_card_is_that_of_the_exported_file(finished, melodies):
    with Ranker(finished / "ranker.onnx", device="cpu", threads=1) as ranker:
        metrics = ranker.card.metrics
        assert ranker.card.name == "words-supcon"
        assert "No vocal imitations were used" in ranker.card.training_data
        assert "Google, CC BY 4.0" in ranker.card.attribution
    assert metrics == json.loads((finished / "metrics.json").read_text())["judged"]
    assert metrics["validation_n_candidates"] == 4
    assert metrics["validation_mrr_chance"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=1e-4)
    assert metrics["validation_mrr_low"] <= metrics["validation_mrr"] <= metrics["validation_mrr_high"]
    # Speakers who were never heard; the melodies are easy.
    assert metrics["validation_mrr_low"] > metrics["validation_mrr_chance"]
    assert metrics["unheard_n_queries"] == 2 * 4 * 2


def test_engine_rank_finds_the_word(finished, melodies, tmp_path, engine):
    folder = tmp_path / "library"
    folder.mkdir()
    for word in ("yes", "no", "up", "down"):
        (folder / f"{word}.flac").write_bytes((melodies / "audio" / word / f"{word}_0_0.flac").read_bytes())
    with Index.create(tmp_path / "lib.index", Embedder(finished / "ranker.onnx", device="cpu", threads=1)) as index:
        index.add([folder])
        index.save()
    firsts = 0
    for word in ("yes", "no", "up", "down"):
        query = melodies / "audio" / word / f"{word}_7_1.flac"
        where = ["--library", tmp_path / "lib.index", "--model", finished / "ranker.onnx"]
        code, out, err = engine("rank", query, *where, "--format", "json", "--device", "cpu")
        assert code == 0, err
        firsts += Path(json.loads(out)[0]["path"]).stem == word
    assert firsts >= 3


@pytest.mark.parametrize("loss", ["triplet", "pairwise", "infonce", "semi_hard"])
def test_each_loss_by_the_command_of_the_issue(loss, melodies, tmp_path):
    where = ["--data", str(melodies), "--run", str(tmp_path / "run")]
    assert main(["two_tower", "--loss", loss, *where, "--epochs=1", *FIELDS]) == 0
    assert (tmp_path / "run" / "ranker.onnx").exists()


def test_what_the_command_refuses(melodies, tmp_path, capsys):
    where = ["--data", str(melodies), "--run", str(tmp_path / "run")]
    assert main(["two_tower", "--loss", "triplet", *where, "--colour=red"]) == 2
    assert "'colour'" in capsys.readouterr().err
    assert main(["two_tower", "--loss", "triplet", *where, "--query_encoder=nobody"]) == 1
    assert "expected --query_encoder to be one of" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["two_tower", *where])
    assert stopped.value.code == 2


def test_an_interrupted_ranker_is_resumed_by_the_common_verb(melodies, tmp_path, monkeypatch):
    saved = Run.save

    def stop(self, state):
        saved(self, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stop)
    where = ["--data", str(melodies), "--run", str(tmp_path / "run")]
    assert main(["two_tower", "--loss", "triplet", *where, "--epochs=2", *FIELDS]) == 130
    monkeypatch.setattr(Run, "save", saved)
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert len(json.loads((tmp_path / "run" / "metrics.json").read_text())["curves"]) == 2


@pytest.mark.parametrize("name", sorted(TOWERS | {"imitation", "recording", "small_imitation", "small_recording"}))
def test_encoders_by_name_may_be_either_tower(name):
    config = RankerConfig(query_encoder=name, reference_encoder="residual", embedding_size=8, channels=())
    (query, reference), network = make_network(config)
    heard = torch.randn(2, query.n_frames, query.frontend.n_mels)
    assert network.eval().query(heard).shape == (2, 8)
    logits = network.head.table(network.query(heard), network.reference(torch.randn(3, reference.n_frames, 64)))
    assert logits.shape == (2, 3)


def test_every_kind_is_named_in_the_refusal():
    assert set(KINDS) > TOWERS | {"cnn14", "yamnet", "ast", "beats"}
    with pytest.raises(ConfigError, match="beats"):
        make_tower("nothing", "query", Config())


def test_big_encoders_in_miniature():
    config = Config(layers=1, width=64, embedding_size=4)
    for name in ("ast", "beats", "yamnet"):
        tower = make_tower(name, "query", config)
        assert tower.size == 4
        assert tower.log_mel()(np.zeros(tower.window, np.float32)).shape == (tower.n_frames, tower.frontend.n_mels)


def test_a_head_of_cosines_needs_embeddings_of_one_size():
    with pytest.raises(ConfigError, match="--embedding_size"):
        make_network(replace(Config(), head="cosine"))


# -- Transfer ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """A finished run of the tagger's recipe."""
    folder = tmp_path_factory.mktemp("tagger")
    data = trees.esc10_dev(folder / "data")
    sizes = {"channels": (4, 8), "embedding_size": 16, "batch_size": 8}
    # A tower begins with what was learnt, and so without the discriminant that stands behind it in the tagger.
    parts = {"other_share": 0.0, "scene_s": 0.0, "shrinkage": 0.0}
    config = esc10.Config(seeds=(0,), epochs=2, checkpoint_every=1, **parts, **sizes)
    run = Run(folder / "run", {"recipe": "esc10", "data": str(data)} | asdict(config))
    esc10.train(data, run, config)
    return folder / "run"


def test_a_tower_from_a_tagger_hears_and_says_what_the_tagger_does(tagger):
    tower = make_tower(str(tagger), "query", Config())
    with Embedder(tagger / "esc10.onnx", device="cpu", threads=1) as embedder:
        card = embedder.card
        assert (tower.frontend, tower.window, tower.size) == (card.frontend, card.window, 16)
        wave = np.random.default_rng(0).normal(0, 0.1, card.window).astype(np.float32)
        expected = embedder((wave, card.frontend.sample_rate)).embedding
    with torch.no_grad():
        given = tower.network.eval()(torch.from_numpy(tower.log_mel()(wave))[None])[0].numpy()
    np.testing.assert_allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_towers_stay_and_others_learn(frozen, tagger, melodies, tmp_path):
    before = {
        name: value.clone() for name, value in make_tower(str(tagger), "query", Config()).network.state_dict().items()
    }
    where = ["--data", str(melodies), "--run", str(tmp_path / "run")]
    fields = [f"--query_encoder={tagger}", f"--reference_encoder={tagger}", f"--frozen={str(frozen).lower()}"]
    fields += ["--embedding_size=8", "--epochs=2", *FIELDS]
    assert main(["two_tower", "--loss", "supcon", *where, *fields]) == 0
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["state"]["network"]
    place = "query.network.network." if frozen else "query.network."
    same = [
        torch.equal(state[place + name.removeprefix("network.")], value)
        for name, value in before.items()
        if not name.startswith("network.classify")
    ]
    assert all(same) if frozen else not any(same[:3])
    # A run of this recipe is a start as well, and knows whose sizes it has.
    again = make_tower(str(tmp_path / "run"), "query", Config())
    assert again.size == 16
    weights = again.network.state_dict()
    assert torch.equal(weights["network.stem.0.0.weight"], state[place + "stem.0.0.weight"])


STARTS = {
    "angular": angular.Config(channels=(4, 8), embedding_size=8, n_mels=16, epochs=1, batch_size=8),
    "angular, recurrent": angular.Config(
        encoder="crnn", channels=(4,), embedding_size=6, n_mels=16, epochs=1, batch_size=8
    ),
    "triple_header": triple_header.Config(
        corpus="esc10",
        ratio=(2, 1, 1, 4),
        most=3,
        n_mels=16,
        size=8,
        outer_iterations=1,
        head_epochs=1,
        inner_epochs=1,
        last_epochs=1,
        detector_epochs=1,
        batch_size=8,
    ),
}


@pytest.mark.parametrize("name", STARTS)
def test_runs_of_other_recipes_are_starts_too(name, tmp_path):
    config = STARTS[name]
    recipe = angular if name.startswith("angular") else triple_header
    # As a cell of a grid, which does not say whose it is.
    recipe.train(trees.esc10_dev(tmp_path / "data", folds=(1, 2, 3)), Run(tmp_path / "run", asdict(config)), config)
    tower = make_tower(str(tmp_path / "run"), "reference", Config())
    assert tower.size == (config.size if recipe is triple_header else config.embedding_size)
    assert tower.frontend.n_mels == 16
    assert tower.frontend.mean is not None
    again = make_tower(str(tmp_path / "run"), "reference", Config())
    for one, other in zip(tower.network.parameters(), again.network.parameters(), strict=True):
        if one.shape[0] > 1:  # the last layer, of one label, is new
            assert torch.equal(one, other)


def test_runs_that_hear_no_sound_are_refused(tmp_path, tagger):
    Run(tmp_path / "run", {"recipe": "partial_labels"})
    with pytest.raises(ConfigError, match="hears no sound"):
        make_tower(str(tmp_path / "run"), "query", Config())
    Run(tmp_path / "begun", {"recipe": "esc10"})
    with pytest.raises(ConfigError, match="finish it first"):
        make_tower(str(tmp_path / "begun"), "query", Config())
    (tmp_path / "begun" / "esc10.onnx").write_bytes((tagger / "esc10.onnx").read_bytes())
    with pytest.raises(ConfigError, match="begin from a finished run"):
        make_tower(str(tmp_path / "begun"), "query", Config())


# -- Other corpora -----------------------------------------------------------------------------------------------------


def test_recordings_in_disguise_are_other_sounds_and_the_same_each_time(tmp_path):
    root = trees.esc10_dev(tmp_path)
    path = min((root / "audio").iterdir())
    plain = Record(path, ("dog",))
    one, two = (replace(plain, split=f"disguise {k}") for k in (0, 1))
    waves = [samples_of(record, 16_000) for record in (plain, one, one, two)]
    np.testing.assert_array_equal(waves[1], waves[2])
    assert len({len(wave) for wave in waves}) > 1
    tower = make_tower("small_imitation", "query", Config())
    heard = log_mel([one, two], tower, prepared=True)
    assert not torch.equal(heard[0], heard[1])


@pytest.mark.parametrize("targets", ["canonical", "any"])
def test_sounds_in_disguise(targets, tmp_path):
    data = trees.esc10_dev(tmp_path / "data", folds=(1, 2, 3, 4))
    where = ["--data", str(data), "--run", str(tmp_path / "run")]
    fields = ["--corpus=sounds", f"--targets={targets}", "--query_encoder=small_imitation", "--epochs=1"]
    fields += ["--reference_encoder=small_recording", "--n_judged=4", "--name=sounds"]
    assert main(["two_tower", "--loss", "pairwise", *where, *fields]) == 0
    judged = json.loads((tmp_path / "run" / "metrics.json").read_text())["judged"]
    assert judged["validation_n_candidates"] == 4


def test_digits(shared_data, tmp_path):
    where = ["--data", str(shared_data / "fsdd_dev"), "--run", str(tmp_path / "run")]
    fields = ["--corpus=fsdd", "--epochs=1", "--channels=4,8", "--name=digits"]
    assert main(["two_tower", "--loss", "supcon", *where, *fields]) == 0
    with Ranker(tmp_path / "run" / "ranker.onnx", device="cpu", threads=1) as ranker:
        # Such weights are not shipped.
        assert ranker.card.licence.startswith("CC BY-SA 4.0")
        assert ranker.card.metrics["validation_n_candidates"] == 10
        # Of five speakers one is left to ask, and one speaker has no interval.
        assert ranker.card.metrics["validation_n_sources"] == 1
        assert ranker.card.metrics["validation_mrr_low"] is None


def test_pairs_of_ones_own(melodies, tmp_path):
    rows = [("query", "reference", "split", "class")]
    for who, split in ((0, "train"), (1, "train"), (2, "validation"), (3, "validation")):
        for word in voices.WORDS[:4]:
            query = f"audio/{word}/{word}_{who}_0.flac"
            # In training a query means either of two recordings.
            others = (4, 5) if split == "train" else (6,)
            rows += [(query, f"audio/{word}/{word}_{other}_1.flac", split, word) for other in others]
    lines(melodies / "pairs.csv", rows, ",")
    where = ["--data", str(melodies), "--run", str(tmp_path / "run")]
    fields = [
        "--corpus=pairs",
        "--epochs=2",
        "--channels=4,8",
        "--name=mine",
        "--query_encoder=lstm",
        "--reference_encoder=crnn",
    ]
    fields += ["--embedding_size=8", "--batch_size=8"]
    assert main(["two_tower", "--loss", "infonce", *where, *fields]) == 0
    with Ranker(tmp_path / "run" / "ranker.onnx", device="cpu", threads=1) as ranker:
        assert ranker.card.metrics["validation_n_queries"] == 8
        assert ranker.card.metrics["validation_n_candidates"] == 4


def test_imitations_have_one_reference_each(tmp_path, capsys):
    where = ["--data", str(voices.imitation_set(tmp_path / "data")), "--run", str(tmp_path / "run")]
    assert main(["two_tower", "--loss", "triplet", *where, "--corpus=imitations"]) == 1
    assert "--targets=canonical" in capsys.readouterr().err


def test_an_epoch_of_an_open_trial_grows_with_its_queries_not_with_its_classes(tmp_path):
    data = trees.esc10_dev(tmp_path, folds=(1, 2, 3, 4))
    config = RankerConfig(corpus="sounds", loss="triplet", query_encoder="small_imitation", batch_size=8)
    config = replace(config, reference_encoder="small_recording")
    towers, network = make_network(config)
    part = features(make_trial(data, config), towers, config)["train"]
    fine, _ = part.distractors(config, np.random.default_rng(0))
    assert len(fine) == len(part.fits) < len(part.distractors(replace(config, targets="canonical"), None)[0])
    assert len(list(batch_losses(network, part, config, np.random.default_rng(0)))) == 4 * len(part.fits) // 8


def test_the_interval_is_wide_where_few_speakers_gave_all():
    values = np.repeat([0.2, 0.8], 50)
    few, many = interval(values, np.repeat(["a", "b"], 50), 0), interval(values, np.arange(100), 0)
    assert few == (pytest.approx(0.2), pytest.approx(0.8))
    assert 0.4 < many[0] < 0.5 < many[1] < 0.6

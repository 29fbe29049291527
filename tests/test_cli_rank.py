"""``engine rank`` over an index on disk: the references are encoded once, and the scores are the ranker's own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from engine import Embedder, Index, Ranker
from engine.audio import load
from engine.errors import ConfigError, ModelError
from tests.test_ranker import noise
from tests.tiny_models import RATE, save
from tests.tiny_towers import QUERY_RATE, save_towers


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_towers(tmp_path_factory.mktemp("models") / "tiny-towers.onnx")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for seed, seconds in enumerate((1, 0.6, 2.5, 1)):
        soundfile.write(folder / f"{seed}.wav", noise(seconds, RATE, seed=seed), RATE, subtype="FLOAT")
    for take in (0, 1):
        (folder.parent / "takes").mkdir(exist_ok=True)
        path = folder.parent / "takes" / f"take{take}.wav"
        soundfile.write(path, noise(1, QUERY_RATE, seed=80 + take), QUERY_RATE, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def takes(sounds):
    return [sounds.parent / "takes" / f"take{take}.wav" for take in (0, 1)]


@pytest.fixture(scope="module")
def library(model, sounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("library") / "lib.index"
    with Index.create(folder, Embedder(model, device="cpu", threads=1)) as index:
        index.add([sounds], tags=["noise"])
        index.save()
    return folder


def test_the_library_holds_what_the_reference_tower_gives(model, sounds, library):
    ranker = Ranker(model, device="cpu", threads=1)
    references = ranker.encode(sorted(sounds.iterdir()))
    with Index.open(library) as index:
        np.testing.assert_array_equal(index.vectors, references.vectors)
        assert np.ptp(np.linalg.norm(index.vectors, axis=1)) > 0.01


def test_ranks_over_a_library_are_those_over_references(model, sounds, library, takes):
    ranker = Ranker(model, device="cpu", threads=1)
    references = ranker.encode(sorted(sounds.iterdir()))
    with Index.open(library) as index:
        stored = ranker.rank(takes[0], index)
    fresh = ranker.rank(takes[0], references)
    assert [(p.rank, p.score, p.path, p.start_s, p.end_s) for p in stored] == [
        (p.rank, p.score, p.path, p.start_s, p.end_s) for p in fresh
    ]
    assert {place.tags for place in stored} == {("noise",)}


def test_formats_agree_with_the_library(engine, model, library, takes):
    with Index.open(library) as index:
        expected = Ranker(model, device="cpu", threads=1).rank(takes[0], index, top_k=3)
    arguments = ("rank", takes[0], "--library", library, "--model", model, "--top-k", 3, "--device", "cpu")
    code, out, _ = engine(*arguments, "--format", "json")
    assert code == 0
    assert json.loads(out) == [place.to_dict() for place in expected]
    code, out, _ = engine(*arguments, "--format", "csv")
    rows = list(csv.DictReader(out.decode().splitlines()))
    assert [(float(row["score"]), row["path"], row["tags"]) for row in rows] == [
        (place.score, place.path, "noise") for place in expected
    ]
    code, out, _ = engine(*arguments)
    lines = out.decode().splitlines()
    assert len(lines) == 3
    assert lines[0].split()[:3] == ["1", f"{expected[0].score:.4f}", expected[0].path]


def test_an_index_built_by_the_command_is_ranked(engine, model, sounds, library, takes, tmp_path):
    built = tmp_path / "built.index"
    code, _, err = engine("index", "build", sounds, "-o", built, "--model", model, "--tag", "noise", "--device", "cpu")
    assert code == 0, err
    of_library, of_built = (
        engine("rank", takes[0], "--library", folder, "--model", model, "--device", "cpu")
        for folder in (library, built)
    )
    assert of_built == of_library
    code, _, err = engine("index", "build", sounds, "-o", tmp_path / "no.index", "--model", model, "--metric", "cosine")
    assert (code, "inner_product" in err) == (2, True)


def test_a_query_from_the_microphone(engine, model, library, takes, monkeypatch):
    monkeypatch.setattr("engine.record.record", lambda _seconds: load(takes[0]))
    arguments = ("--library", library, "--model", model, "--device", "cpu")
    assert engine("rank", "--record", 1, *arguments) == engine("rank", takes[0], *arguments)
    assert engine("rank", *arguments)[0] == 2
    assert engine("rank", takes[0], "--record", 1, *arguments)[0] == 2


def test_takes_and_trim_reach_the_ranker(engine, model, library, takes):
    ranker = Ranker(model, device="cpu", threads=1)
    with Index.open(library) as index:
        expected = ranker.rank(takes, index, takes="fuse", trim_db=None)
    code, out, _ = engine(
        *("rank", *takes, "--library", library, "--model", model, "--takes", "fuse", "--no-trim", "--format", "json")
    )
    assert code == 0
    assert json.loads(out) == [place.to_dict() for place in expected]


def test_the_model_is_found_by_the_name_in_the_index(engine, model, library, takes, monkeypatch):
    monkeypatch.setenv("ENGINE_MODELS", str(model.parent))
    code, out, _ = engine("rank", takes[0], "--library", library, "--device", "cpu")
    assert code == 0
    assert out


def test_output_goes_to_a_new_file_only(engine, model, library, takes, tmp_path):
    target = tmp_path / "ranks.csv"
    arguments = ("rank", takes[0], "--library", library, "--model", model, "--format", "csv", "-o", target)
    assert engine(*arguments)[0] == 0
    written = target.read_bytes()
    code, _, err = engine(*arguments)
    assert (code, "exists" in err) == (1, True)
    assert target.read_bytes() == written


def test_an_embedder_ranks_its_library_by_the_cosine(sounds, takes, tmp_path):
    path = save(tmp_path / "tiny.onnx")
    with Index.create(tmp_path / "lib.index", Embedder(path, device="cpu")) as index:
        index.add([sounds])
        ranker = Ranker(path, device="cpu")
        scores = ranker.scores(takes[0], index)
        np.testing.assert_allclose(scores, ranker.scores(takes[0], ranker.encode(sorted(sounds.iterdir()))), atol=1e-6)


def test_vectors_of_two_towers_are_never_brought_to_length_one(model, tmp_path):
    with pytest.raises(ConfigError, match=r"reference tower.*'cosine'.*inner_product"):
        Index.create(tmp_path / "lib.index", Embedder(model, device="cpu"), "cosine")


def test_the_library_of_another_model_is_refused(engine, library, takes):
    code, _, err = engine("rank", takes[0], "--library", library, "--model", "esc10")
    assert code == 1
    assert "encoded by 'esc10'" in err
    with Index.open(library) as index, pytest.raises(ModelError, match="got one of the model"):
        Ranker("esc10", device="cpu").rank(takes[0], index)


def test_a_missing_library_and_a_silent_query_are_one_sentence(engine, model, library, tmp_path):
    code, _, err = engine("rank", "hum.wav", "--library", tmp_path / "nothing")
    assert (code, err.count("\n")) == (2, 1)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    code, _, err = engine("rank", tmp_path / "silent.wav", "--library", library, "--model", model)
    assert (code, err.count("\n")) == (1, 1)
    assert "silent throughout" in err


def test_the_command_runs_in_a_process_of_its_own(model, library, takes):
    start = "import sys; from engine.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", start, "rank", takes[0], "--library", library, "--model", model, "--device", "cpu"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 6
    assert done.stderr == ""

"""``engine models adopt``: options reach the card, what was derived is printed, mistakes are one sentence."""

from __future__ import annotations

import json
import sys

import pytest

from engine import Tagger
from engine.card import read_card
from engine.cli.main import main
from engine.session import Session
from tests import foreign_models
from tests.tiny_models import FRONTEND, LABELS, RATE, log_mel_network


@pytest.fixture
def engine(monkeypatch, capsys, tmp_path):
    """Run the command in a folder of its own; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["engine", "models", "adopt", *map(str, arguments)])
        capsys.readouterr()
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def card_of(path):
    return read_card(Session(path, "cpu", 1).metadata)


def test_what_is_derived_is_printed(engine, tmp_path):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.waveform_logits())
    options = ["--sample-rate", RATE, "--labels", "labels.txt", "--activation", "sigmoid", "--licence", "MIT"]
    code, out, err = engine("theirs.onnx", "-o", "mine.onnx", *options)
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines()[:-1])
    assert lines == {
        "kind": "waveform",
        "input_axes": "sound: batch,time",
        "window": "400",
        "hop": "400",
        "pad": "zeros",
        "reduce": "max",
        "name": "mine",
        "task": "tag",
        "attribution": "unknown",
        "training_data": "unknown",
        "scores_axes": "logits_sigmoid: batch,label",
    }
    assert out.splitlines()[-1] == "mine.onnx: mine runs, and its golden check is recorded"


def test_every_option_reaches_the_card(engine, tmp_path):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.running_sum())
    code, _, err = engine(
        *("theirs.onnx", "-o", "mine.onnx", "--sample-rate", RATE, "--label", "heard", "--score", "sigmoid"),
        *("--window-s", 0.0125, "--hop", 50, "--context", 4, "--pad", "repeat", "--reduce", "mean"),
        *(
            "--state",
            "total=total_out:1,1",
            "--constant",
            "gain=2",
            "--scores",
            "score",
            "--scores-axes",
            "batch,label",
        ),
        *("--input-axes", "batch, time", "--threshold", 0.4, "--threshold-method", "guessed", "--name", "sum"),
        *("--task", "tag", "--licence", "MIT", "--attribution", "them", "--training-data", "none", "--commit", "v1"),
        *("--metric", "mAP=0.5", "--metric", "n=3"),
    )
    assert (code, err) == (0, "")
    card = card_of(tmp_path / "mine.onnx")
    assert (card.name, card.labels, card.score, card.window, card.hop) == ("sum", ("heard",), "sigmoid", 100, 50)
    assert (card.input.context, card.pad, card.reduce, card.task) == (4, "repeat", "mean", "tag")
    (state,), (constant,) = card.input.states, card.input.constants
    assert (state.name, state.output, state.shape) == ("total", "total_out", (1, 1))
    assert (constant.name, constant.value, constant.dtype) == ("gain", 2, "int64")
    assert (card.thresholds, card.threshold_method) == ({"heard": 0.4}, "guessed")
    assert (card.licence, card.attribution, card.training_data, card.commit) == ("MIT", "them", "none", "v1")
    assert card.metrics == {"mAP": 0.5, "n": 3}


def test_frames_and_embedding_options(engine, tmp_path):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.frame_logits())
    (tmp_path / "frontend.json").write_text(json.dumps(FRONTEND.to_dict()))
    code, out, err = engine(
        *("theirs.onnx", "-o", "mine.onnx", "--frontend", "frontend.json", "--labels", "labels.txt"),
        *("--activation", "softmax", "--frames", "framewise", "--frames-axes", "batch,time,label", "--frame-hop", 80),
        *("--frame-length", 200, "--embedding", "vector", "--embedding-axes", "batch,feature", "--not-normalised"),
        *("--window", 1600, "--pad", "frames", "--frame-padding", -3, "--threshold", "low=0.2", "--threshold", 0.5),
    )
    assert (code, err) == (0, "")
    card = card_of(tmp_path / "mine.onnx")
    assert (card.frontend, card.pad, card.input.frame_padding) == (FRONTEND, "frames", -3)
    assert (card.outputs.frames.name, card.frame_hop, card.frame_length) == ("framewise_softmax", 80, 200)
    assert (card.outputs.embedding.name, card.embedding_size, card.embedding_normalised) == ("vector", 8, False)
    assert card.thresholds == {"low": 0.2, "high": 0.5, "both": 0.5}
    assert "embedding_size" in out
    assert "embedding_normalised" not in out


def test_a_head_on_embeddings(engine, tmp_path):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.row_head())
    code, _, err = engine(
        *("theirs.onnx", "-o", "mine.onnx", "--kind", "embedding", "--row-s", 0.5, "--window-s", 2, "--hop-s", 1),
        *("--labels", "labels.txt", "--score", "softmax"),
    )
    assert (code, err) == (0, "")
    card = card_of(tmp_path / "mine.onnx")
    assert (card.input.kind, card.input.row_s, card.window, card.hop) == ("embedding", 0.5, 4, 2)


def test_a_preset_by_name(engine, tmp_path, shared_data):
    original = shared_data / "models" / "silero_vad" / "silero_vad.onnx"
    code, _, err = engine(
        *(original, "-o", "vad.onnx", "--sample-rate", 16000, "--window", 512, "--context", 64),
        *("--state", "state=stateN", "--constant", "sr=16000", "--label", "speech", "--score", "sigmoid"),
    )
    assert (code, err) == (0, "")
    assert Tagger(tmp_path / "vad.onnx", device="cpu", threads=1).labels == ("speech",)
    foreign_models.save(tmp_path / "theirs.onnx", log_mel_network())
    code, _, err = engine("theirs.onnx", "-o", "mine.onnx", "--frontend", "yamnet", "--labels", "labels.txt")
    assert code == 1
    assert "'mel': 64" in err
    assert "state the order as input_axes" in err


GIVEN = ("theirs.onnx", "-o", "mine.onnx", "--sample-rate", RATE, "--labels", "labels.txt", "--activation", "sigmoid")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--label", "low"], 2, "expected --labels or --label, got both"),
        (["--frontend", "yamnett"], 2, "expected one of the presets"),
        (["--frontend", "labels.txt"], 2, "expected the settings of a front end as JSON in 'labels.txt'"),
        (["--window", 400, "--window-s", 0.05], 2, "expected --window, or --window-s with a front end"),
        (["--state", "total"], 2, "expected INPUT=OUTPUT or INPUT=OUTPUT:2,1,64, got 'total'"),
        (["--state", "total=out:a,b"], 2, "got 'total=out:a,b'"),
        (["--constant", "16000"], 2, "expected NAME=NUMBER, got '16000'"),
        (["--constant", "sr=fast"], 2, "expected NAME=NUMBER, got 'sr=fast'"),
        (["--metric", "mAP=nan"], 2, "expected NAME=NUMBER, got 'mAP=nan'"),
        (["--threshold", "high"], 2, "expected NUMBER or LABEL=NUMBER, got 'high'"),
        (["--threshold", "middle=0.5"], 1, "'thresholds' to be given for labels of the model, got ['middle']"),
        (["--score", "sigmoid", "--scores", "probabilities"], 1, "expected the output 'probabilities' in the graph"),
        (["--labels", "none.txt"], 2, "expected a text file of labels"),
        (["--pad", "ones"], 2, "'ones' is not one of"),
    ],
)
def test_a_mistake_is_one_sentence(engine, tmp_path, options, code, message):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.waveform_logits())
    found, out, err = engine(*GIVEN, *options)
    assert (found, out) == (code, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "mine.onnx").exists()


def test_an_existing_file_is_replaced_on_request_only(engine, tmp_path):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.waveform_logits())
    (tmp_path / "mine.onnx").write_text("precious")
    code, _, err = engine(*GIVEN)
    assert code == 2
    assert "which exists" in err
    assert (tmp_path / "mine.onnx").read_text() == "precious"
    assert engine(*GIVEN, "--overwrite")[0] == 0


def test_seconds_alone_have_no_length(engine, tmp_path):
    foreign_models.save(tmp_path / "theirs.onnx", foreign_models.row_head())
    code, _, err = engine("theirs.onnx", "-o", "m.onnx", "--kind", "embedding", "--window-s", 1)
    assert code == 2
    assert "got seconds alone" in err

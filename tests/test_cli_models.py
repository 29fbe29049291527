"""``engine models``: what is listed, shown and refused, and what comes and goes in the user's folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from engine import Tagger
from engine.card import ModelInput
from engine.card_text import schema_text
from engine.cli.card_view import card_text
from engine.registry import user_models_folder
from tests import test_card, tiny_models
from tests.file_server import serving
from tests.tiny_models import log_mel_card, save, waveform_card


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    card = log_mel_card(attribution="Zoë")
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx", card=card)


@pytest.fixture(autouse=True)
def own(model, tmp_path, monkeypatch):
    """One model is shipped, the user has none."""
    monkeypatch.setattr("engine.registry.models_folder", lambda: model.parent)
    monkeypatch.setattr("engine.registry._data_home", lambda: tmp_path / "data")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "100")
    return user_models_folder()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_refused(result, *words, code=1):
    got, out, err = result
    assert (got, out) == (code, b"")
    assert err.startswith("engine: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def sections(text):
    """{title: {name: value} or text} of a shown card, wrapped lines joined again."""
    shown = {}
    for block in text.rstrip("\n").split("\n\n"):
        title, *lines = block.splitlines()
        if title.startswith(("Labels", "Attribution")):
            shown[title] = " ".join(line.strip() for line in lines)
            continue
        rows = shown[title] = {}
        name = ""
        for line in lines:
            head, _, value = line[2:].partition("  ") if line[2] != " " else ("", "", line)
            name = head or name
            rows[name] = f"{rows.get(name, '')} {value.strip()}".strip()
    return shown


def test_list_says_what_each_model_is_and_where_it_lies(engine, model, own):
    code, out, err = engine("models", "list")
    assert (code, err) == (0, "")
    assert out.decode().split() == ["tiny", "tag", "3", "labels", "8000", "Hz", "package", "Apache-2.0"]
    own.mkdir(parents=True)
    save(own / "tiny.onnx", card=log_mel_card(licence="MIT"))
    save(own / "rows.onnx", tiny_models.waveform_network(), waveform_card())
    lines = [line.split() for line in engine("models", "list")[1].decode().splitlines()]
    assert [(line[0], *line[6:]) for line in lines] == [
        ("rows", "user", "Apache-2.0"),
        ("tiny", "user", "MIT"),
        ("tiny", "package,", "hidden", "Apache-2.0"),
    ]


def test_list_goes_on_past_a_model_that_cannot_be_used(engine, own):
    own.mkdir(parents=True)
    (own / "broken.onnx").write_bytes(b"<html>")
    code, out, err = engine("models", "list")
    assert (code, err) == (0, "")
    broken, tiny = out.decode().splitlines()
    assert broken.split()[:3] == ["broken", "unusable", "user"]
    assert "none that onnxruntime can load" in broken
    assert tiny.startswith("tiny")


def test_list_as_json(engine, model, own):
    own.mkdir(parents=True)
    (own / "tiny.onnx").write_bytes(b"<html>")
    broken, tiny = json.loads(engine("models", "list", "--json")[1])
    assert (broken["origin"], broken["hidden"], broken["card"]) == ("user", False, None)
    assert "none that onnxruntime can load" in broken["error"]
    assert tiny == {
        "name": "tiny",
        "path": str(model),
        "origin": "package",
        "hidden": True,
        "card": Tagger(model).card.to_dict(),
        "error": None,
    }


def test_show_prints_a_card_for_a_person(engine, model):
    code, out, err = engine("models", "show", "tiny")
    assert (code, err) == (0, "")
    shown = sections(out.decode())
    assert shown["tiny, a model to tag"]["file"] == str(model)
    assert shown["Labels (3)"] == "low, high, both"
    assert shown["Sound"]["window"] == "1 s (8000 samples)"
    assert shown["Sound"]["of a clip"] == "the largest of its windows'"
    assert shown["Front end"]["sample_rate"] == "8000"
    assert "zscore" not in shown["Front end"]
    assert shown["Network"]["embedding"] == "embedding (batch, feature), 4 numbers of length one"
    assert shown["Thresholds"]["values"] == "low 0.25, high 0.75"
    assert shown["Metrics"] == {"accuracy.mean": "0.5", "accuracy.folds": "0.25, 0.75"}
    assert shown["Integrity"]["scores"].startswith("3 values from ")
    assert shown["Attribution"] == "Zoë"


@pytest.mark.parametrize("width", [40, 80])
def test_long_lists_are_wrapped(width):
    labels = tuple(f"label number {i}" for i in range(100))
    card = log_mel_card(labels=labels, thresholds={}, threshold_method="")
    text = card_text(card, Path("tiny.onnx"), width)
    assert max(map(len, text.splitlines())) <= max(width, 47)
    assert sections(text)["Labels (100)"] == ", ".join(labels)


def test_what_a_model_lacks_is_not_shown():
    card = waveform_card(thresholds={}, threshold_method="", metrics={})
    shown = sections(card_text(card, Path("tiny.onnx"), 100))
    assert shown.keys() == {"tiny, a model to tag", "Labels (3)", "Sound", "Network", "Integrity"}
    assert shown["Integrity"]["golden check"] == "none"


@pytest.mark.parametrize(
    ("card", "section", "rows"),
    [
        (
            test_card.WITH_STATES,
            "Network",
            {"state": "h [2, 1, 64], next from h_next", "constant": "rate [], always int64 8000"},
        ),
        (test_card.WITH_STATES, "Sound", {"context": "0.008 s (64 samples)"}),
        (test_card.WITH_FRAMES, "Sound", {"frame hop": "0.01 s (80 samples)", "frame": "0.025 s (200 samples)"}),
        (test_card.WITH_FRAMES, "Network", {"frames": "frames (batch, time, label)"}),
        (test_card.WITH_ROWS, "Rows", {"window": "8000 rows (7680 s)"}),
        (
            waveform_card(input=ModelInput("rows", "embedding", ("time", "feature"))),
            "Rows",
            {"window": "8000 rows", "hop": "4000 rows"},
        ),
        (test_card.FRAMES_PADDED, "Sound", {"last window": "left short, its missing frames set to -1.25"}),
        (log_mel_card(metrics={"confusion": [[1, 2], [3, 4]]}), "Metrics", {"confusion": "2 rows, which --json shows"}),
    ],
    ids=["network", "context", "times", "frames", "rows", "unknown rows", "padding", "tables"],
)
def test_what_a_model_has_is_shown(card, section, rows):
    shown = sections(card_text(card, Path("tiny.onnx"), 100))[section]
    assert {name: shown[name] for name in rows} == rows


def test_text_from_strangers_cannot_steer_the_terminal():
    bell = log_mel_card(attribution="\x1b[2J\x07boo", labels=("a\x9bb", "\u202ec", "d"), thresholds={"\u202ec": 1})
    assert card_text(bell, Path("tiny.onnx"), 100).replace("\n", "").isprintable()


def test_show_as_json_is_the_card(engine, model):
    code, out, err = engine("models", "show", model, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == Tagger(model).card.to_dict()
    assert list(json.loads(out))[:3] == ["name", "task", "labels"]
    assert "Zoë" in out.decode()


def test_show_prints_the_schema(engine):
    code, out, err = engine("models", "show", "--schema")
    assert (code, err) == (0, "")
    assert out.decode() == schema_text()


@pytest.mark.parametrize("arguments", [(), ("tiny", "--schema")])
def test_show_wants_a_model_or_the_schema(engine, arguments):
    code, out, err = engine("models", "show", *arguments)
    assert (code, out) == (2, b"")
    assert "expected either the name or path of a model, or --schema" in err


def test_verify(engine, model, tmp_path):
    code, out, err = engine("models", "verify", "tiny")
    assert (code, err) == (0, "")
    assert out.startswith(b"tiny is intact")
    changed = bytearray(model.read_bytes())
    at = changed.find(tiny_models.WEIGHTS.tobytes())
    assert at > 0
    changed[at] ^= 1
    (tmp_path / "changed.onnx").write_bytes(changed)
    check_refused(engine("models", "verify", tmp_path / "changed.onnx"), "changed")
    check_refused(engine("models", "verify", "no-such-model"), "'no-such-model', which is neither")


def test_add_and_remove(engine, model, own, tmp_path):
    other = save(tmp_path / "other.onnx", card=log_mel_card(name="mine"))
    code, out, err = engine("models", "add", other, "--sha256", sha256(other))
    assert (code, out.decode(), err) == (0, f"mine is at {own / 'mine.onnx'}\n", "")
    assert engine("models", "show", "mine")[0] == 0
    check_refused(engine("models", "add", other), "expected a new name, got 'mine'")
    assert engine("models", "add", other, "--overwrite")[0] == 0
    assert engine("models", "add", other, "--name", "yours")[0] == 0
    check_refused(engine("models", "add", tmp_path / "absent.onnx"), "found none at")
    check_refused(engine("models", "remove", "tiny"), "(mine, yours), got 'tiny'")
    assert engine("models", "remove", "mine")[:2] == (0, f"removed {own / 'mine.onnx'}\n".encode())
    check_refused(engine("models", "show", "mine"), "'mine', which is neither")


def test_add_behind_a_listed_model_says_so(engine, model, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_MODELS", str(model.parent))
    code, out, err = engine("models", "add", model, "--overwrite")
    assert (code, err) == (0, "")
    assert out.endswith(b"tiny.onnx, hidden by another model of that name\n")


def test_fetch(engine, model, own):
    with serving(model.read_bytes()) as server:
        code, out, err = engine("models", "fetch", server.url, "--sha256", sha256(model), "--name", "far")
        assert (code, out.decode()) == (0, f"far is at {own / 'far.onnx'}\n")
        assert err == ""
        check_refused(engine("models", "fetch", server.url, "--sha256", "0" * 64), "and deleted it")
    assert engine("models", "fetch", server.url)[0] == 2


def test_fetch_shows_its_progress_to_who_watches(engine, model, monkeypatch):
    class Terminal:
        def __init__(self, stream):
            self.stream = stream

        def isatty(self):
            return True

        def __getattr__(self, name):
            return getattr(self.stream, name)

    import sys

    with serving(model.read_bytes()) as server:
        for quiet, name in (((), "a"), (("--quiet",), "b")):
            monkeypatch.setattr(sys, "stderr", Terminal(sys.__stderr__))
            command = ("models", "fetch", server.url, "--sha256", sha256(model), "--name", name, *quiet)
            code, _, err = engine(*command)
            assert code == 0
            assert ("B/s" in err) == (not quiet)


def test_nothing_but_fetch_the_cluster_and_the_page_knows_the_network():
    """Whoever imports it could use it; a run on a cluster is called back by its own workers, a page is asked for."""
    root = Path(__file__).resolve().parent.parent / "engine"
    words = ("urllib", "http.client", "socket", "requests", "httpx", "ftplib")
    knowing = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("import ", "from ")) and any(word in line for word in words)
    }
    page = {"app/guard.py", "app/server.py", "app/settings.py"}
    assert knowing == {"fetch.py", "archive/cluster.py"} | page

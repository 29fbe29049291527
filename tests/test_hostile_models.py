"""Models made to harm: refused with a ModelError in one sentence, or kept where they harm nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine import registry
from engine.card import read_card
from engine.errors import ModelError
from engine.fingerprint import METADATA_KEY, canonical_json, card_sha256
from engine.install import add_model
from engine.model import Model
from engine.probe import verify_apart
from tests import hostile_models, tiny_models

ROOT = Path(__file__).resolve().parent.parent
OPENED = {
    "custom operator": (hostile_models.custom_operator, "is not a registered function/op"),
    "python operator": (hostile_models.python_operator, "is not a registered function/op"),
    "recursive function": (hostile_models.recursive_function, "none that onnxruntime can load"),
    "negative length": (hostile_models.negative_initializer, "none that onnxruntime can load"),
    "overflowing length": (hostile_models.overflowing_initializer, "none that onnxruntime can load"),
    "negative shape": (lambda: hostile_models.enormous_constant([-5]), "must have non-negative elements"),
}
SHAPES = {"overflows": [2**40, 2**40], "exbibyte": [2**30, 2**28]}


def open_bytes(tmp_path, content):
    path = tmp_path / "hostile.onnx"
    path.write_bytes(content)
    return Model.open(path, device="cpu", threads=1)


def check_sentence(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    assert "hostile.onnx" in message


@pytest.mark.parametrize("name", OPENED)
def test_a_graph_that_no_engine_should_run_is_refused(tmp_path, name):
    make, words = OPENED[name]
    with pytest.raises(ModelError, match=words) as caught:
        open_bytes(tmp_path, make())
    check_sentence(caught)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_absurd_shape_is_not_allocated_when_the_model_is_opened_and_refused_when_it_runs(tmp_path, shape):
    model = open_bytes(tmp_path, hostile_models.enormous_constant(shape))
    with pytest.raises(ModelError, match="onnxruntime failed"):
        model((np.zeros(1000, np.float32), tiny_models.RATE))


@pytest.mark.parametrize(
    "lie",
    [
        {"labels": ["low", "high", "both", "none"]},
        {"labels": ["low"], "thresholds": {}, "threshold_method": ""},
        {"embedding_size": 5},
        {"window": 80_000_000, "hop": 1, "input": "elsewhere"},
    ],
    ids=["more labels", "fewer labels", "longer embedding", "another input"],
)
def test_a_card_that_lies_about_its_network_is_refused(tmp_path, lie):
    import onnx

    model = onnx.load(tiny_models.save(tmp_path / "tiny.onnx"))
    (entry,) = model.metadata_props
    values = read_card({METADATA_KEY: entry.value}).to_dict() | {"golden": None}
    if "input" in lie:
        lie = lie | {"input": values["input"] | {"name": lie["input"]}}
    values |= lie
    entry.value = canonical_json(values | {"card_sha256": card_sha256(values)})
    with pytest.raises(ModelError, match="card") as caught:
        open_bytes(tmp_path, model.SerializeToString())
    check_sentence(caught)


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"a":' * 5000 + "1" + "}" * 5000, '{"name": "' + "x" * (1 << 22) + '"}', "\x00", '"\\ud800"'],
    ids=["brackets", "objects", "long", "zero", "half a character"],
)
def test_a_card_that_is_too_deep_or_too_long_is_refused(tmp_path, text):
    network = tiny_models.log_mel_network()
    network.metadata_props.add(key=METADATA_KEY, value=text)
    with pytest.raises(ModelError, match=r"expected (the card to be a JSON object|a card of at most)") as caught:
        open_bytes(tmp_path, network.SerializeToString())
    check_sentence(caught)


def test_names_that_are_no_text_are_refused(tmp_path):
    content = tiny_models.save(tmp_path / "tiny.onnx").read_bytes()
    for name in (b"embedding", METADATA_KEY.encode()):
        with pytest.raises(ModelError) as caught:
            open_bytes(tmp_path, content.replace(name, b"\xff" + name[1:]))
        check_sentence(caught)


# What onnxruntime cannot be kept from is kept out of this process.


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_data_home", lambda: tmp_path / "data")
    return registry.user_models_folder()


def write(tmp_path, content):
    path = tmp_path / "hostile.onnx"
    path.write_bytes(content)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="a crash has no signal there")
def test_a_model_that_crashes_the_runtime_is_not_added(own, tmp_path):
    path = write(tmp_path, hostile_models.division_that_overflows())
    alone = subprocess.run(
        [sys.executable, "-m", "engine", "models", "show", str(path)], capture_output=True, check=False
    )
    if alone.returncode >= 0:
        pytest.skip("this onnxruntime survives it, or this processor does")
    with pytest.raises(ModelError, match=r"hostile\.onnx: .* got one that crashes it \(SIGFPE\)") as caught:
        add_model(path)
    check_sentence(caught)
    assert list(own.iterdir()) == []


def test_a_model_that_takes_for_ever_is_not_waited_for(tmp_path):
    path = write(tmp_path, hostile_models.doubling_functions(40))
    with pytest.raises(ModelError, match=r"hostile\.onnx: expected a model that can be checked within 3 s") as caught:
        verify_apart(path, seconds=3)
    check_sentence(caught)


def test_a_process_that_ends_without_an_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.probe.PROGRAM", "raise SystemExit('no such module')")
    with pytest.raises(ModelError, match="expected the check of the model to end, it failed: no such module"):
        verify_apart(write(tmp_path, b"x"))


@pytest.mark.parametrize("way", ["executable", "frozen"])
def test_where_no_other_python_can_be_started_the_model_is_verified_here(tmp_path, monkeypatch, way):
    monkeypatch.setattr(sys, way, "" if way == "executable" else True, raising=False)
    monkeypatch.setattr(subprocess, "run", None)
    assert verify_apart(tiny_models.save(tmp_path / "tiny.onnx")) == "tiny"


def test_a_sound_model_passes_in_another_process(tmp_path):
    assert verify_apart(tiny_models.save(tmp_path / "tiny.onnx")) == "tiny"
    with pytest.raises(ModelError, match=r"hostile\.onnx: .* a model with a card"):
        verify_apart(write(tmp_path, tiny_models.log_mel_network().SerializeToString()))


def test_three_hundred_damaged_models_are_opened_or_refused():
    # The tests come last on the path, so that the engine is the one that is installed.
    start = f"import sys; sys.path.append({str(ROOT)!r}); from tests.fuzz_models import main; main()"
    command = [sys.executable, "-c", start, "--cases", "300", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    for way in ("damaged_bytes", "damaged_card", "damaged_graph"):
        for outcome in ("ran", "refused to open"):
            assert f"{way}: {outcome}" in done.stdout

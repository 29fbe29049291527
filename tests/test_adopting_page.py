"""docs/adopting-models.md from top to bottom: its commands run on stand-ins for the published weights."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from onnx import helper

from engine.audio import load
from engine.cli.main import main as engine
from tests import foreign_models, tiny_models
from tests.training.checkpoints import ast_folder, beats_checkpoint, cnn14_checkpoint, cnn14_weights
from training.__main__ import main as training

PAGE = Path(__file__).resolve().parent.parent / "docs" / "adopting-models.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", flags=re.MULTILINE | re.DOTALL)

RECORDINGS = {"speech": "fsdd_dev/recordings/7_jackson_3.flac", "bark": "esc10_dev/audio/1-100032-A-0.ogg"}

# AST's third band holds no bin of its transform, which the front end says.
pytestmark = pytest.mark.filterwarnings("ignore:mel filters")


@pytest.fixture
def downloads(tmp_path, monkeypatch, shared_data):
    """A folder with everything the page names: real files where there are any, random weights elsewhere."""
    monkeypatch.chdir(tmp_path)
    models = shared_data / "models"
    shutil.copy(models / "silero_vad" / "silero_vad.onnx", "silero_vad.onnx")
    shutil.copy(models / "yamnet" / "yamnet_classification.tflite", "yamnet.tflite")
    shutil.copy(models / "yamnet" / "yamnet_class_map.csv", "yamnet_class_map.csv")
    table = "".join(f'{number},/m/{number},"label {number}, made up"\n' for number in range(527))
    Path("class_labels_indices.csv").write_text("index,mid,display_name\n" + table)
    cnn14_checkpoint(Path("Cnn14_mAP=0.431.pth"), cnn14_weights(width=1, n_labels=527))
    ast_folder(Path("ast-finetuned-audioset-10-10-0.4593"))
    labels = {0: "/m/09x0r", 1: "/m/0bt9lr"}
    beats_checkpoint(Path("BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt"), n_labels=2, label_dict=labels)
    foreign_models.save(Path("theirs.onnx"), panns_like())
    for name, source in RECORDINGS.items():
        samples, rate = load(shared_data / source)
        soundfile.write(f"{name}.wav", samples, rate)


def panns_like():
    """Logits of 527 labels from log-mel (batch, 1, 1001, 64)."""
    nodes = [
        helper.make_node("ReduceMean", ["log_mel", "inner"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["clipwise"]),
    ]
    weights = np.random.default_rng(0).normal(0, 0.01, (64, 527)).astype(np.float32)
    constants = {"inner": np.array([1, 2]), "weights": weights}
    return tiny_models.build(nodes, {"log_mel": ["batch", 1, 1001, 64]}, {"clipwise": ["batch", 527]}, constants)


def run(command, monkeypatch):
    program, *arguments = shlex.split(command)
    if program == "engine":
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        return engine()
    assert [program, *arguments[:2]] == ["python", "-m", "training"]
    return training(arguments[2:])


@pytest.mark.slow
@pytest.mark.usefixtures("downloads")
def test_the_page_runs_and_prints_what_it_shows(monkeypatch, capsys):
    names = {"__name__": "__main__"}
    blocks = BLOCK.findall(PAGE.read_text())
    assert [language for language, *_ in blocks].count("sh") == 6
    for language, code, shown in blocks:
        capsys.readouterr()
        if language == "sh":
            assert run(code.replace("\\\n", " "), monkeypatch) == 0, code
        else:
            exec(compile(code, str(PAGE), "exec"), names)
        printed = capsys.readouterr().out
        assert printed == shown if shown else printed


def test_every_option_of_the_table_exists():
    from engine.cli.adopt import adopt

    options = {name for parameter in adopt.params for name in parameter.opts}
    table = "".join(line for line in PAGE.read_text().splitlines(keepends=True) if line.startswith("|"))
    named = set(re.findall(r"--[a-z][a-z-]+", table))
    assert len(named) > 20
    assert named <= options

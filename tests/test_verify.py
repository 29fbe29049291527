from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from engine import FrontendConfig
from engine import model as model_module
from engine.card import ModelInput, ModelOutput, ModelOutputs, read_card, write_card
from engine.errors import ModelError
from engine.fingerprint import METADATA_KEY
from engine.frontend import LogMel
from engine.golden import synthetic_clip
from engine.registry import model_names
from engine.verify import record_golden, verify_model
from tests.tiny_models import build, log_mel_card, log_mel_network, save, waveform_card, waveform_network

VERIFY_ALL = """
import sys
from engine import _kernels
from engine.verify import verify_model
print(_kernels.isa())
for model in sys.argv[1:]:
    print(model, verify_model(model).golden_error)
"""


def card_entry(model):
    return next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)


def card_of(model):
    return read_card({METADATA_KEY: card_entry(model).value})


def test_untouched_model_passes(tmp_path):
    path = save(tmp_path / "tiny.onnx")
    result = verify_model(path)
    assert result.path == path
    assert result.card == card_of(onnx.load(path))
    assert result.golden_error <= 1e-6


def test_golden_holds_the_outputs_of_the_engine(tmp_path):
    golden = verify_model(save(tmp_path / "tiny.onnx")).card.golden
    assert len(golden.scores) == 3
    assert all(0 < score < 1 for score in golden.scores)
    assert np.linalg.norm(golden.embedding) == pytest.approx(1, abs=1e-6)
    assert golden.tolerance == 1e-4


def test_the_tolerance_grows_with_values_above_one():
    network = log_mel_network()
    projection = next(tensor for tensor in network.graph.initializer if tensor.name == "projection")
    large = onnx.numpy_helper.to_array(projection) * 1000
    projection.CopyFrom(onnx.numpy_helper.from_array(large, "projection"))
    network.graph.node[-1].op_type = "Identity"
    del network.graph.node[-1].attribute[:]
    golden = record_golden(network, log_mel_card(embedding_normalised=False)).golden
    assert golden.tolerance == pytest.approx(1e-4 * np.abs(golden.embedding).max())
    assert golden.tolerance > 0.01


def test_golden_of_a_model_without_embedding(tmp_path):
    card = verify_model(save(tmp_path / "tiny.onnx", waveform_network(), waveform_card())).card
    assert card.golden.embedding is None


def rows_network(width):
    """The mean of the rows, times a matrix that tells every feature apart."""
    nodes = [
        helper.make_node("ReduceMean", ["rows", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    weights = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    constants = {"time_axis": np.array([1]), "weights": weights}
    return build(nodes, {"rows": ["batch", "time", width]}, {"scores": ["batch", 3]}, constants)


def rows_card():
    return waveform_card(input=ModelInput("rows", "embedding", ("batch", "time", "feature")), window=6, hop=6)


def test_golden_of_a_model_that_takes_rows(tmp_path):
    result = verify_model(save(tmp_path / "rows.onnx", rows_network(5), rows_card()))
    assert result.golden_error == 0
    rows = synthetic_clip("bursts-chirp-clicks", 30, 20).reshape(6, 5)
    np.testing.assert_allclose(
        result.card.golden.scores, rows.mean(axis=0) @ np.linspace(-1, 1, 15).reshape(5, 3), rtol=1e-5, atol=1e-7
    )


def test_rows_of_any_width_have_no_golden_check():
    with pytest.raises(ModelError, match=r"one width, for its golden check, 'tiny' takes any"):
        record_golden(rows_network("width"), rows_card())


def test_hashes_are_enough_where_no_golden_is_needed(tmp_path):
    path = tmp_path / "bare.onnx"
    path.write_bytes(write_card(log_mel_network(), log_mel_card()).SerializeToString())
    assert verify_model(path, golden_needed=False).golden_error is None


def test_golden_of_a_model_with_frames_only_holds_its_reduced_scores(tmp_path):
    frames = ModelOutputs(frames=ModelOutput("frames", ("batch", "time", "label")))
    card = waveform_card(outputs=frames, frame_hop=1, frame_length=1, window=40, hop=40, reduce="max")
    nodes = [helper.make_node("MatMul", ["waveform", "weights"], ["frames"])]
    shapes = {"waveform": ["batch", "time", 1]}
    network = build(nodes, shapes, {"frames": ["batch", "time", 3]}, {"weights": np.array([[1, 2, -1]], np.float32)})
    card = replace(card, input=ModelInput("waveform", "waveform", ("batch", "time", "channel"), sample_rate=8000))
    golden = verify_model(save(tmp_path / "frames.onnx", network, card)).card.golden
    samples = synthetic_clip("bursts-chirp-clicks", 40, 8000)
    assert golden.scores == pytest.approx([samples.max(), 2 * samples.max(), -samples.min()])


@pytest.mark.parametrize("tensor", ["weights", "bias", "projection"])
def test_one_changed_weight_is_the_networks_fault(tmp_path, tensor):
    path = save(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    weights = next(t for t in model.graph.initializer if t.name == tensor)
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[-1] = np.nextafter(values.flat[-1], np.float32(9))
    weights.CopyFrom(onnx.numpy_helper.from_array(values, tensor))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="model_sha256: weights or graph were changed"):
        verify_model(path)


def test_one_changed_label_is_the_cards_fault(tmp_path):
    path = save(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    card_entry(model).value = card_entry(model).value.replace('"both"', '"loud"')
    onnx.save(model, path)
    with pytest.raises(ModelError, match="card_sha256: the card was changed"):
        verify_model(path)


def test_saving_the_model_again_with_onnx_changes_nothing(tmp_path):
    path = save(tmp_path / "tiny.onnx")
    onnx.save(onnx.load(path), path)
    verify_model(path)


@pytest.mark.parametrize(("shift", "passes"), [(0.5e-4, True), (2e-4, False)])
@pytest.mark.parametrize("output", ["scores", "embedding"])
def test_golden_is_held_to_its_tolerance(tmp_path, output, shift, passes):
    network = log_mel_network()
    golden = record_golden(network, log_mel_card()).golden
    values = getattr(golden, output)
    off = replace(golden, **{output: (*values[:-1], values[-1] + shift)})
    path = tmp_path / "off.onnx"
    path.write_bytes(write_card(network, log_mel_card(golden=off)).SerializeToString())
    if passes:
        assert verify_model(path).golden_error == pytest.approx(shift, rel=0.1)
    else:
        with pytest.raises(ModelError, match=r"within 0.0001 .* 0.0002 off"):
            verify_model(path)


def test_golden_sees_a_front_end_that_computes_something_else(tmp_path, monkeypatch):
    path = save(tmp_path / "tiny.onnx")

    def other_front_end(config: FrontendConfig, **options: Any):
        return LogMel(replace(config, window="hamming"), **options)

    monkeypatch.setattr(model_module, "LogMel", other_front_end)
    with pytest.raises(ModelError, match="golden"):
        verify_model(path)


def test_model_without_golden_is_refused(tmp_path):
    path = tmp_path / "bare.onnx"
    path.write_bytes(write_card(log_mel_network(), log_mel_card()).SerializeToString())
    with pytest.raises(ModelError, match="without; export"):
        verify_model(path)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512", "avx512vnni", "neon"])
def test_models_verify_on_every_instruction_set(tmp_path, isa):
    tiny = save(tmp_path / "tiny.onnx")
    command = [sys.executable, "-c", VERIFY_ALL, str(tiny), *model_names()]
    done = subprocess.run(command, env=os.environ | {"ENGINE_ISA": isa}, capture_output=True, text=True, check=False)
    if isa != "baseline" and "environment variable ENGINE_ISA to be one of" in done.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == isa
    assert len(done.stdout.splitlines()) == 2 + len(model_names())

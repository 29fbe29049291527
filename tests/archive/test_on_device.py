"""What an archive is run with on a GPU: measured on a device that is made up, kept with the plan, found again."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from functools import partial

import numpy as np
import onnx
import pytest
import soundfile

from engine.archive.on_device import OnDevice, begun_with, choose, variants_of
from engine.archive.plan import MANIFEST, Plan
from engine.archive.read import open_archive
from engine.archive.run import run
from engine.convert.variants import convert_model
from engine.errors import ConfigError
from engine.model import Model
from engine.network import Network
from tests.test_device_buffers import OnAnotherDevice
from tests.tiny_models import RATE, log_mel_network, save

WINDOWS = {"window_s": 1.0, "hop_s": 0.5}


def another(path):
    """Write a model that differs in its weights only."""
    network = log_mel_network()
    bias = next(each for each in network.graph.initializer if each.name == "bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "bias"))
    return save(path, network)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model and its waveform variant in one folder."""
    folder = tmp_path_factory.mktemp("pair")
    path = save(folder / "tiny.onnx")
    return path, convert_model(path, "waveform", folder).path


def open_elsewhere(path, _device, threads):
    return Model(OnAnotherDevice(path, "cpu", threads), Model.open(path, "cpu", threads).card)


def slowed(monkeypatch, slow_kind, *, call_s=0.0, window_s=0.0):
    """Make networks of one kind of input slow: each call, or each window of it."""
    run_network = Network.run

    def patient(network, contents, state):
        if network.card.input.kind == slow_kind:
            time.sleep(call_s + window_s * len(contents))
        return run_network(network, contents, state)

    monkeypatch.setattr(Network, "run", patient)


@pytest.mark.parametrize(("slow_kind", "chosen"), [("waveform", 0), ("log_mel", 1)])
def test_the_faster_of_model_and_variant_is_taken(pair, monkeypatch, caplog, slow_kind, chosen):
    slowed(monkeypatch, slow_kind, window_s=0.01)
    with caplog.at_level(logging.INFO, "engine"):
        got = choose(pair[0], WINDOWS, "cuda", open_elsewhere)
    assert got.path == pair[chosen]
    assert f"run with {pair[chosen].name}, {got.batch_size} windows at a time" in caplog.text
    assert all(path.name in caplog.text for path in pair)


def test_a_call_that_costs_the_same_for_any_number_of_windows_gets_many(pair, monkeypatch):
    alone = shutil.copy(pair[0], pair[0].with_name("alone.onnx"))
    slowed(monkeypatch, "log_mel", call_s=0.004)
    got = choose(alone, WINDOWS, "auto", open_elsewhere)
    assert got.path == alone
    assert got.batch_size >= 16


def test_what_is_hardly_faster_is_no_reason_to_change(pair, monkeypatch):
    rates = {"log_mel": 100.0, "waveform": 104.0}
    monkeypatch.setattr(
        "engine.archive.on_device._windows_per_s", lambda model, _options: (rates[model.card.input.kind], 4)
    )
    assert choose(pair[0], WINDOWS, "cuda", open_elsewhere) == OnDevice(pair[0], 4)
    rates["waveform"] = 106.0
    assert choose(pair[0], WINDOWS, "cuda", open_elsewhere) == OnDevice(pair[1], 4)


def test_on_a_cpu_nothing_is_measured(pair, monkeypatch):
    monkeypatch.delattr("engine.archive.on_device._windows_per_s")
    assert choose(pair[0], WINDOWS, "cpu") == OnDevice(pair[0], None)
    assert choose(pair[0], WINDOWS, "auto", lambda path, _, threads: Model.open(path, "cpu", threads)).path == pair[0]


def test_only_a_variant_that_was_made_from_this_very_model_counts(pair, tmp_path, caplog):
    card = Model.open(pair[0], "cpu", 1).card
    assert list(variants_of(pair[0], card)) == [pair[1]]
    other = another(tmp_path / "tiny.onnx")
    changed = Model.open(other, "cpu", 1).card
    assert list(variants_of(other, changed)) == []
    shutil.copy(pair[1], tmp_path / "tiny-waveform.onnx")
    assert list(variants_of(other, changed)) == []
    (tmp_path / "tiny-waveform.onnx").write_bytes(b"damaged")
    assert list(variants_of(other, changed)) == []
    assert "tiny-waveform.onnx is left out: expected an ONNX model" in caplog.text


@pytest.fixture
def chosen(pair, tmp_path, monkeypatch):
    """An archive that was run with the variant, as if a GPU had been faster with it."""
    for number in range(3):
        noise = np.random.default_rng(number).standard_normal(4 * RATE) / 10
        soundfile.write(tmp_path / f"{number}.wav", noise, RATE)
    monkeypatch.setattr(sys.modules["engine.archive.run"], "choose", lambda *_: OnDevice(pair[1], 4))
    start = partial(run, workers=1, device="cpu")
    assert start([tmp_path / "0.wav", tmp_path / "1.wav"], tmp_path / "out", pair[0]).n_failed == 0
    # A measurement that came out differently later must not count.
    monkeypatch.setattr(sys.modules["engine.archive.run"], "choose", lambda path, *_: OnDevice(path, 32))
    return tmp_path, start


def test_what_was_chosen_is_kept_with_the_plan_and_holds_when_resumed(pair, chosen):
    folder, start = chosen
    plan = Plan(folder / "out" / MANIFEST)
    assert (plan.model, plan.settings.model, plan.settings.batch_size) == (str(pair[1]), "tiny-waveform", 4)
    for number, model in enumerate((None, pair[0], pair[1])):
        added = shutil.copy(folder / "2.wav", folder / f"added {number}.wav")
        summary = start([added], folder / "out", model, resume=True)
        assert (summary.n_run, summary.n_failed) == (1, 0)
        assert Plan(folder / "out" / MANIFEST).settings == plan.settings
    want = Model.open(pair[1], "cpu", 1).card.model_sha256
    archive = open_archive(folder / "out")
    assert {row for batch in archive.files() for row in batch["model_sha256"].to_pylist()} == {want}


def test_another_model_is_still_refused(pair, chosen):
    folder, start = chosen
    other = another(folder / "other.onnx")
    assert begun_with(other, "0" * 64) == other
    with pytest.raises(ConfigError, match="settings that the archive was begun with"):
        start([], folder / "out", other, resume=True)

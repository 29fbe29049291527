"""Whole benchmarks of tiny models."""

from __future__ import annotations

import hashlib
import statistics
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import engine.bench.sweep as sweep_module
from engine import Tagger
from engine.batch_sweep import BatchSweep, Trial
from engine.bench.choice import variant_lines
from engine.bench.clip import clip
from engine.bench.plan import Plan
from engine.bench.sweep import run_plan
from engine.card import ModelInput
from engine.convert import convert_model
from engine.errors import DeviceError, ModelError
from tests.tiny_models import RATE, build, save, waveform_card, waveform_network

QUICK = {"devices": ("cpu",), "threads": (1,), "repeats": 10, "cold": 0}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(save(tmp_path_factory.mktemp("models") / "tiny.onnx"))


def test_every_row_that_was_asked_for(path):
    said = []
    plan = Plan(
        models=(path,),
        devices=("cpu",),
        threads=(1, 2),
        batches=(1, 4),
        durations_s=(0.5, 1.0),
        clients=(1, 2),
        stages=True,
        repeats=10,
        cold=1,
    )
    report = run_plan(plan, said.append)
    assert said == ["tiny on cpu, 1 thread", "tiny on cpu, 2 threads"]
    assert [row.setting for row in report.rows] == sorted(row.setting for row in report.rows)
    keys = [(row.measure, row.count, row.audio_s) for row in report.rows if row.threads == 1]
    stages = ["decode wav", "decode flac", "decode ogg", "resample", "log-mel", "network", "post"]
    cold = ["import onnxruntime", "import engine", "load", "first call", "first result", "second call"]
    assert keys == [
        ("call", 1, 0.5),
        ("clients", 1, 0.5),
        ("clients", 2, 0.5),
        ("call", 1, 1.0),
        *((stage, 1, 0.5) for stage in stages),
        *((stage, 1, 1.0) for stage in stages),
        ("batch", 1, 1.0),
        ("batch", 4, 2.5),  # four windows of a second, half a second apart
        *((f"cold {phase}", 1, 0.5) for phase in cold),
    ]
    assert len({row.key for row in report.rows}) == len(report.rows)
    assert {row.summary.n for row in report.rows if not row.measure.startswith("cold")} == {10, 20}
    assert {row.per_run for row in report.rows} == {None, 1}
    assert [memory.setting for memory in report.memory] == [("tiny", "cpu", 1), ("tiny", "cpu", 2)]
    assert all(30e6 < peak < 1e9 for memory in report.memory for peak in memory.peak_bytes)


def test_the_report_says_what_it_depends_on(path):
    report = run_plan(Plan(models=(path,), **QUICK))
    tagger = Tagger(path, "cpu", 1)
    (model,) = report.models
    assert model["name"] == "tiny"
    assert model["model_sha256"] == tagger.card.model_sha256 is not None
    assert model["card_sha256"] == tagger.card.card_sha256
    assert model["file_sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert (model["sample_rate"], model["window_s"], model["hop_s"]) == (RATE, 1.0, 0.5)
    assert report.machine["cpus"] <= report.machine["cores"]
    assert report.machine["kernels"] in ("baseline", "avx2", "avx512", "avx512vnni", "neon")
    assert report.versions["numpy"] == np.__version__
    assert report.settings["repeats"] == 10
    assert report.to_json()


def test_models_are_measured_side_by_side(path, tmp_path):
    other = str(save(tmp_path / "wave.onnx", waveform_network(), waveform_card(name="wave")))
    assert {row.model for row in run_plan(Plan(models=(path, other), **QUICK)).rows} == {"tiny", "wave"}


def test_two_models_of_one_name_are_refused(path):
    with pytest.raises(ModelError, match="names of their own, got tiny more than once"):
        run_plan(Plan(models=(path, path), **QUICK))


def test_a_model_for_embeddings_is_refused(tmp_path):
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["rows", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"axis": np.array([1]), "weights": np.ones((5, 3), np.float32)}
    network = build(nodes, {"rows": ["batch", "time", 5]}, {"scores": ["batch", 3]}, constants)
    from engine.card import write_card

    card = waveform_card(input=ModelInput("rows", "embedding", ("batch", "time", "feature")), window=10, hop=10)
    path = tmp_path / "head.onnx"
    path.write_bytes(write_card(network, card).SerializeToString())
    with pytest.raises(ModelError, match="expected a model that takes sound"):
        run_plan(Plan(models=(str(path),), **QUICK))


def test_the_best_batch_is_measured_and_told(path, monkeypatch):
    found = BatchSweep((101, 8), (Trial(1, 100.0), Trial(2, 190.0), Trial(4, 195.0)), 2, "no faster")
    monkeypatch.setattr(sweep_module.Verb, "batch_sweeps", (found,))
    report = run_plan(Plan(models=(path,), **QUICK | {"batches": (1, "auto", 2)}))
    assert [row.count for row in report.rows if row.measure == "batch"] == [1, 2]
    assert report.batch_sweeps == ({"model": "tiny", "device": "cpu", "threads": 1} | found.to_dict(),)
    monkeypatch.setattr(sweep_module.Verb, "batch_sweeps", ())
    report = run_plan(Plan(models=(path,), **QUICK | {"batches": ("auto", 3)}))
    assert [row.count for row in report.rows if row.measure == "batch"] == [1, 3]
    assert report.batch_sweeps == ()


def test_a_model_and_its_variant_are_compared(path, tmp_path):
    variant = convert_model(path, "waveform", tmp_path).path
    report = run_plan(Plan(models=(path, str(variant)), **QUICK | {"durations_s": (1.0,), "batches": (2,)}))
    lines = list(variant_lines(report))
    assert [line.split(" takes ")[0] for line in lines] == [
        "tiny-waveform on cpu, 1 thread: call 1 s",
        "tiny-waveform on cpu, 1 thread: batch of 2, 1 at a time",
    ]


def test_a_device_that_fails_for_a_model_is_skipped_only_by_all(path, monkeypatch):
    opened = sweep_module.Verb

    def verb(model, device, threads):
        if device != "cpu":
            raise DeviceError("expected cuda:0 to run, it is full; free it")
        return opened(model, device, threads)

    monkeypatch.setattr(sweep_module, "Verb", verb)
    skipping = []

    def devices(asked):
        return ["cpu", "cuda:0"], list(skipping)

    monkeypatch.setattr(sweep_module, "find_devices", devices)
    report = run_plan(Plan(models=(path,), **QUICK | {"devices": ("all",)}))
    assert {row.device for row in report.rows} == {"cpu"}
    assert report.skipped == ("tiny on cuda:0: expected cuda:0 to run, it is full; free it",)
    with pytest.raises(DeviceError, match="it is full"):
        run_plan(Plan(models=(path,), **QUICK | {"devices": ("cpu", "cuda:0")}))


def test_the_device_is_read_back(path, monkeypatch):
    monkeypatch.setattr(sweep_module.Verb, "device", property(lambda verb: "elsewhere"))
    monkeypatch.setattr(sweep_module.StagedModel, "open", None)
    assert {row.device for row in run_plan(Plan(models=(path,), **QUICK)).rows} == {"elsewhere"}


def test_times_are_those_of_a_stopwatch_around_the_same_calls(path, monkeypatch):
    """Whatever else the machine does meets both, because they time the same calls."""
    call, seconds = sweep_module.Verb.__call__, {}

    def timed(verb, source, **options):
        begin = time.perf_counter()
        clip = call(verb, source, **options)
        asked = (len(source[0]), options.get("batch_size"), threading.current_thread() is threading.main_thread())
        seconds.setdefault(asked, []).append(time.perf_counter() - begin)
        return clip

    monkeypatch.setattr(sweep_module.Verb, "__call__", timed)
    plan = Plan(
        models=(path,), **QUICK | {"durations_s": (2.0, 30.0), "batches": (40,), "clients": (2,), "repeats": 60}
    )
    rows = {(row.measure, row.audio_s): row.summary for row in run_plan(plan).rows}
    batch_s = 1.0 + 39 * 0.5
    expected = {
        ("call", 2.0): (2 * RATE, None, True),
        ("call", 30.0): (30 * RATE, None, True),
        ("batch", batch_s): (round(batch_s * RATE), 40, True),
        ("clients", 2.0): (2 * RATE, None, False),
    }
    assert rows.keys() == expected.keys()
    for key, asked in expected.items():
        # Medians of busy moments differ by which calls they are of; the shortest call is the same one for both.
        assert rows[key].minimum == pytest.approx(min(seconds[asked]), rel=0.15), key


@pytest.mark.slow
def test_medians_agree_with_a_timing_of_the_same_call():
    """The shipped model, five times in turns with a plain loop, because the machine may be busy at any moment."""
    tagger = Tagger(device="cpu", threads=1)
    rate = tagger.card.sample_rate
    source = (clip(10, rate), rate)
    ratios = []
    for _ in range(5):
        report = run_plan(Plan(devices=("cpu",), threads=(1,), repeats=100, cold=0))
        (ours,) = report.rows
        seconds = []
        for _ in range(100):
            begin = time.perf_counter()
            tagger(source)
            seconds.append(time.perf_counter() - begin)
        ratios.append(ours.summary.median / statistics.median(seconds))
    assert statistics.median(ratios) == pytest.approx(1, abs=0.15)

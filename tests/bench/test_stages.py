"""The stages of a call: where time is spent is where it shows, and looking does not change what is computed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from engine.bench.clip import clip
from engine.bench.sampling import take_turns
from engine.bench.stages import CallStages, StagedModel, copy_to_device, stage_probes, windows_per_run
from engine.frontend import LogMel
from engine.model import Model
from engine.session import Session
from tests.tiny_models import RATE, save, waveform_card, waveform_network
from tests.tiny_towers import save_towers

NAP = 0.02


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def staged(path):
    return StagedModel.open(path, "cpu", 1)


def test_of_two_towers_the_reference_tower_is_measured(tmp_path):
    path = save_towers(tmp_path / "towers.onnx")
    staged = StagedModel.open(path, "cpu", 1)
    samples = clip(1.5, RATE)
    np.testing.assert_array_equal(
        staged((samples, RATE)).embedding, Model.open(path, "cpu", 1)((samples, RATE)).embedding
    )
    assert staged.network_s > 0
    assert len(staged.fed) == 2


def slowed(monkeypatch, owner, name):
    quick = getattr(owner, name)

    def slow(*arguments, **options):
        time.sleep(NAP)
        return quick(*arguments, **options)

    monkeypatch.setattr(owner, name, slow)


def medians(probes):
    taken = take_turns(probes, repeats=10, limit_s=10)
    return {samples.measure: np.median(np.concatenate(samples.blocks_s)) for measures in taken for samples in measures}


def test_the_result_is_that_of_the_model(path, staged):
    source = (clip(3.3, RATE), RATE)
    want, got = Model.open(path, "cpu", 1)(source), staged(source)
    np.testing.assert_array_equal(got.scores, want.scores)
    np.testing.assert_array_equal(got.embedding, want.embedding)


def test_every_stage_is_measured(staged):
    found = medians(stage_probes(staged, 2.0))
    assert list(found) == ["decode wav", "decode flac", "decode ogg", "resample", "log-mel", "network", "post"]
    assert all(seconds > 0 for seconds in found.values())


def test_the_stages_of_a_call_add_up_to_it(staged):
    stages = CallStages(staged, clip(5, RATE))
    begin = time.perf_counter()
    taken = stages.repeat(50)
    elapsed = time.perf_counter() - begin
    # What is missing is the loop around the calls.
    assert 0.8 * elapsed < np.sum(taken) <= elapsed


@pytest.mark.parametrize(
    ("owner", "name", "stage"),
    [(LogMel, "__call__", "log-mel"), (Session, "run", "network"), (Model, "_clip", "post")],
)
def test_time_shows_in_the_stage_where_it_is_spent(staged, monkeypatch, owner, name, stage):
    slowed(monkeypatch, owner, name)
    found = medians([CallStages(staged, clip(0.5, RATE))])
    assert found.pop(stage) > NAP
    assert max(found.values()) < NAP / 2


def test_windows_add_up(staged, monkeypatch):
    slowed(monkeypatch, LogMel, "__call__")
    # Windows of a second every half second.
    found = medians([CallStages(staged, clip(2.0, RATE))])
    assert 3 * NAP < found["log-mel"] < 5 * NAP


def test_a_model_without_front_end_has_no_stage_for_it(tmp_path):
    path = save(tmp_path / "wave.onnx", waveform_network(), waveform_card())
    assert list(medians([CallStages(StagedModel.open(path, "cpu", 1), clip(1, RATE))])) == ["network", "post"]


def test_what_the_network_takes_at_a_time_is_read_back(staged, monkeypatch):
    samples = clip(4.5, RATE)  # eight windows
    assert windows_per_run(staged, samples, 8) == 1
    monkeypatch.setattr(staged, "_batches", True)
    monkeypatch.setattr(staged, "_plain", None)
    assert windows_per_run(staged, samples, 8) == 8
    assert windows_per_run(staged, samples, 4) == 4


def test_the_copy_to_a_device_is_one_for_each_run_of_the_network():
    copy = copy_to_device([(8, 101, 64), (1, 101, 64)], "cpu")
    assert copy.measures == ("host-to-device",)
    assert len(copy.repeat(3)[0]) == 3


@pytest.mark.gpu
def test_a_gpu_has_a_stage_for_the_copy(path, gpu):
    if gpu == "cpu":
        pytest.skip("a CPU copies nothing")
    found = medians(stage_probes(StagedModel.open(path, gpu, 1), 2.0))
    assert 0 < found["host-to-device"] < found["network"]

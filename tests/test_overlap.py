"""A model on a device, here one that is made up on the CPU: front end and network at the same time, same results."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Tagger
from engine.batch_sweep import BatchSweep, Trial, sweep_batches
from engine.errors import AudioError, Cancelled, DeviceError, DeviceMemoryError, ModelError
from engine.frontend import LogMel
from engine.model import Model
from engine.network import Network
from tests.test_ahead import SOON_S, device_threads
from tests.test_device_buffers import OnAnotherDevice
from tests.test_network import summing_card, summing_network
from tests.tiny_models import FRONTEND, RATE, save, waveform_card, waveform_network

NOISE = (np.random.default_rng(0).standard_normal(12 * RATE) / 10).astype(np.float32)
WINDOWS = 23  # of a second, every half second


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="module")
def on_cpu(path):
    return Model.open(path, "cpu", 1)


@pytest.fixture
def on_device(path, on_cpu):
    yield Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    assert device_threads() == []


def assert_same(got, want):
    assert [(one.start_s, one.end_s) for one in got] == [(one.start_s, one.end_s) for one in want]
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(n_samples=st.integers(1, 12 * RATE), batch_size=st.sampled_from([1, 2, 3, 8, 16, None]))
def test_windows_are_those_of_the_cpu_in_order(path, on_cpu, n_samples, batch_size):
    on_device = Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    source = (NOISE[:n_samples], RATE)
    assert_same(list(on_device.windows(source, batch_size=batch_size)), list(on_cpu.windows(source)))


def test_batches_of_one_give_the_bits_of_the_cpu(on_device, on_cpu):
    got, want = on_device((NOISE, RATE), batch_size=1), on_cpu((NOISE, RATE))
    np.testing.assert_array_equal(got.scores, want.scores)
    np.testing.assert_array_equal(got.embedding, want.embedding)
    assert len(got.windows) == WINDOWS


@pytest.mark.parametrize("batch_size", [None, 8, "auto"])
def test_a_network_that_remembers_hears_its_windows_one_by_one_and_in_order(tmp_path, batch_size):
    path = save(tmp_path / "sum.onnx", summing_network(), summing_card())
    on_cpu = Model.open(path, "cpu", 1)
    on_device = Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    want = [window.scores.tolist() for window in on_cpu.windows((NOISE, on_cpu.sample_rate))]
    for _ in range(3):  # and begins anew with each recording
        got = on_device.windows((NOISE, on_cpu.sample_rate), batch_size=batch_size)
        assert [window.scores.tolist() for window in got] == want


def test_the_front_end_prepares_a_batch_while_the_network_runs_the_one_before(on_device, monkeypatch):
    prepared, waited = threading.Semaphore(0), []
    front_end, run = LogMel.__call__, Network.run

    def counted(log_mel, waveform, out=None):
        frames = front_end(log_mel, waveform, out)
        prepared.release()
        return frames

    def patient(network, contents, state):
        # Beyond the windows of this batch it waits for those of the next one: alone it would wait in vain.
        ahead = min(2 * len(contents), WINDOWS) if not waited else 0
        waited.append(all(prepared.acquire(timeout=SOON_S) for _ in range(ahead)))
        return run(network, contents, state)

    monkeypatch.setattr(LogMel, "__call__", counted)
    monkeypatch.setattr(Network, "run", patient)
    assert len(on_device((NOISE, RATE), batch_size=4).windows) == WINDOWS
    assert waited == [True] * 6


def test_together_they_take_less_time_than_one_after_the_other(on_device, monkeypatch):
    nap, front_end, run = 0.01, LogMel.__call__, Network.run

    def slow(log_mel, waveform, out=None):
        time.sleep(nap / 4)
        return front_end(log_mel, waveform, out)

    def slow_network(network, contents, state):
        time.sleep(nap)
        return run(network, contents, state)

    monkeypatch.setattr(LogMel, "__call__", slow)
    monkeypatch.setattr(Network, "run", slow_network)
    shortest = min(_seconds(lambda: on_device((NOISE, RATE), batch_size=4)) for _ in range(3))
    # Six batches: 12 naps one after the other, 7 together.
    assert shortest < 10 * nap


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def test_a_recording_of_one_batch_needs_no_thread(on_device, monkeypatch):
    threads = []
    run = Network.run
    monkeypatch.setattr(Network, "run", lambda *given: threads.append(threading.current_thread()) or run(*given))
    on_device((NOISE[: 2 * RATE], RATE), batch_size=16)
    assert threads == [threading.main_thread()]


def test_a_front_end_that_fails_loses_no_window_before(on_device, on_cpu):
    broken = NOISE.copy()
    broken[6 * RATE + 5] = np.nan  # in the 12th window, so that the 11 before are whole
    windows = on_device.windows((broken, RATE), batch_size=1)
    assert_same([next(windows) for _ in range(11)], list(on_cpu.windows((NOISE, RATE)))[:11])
    with pytest.raises(AudioError, match=f"got nan at sample {6 * RATE + 5} .* of the given array"):
        next(windows)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_network_that_fails_ends_the_call(on_device, monkeypatch, batch):
    run, ran = Network.run, []

    def fail(network, contents, state):
        ran.append(len(contents))
        if len(ran) == batch:
            raise DeviceError("expected the device to run, it broke; check it")
        return run(network, contents, state)

    monkeypatch.setattr(Network, "run", fail)
    with pytest.raises(DeviceError, match="it broke"):
        on_device((NOISE, RATE), batch_size=4)
    assert batch <= len(ran) <= batch + 1


def test_cancelling_ends_the_thread(on_device):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        on_device((NOISE, RATE), batch_size=2, progress=lambda _: cancel.set(), cancel=cancel)


def test_windows_that_nobody_takes_any_more_end_the_thread(on_device):
    windows = on_device.windows((NOISE, RATE), batch_size=2)
    next(windows)
    assert len(device_threads()) == 1
    windows.close()


def test_live_audio_does_not_wait_for_a_batch(on_device):
    listener = on_device.live()
    assert len(list(listener.push(NOISE[:RATE]))) == 1
    assert device_threads() == []


def test_recordings_side_by_side(path, on_cpu):
    tagger = Tagger(path, "cpu", 1)
    tagger._model = Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    lengths = [RATE * seconds for seconds in (1, 12, 3, 7, 2, 11)]
    clips = list(tagger.batch([(NOISE[:n], RATE) for n in lengths], workers=3, batch_size=3))
    for n, clip in zip(lengths, clips, strict=True):
        assert_same(clip.windows, on_cpu((NOISE[:n], RATE)).windows)
    assert device_threads() == []


# Batches of a size that is measured


def slow_device(monkeypatch, width, memory=None):
    """Let runs of the network take the time of ``width`` windows at least, by the clock that measures them.

    Returns their sizes.
    """
    run, sizes, now = Network.run, [], [0.0]

    def timed(network, contents, state):
        sizes.append(len(contents))
        if memory is not None and len(contents) > memory:
            raise DeviceMemoryError("expected the network to run, the device is full; lower batch_size")
        now[0] += 0.004 * -(-len(contents) // width)
        return run(network, contents, state)

    monkeypatch.setattr(Network, "run", timed)
    monkeypatch.setattr("engine.network.sweep_batches", partial(sweep_batches, clock=lambda: now[0]))
    return sizes


def test_auto_measures_once_and_remembers(on_device, on_cpu, monkeypatch, caplog):
    sizes = slow_device(monkeypatch, width=4)
    with caplog.at_level("INFO", logger="engine"):
        clip = on_device((NOISE, RATE), batch_size="auto")
    assert_same(clip.windows, on_cpu((NOISE, RATE)).windows)
    (sweep,) = on_device.batch_sweeps
    assert (sweep.size, sweep.ended, sweep.shape) == (4, "no faster", (FRONTEND.n_frames(RATE), FRONTEND.n_mels))
    assert caplog.messages == [f"tiny on cpu:0: batches of {sweep}"]
    sizes.clear()
    on_device((NOISE, RATE), batch_size="auto")
    assert sizes == [4] * 6
    assert on_device.batch_sweeps == (sweep,)


def test_auto_stops_where_memory_is_short(on_device, monkeypatch):
    sizes = slow_device(monkeypatch, width=8, memory=2)
    assert len(on_device((NOISE, RATE), batch_size="auto").windows) == WINDOWS
    (sweep,) = on_device.batch_sweeps
    assert (sweep.size, sweep.ended) == (2, "memory is short")
    assert max(sizes) == 4


def test_auto_measures_nothing_for_one_window(on_device):
    on_device((NOISE[:RATE], RATE), batch_size="auto")
    assert on_device.batch_sweeps == ()


def test_auto_measures_each_shape(on_device, monkeypatch):
    slow_device(monkeypatch, width=2)
    for window_s in (1.0, 0.5, 1.0):
        on_device((NOISE, RATE), window_s=window_s, hop_s=0.5, batch_size="auto")
    assert [sweep.shape[0] for sweep in on_device.batch_sweeps] == [
        FRONTEND.n_frames(RATE),
        FRONTEND.n_frames(RATE // 2),
    ]


def test_threads_wait_for_one_measurement(on_device, monkeypatch):
    slow_device(monkeypatch, width=2)
    measured = []
    monkeypatch.setattr(
        "engine.network.sweep_batches",
        lambda run, shape, n_bytes: measured.append(shape) or time.sleep(0.05) or _sweep_of(shape),
    )
    workers = [
        threading.Thread(target=on_device, args=((NOISE, RATE),), kwargs={"batch_size": "auto"}) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(measured) == 1


def _sweep_of(shape):
    return BatchSweep(shape, (Trial(1, 1.0),), 1, "no faster")


def test_warming_up_measures_too(on_device, monkeypatch):
    slow_device(monkeypatch, width=2)
    on_device.warmup(batch_size="auto")
    assert [sweep.size for sweep in on_device.batch_sweeps] == [2]


def test_auto_on_a_cpu_is_one_window(on_cpu, monkeypatch):
    sizes = slow_device(monkeypatch, width=8)
    clip = on_cpu((NOISE[: 3 * RATE], RATE), batch_size="auto")
    assert sizes == [1] * len(clip.windows)
    assert on_cpu.batch_sweeps == ()
    assert device_threads() == []


def test_samples_are_batched_as_well(tmp_path, monkeypatch):
    path = save(tmp_path / "wave.onnx", waveform_network(), waveform_card())
    on_cpu = Model.open(path, "cpu", 1)
    sizes = slow_device(monkeypatch, width=4)
    on_device = Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    got = on_device((NOISE, RATE), batch_size="auto")
    assert [sweep.size for sweep in on_device.batch_sweeps] == [4]
    assert sizes[-1] <= 4
    want = on_cpu((NOISE, RATE))
    for one, other in zip(got.windows, want.windows, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)


def test_a_closed_model_says_so_from_the_device_too(on_device):
    on_device.close()
    with pytest.raises(ModelError, match="open it again"):
        on_device((NOISE, RATE), batch_size=2)

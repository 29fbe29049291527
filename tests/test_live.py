"""Live audio: whatever the blocks, the windows are those of the recording; memory, latency and mistakes."""

from __future__ import annotations

import math
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from engine import Embedder, Tagger
from engine.card import ModelInput, ModelState, write_card
from engine.errors import AudioError, ConfigError, ModelError
from tests.tiny_models import (
    EMBEDDING_SIZE,
    FRONTEND,
    LABELS,
    RATE,
    build,
    log_mel_card,
    save,
    waveform_card,
    waveform_network,
)

RATES = [4000, RATE, 11025, 16000, 44100, 48000, 96000]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return Tagger(save(tmp_path_factory.mktemp("live") / "tiny.onnx"), device="cpu", threads=1)


def noise(seconds, rate, seed=0):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate)) / 10).astype(np.float32)


def assert_same(got, want):
    assert [(window.start_s, window.end_s) for window in got] == [(window.start_s, window.end_s) for window in want]
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.embedding, other.embedding)
        assert one.labels == other.labels


def heard(stream, blocks):
    with stream:
        windows = [window for block in blocks for window in stream.push(block)]
        return windows + stream.flush()


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rate=st.sampled_from(RATES),
    seconds=st.floats(0.001, 3),
    hop_s=st.sampled_from([None, 0.1, 0.25, 1.0]),
)
def test_any_blocks_give_the_windows_of_the_recording(tagger, data, rate, seconds, hop_s):
    samples = noise(max(seconds, 1 / rate + 1 / RATE), rate)
    edges = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=12)))
    want = list(tagger.windows((samples, rate), hop_s=hop_s))
    assert_same(heard(tagger.stream(rate, hop_s=hop_s), np.split(samples, edges)), want)


@pytest.mark.parametrize("block_s", [0.0001, 0.01, 0.333])
@pytest.mark.parametrize("rate", RATES)
def test_blocks_of_one_size_give_the_windows_of_the_recording(tagger, rate, block_s):
    samples = noise(1.3, rate)
    step = max(1, round(block_s * rate))
    blocks = [samples[start : start + step] for start in range(0, len(samples), step)]
    assert_same(heard(tagger.stream(rate), blocks), list(tagger.windows((samples, rate))))


@pytest.mark.parametrize("kind", ["int16", "int32", "uint8", "float64", "list"])
@pytest.mark.parametrize("channels", [None, 1, 2, 5])
@pytest.mark.parametrize("rate", [RATE, 44100])
def test_blocks_of_any_type_and_number_of_channels(tagger, kind, channels, rate):
    samples = noise(1.2 * (channels or 1), rate)
    samples = samples if channels is None else samples[: len(samples) // channels * channels].reshape(-1, channels)
    if kind == "uint8":
        samples = (samples * 127 + 128).clip(0, 255).astype(np.uint8)
    elif kind.startswith("int"):
        samples = (samples * np.iinfo(kind).max).astype(kind)
    else:
        samples = samples.astype(np.float64)
    want = list(tagger.windows((samples, rate)))
    blocks = [samples[start : start + 2999] for start in range(0, len(samples), 2999)]
    assert_same(heard(tagger.stream(rate), [b.tolist() if kind == "list" else b for b in blocks]), want)


def test_a_channel_is_chosen(tagger):
    left, right = noise(2.2, RATE, 1), noise(2.2, RATE, 2)
    stereo = np.stack([left, right], axis=1)
    for channel, samples in ((0, left), (1, right), (None, (left + right) / np.float32(2))):
        got = heard(tagger.stream(RATE, channel=channel), np.split(stereo, [100, 5000]))
        assert_same(got, list(tagger.windows((samples, RATE))))


@pytest.mark.parametrize("rate", [RATE, 16000])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)])
def test_a_block_may_be_used_again_by_its_owner(tagger, rate, shape):
    samples = noise(4.4, rate).reshape(shape)
    buffer = np.empty_like(samples[:800])
    with tagger.stream(rate) as stream:
        got = []
        for start in range(0, len(samples), 800):
            block = buffer[: len(samples[start : start + 800])]
            block[...] = samples[start : start + 800]
            got += stream.push(block)
            buffer[...] = np.nan
        got += stream.flush()
    assert_same(got, list(tagger.windows((samples, rate))))


def test_options_are_those_of_a_call(tagger):
    samples = noise(3.3, RATE)
    options = {"window_s": 0.5, "hop_s": 0.2, "top_k": 1, "threshold": 0.1, "labels_deny": ["both"]}
    got = heard(tagger.stream(RATE, **options), [samples])
    want = list(tagger.windows((samples, RATE), **options))
    assert_same(got, want)
    assert [window.tags for window in got] == [window.tags for window in want]
    assert {len(window.scores) for window in got} == {2}


def test_windows_come_as_soon_as_they_are_full(tagger):
    samples = noise(2.2, RATE)
    with tagger.stream(RATE) as stream:
        assert stream.latency_s == 0
        assert stream.push(samples[: RATE - 1]) == []
        (first,) = stream.push(samples[RATE - 1 : RATE])
        assert (first.start_s, first.end_s) == (0, 1)
        assert stream.push(np.zeros(0, np.float32)) == []
        assert [window.end_s for window in stream.push(samples[RATE:])] == [1.5, 2]
        assert [window.end_s for window in stream.flush()] == [2.2]


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate != RATE])
@pytest.mark.parametrize("block_s", [0.001, 0.01])
def test_latency_is_an_upper_bound_and_not_far_above(tagger, rate, block_s):
    step = round(block_s * rate)
    samples = noise(4, rate)
    worst = 0.0
    with tagger.stream(rate, hop_s=0.05) as stream:
        for start in range(0, len(samples), step):
            for window in stream.push(samples[start : start + step]):
                # The block that brought the window had to be filled first: that is the caller's share.
                worst = max(worst, start / rate - window.end_s)
        bound = stream.latency_s
    assert 0 < worst <= bound
    assert bound < worst + 0.06


def carried_model(path):
    """Scores are the sum of all samples so far: what lasts from window to window must outlive the blocks."""
    nodes = [
        helper.make_node("ReduceSum", ["waveform", "time_axis"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "total"], ["new_total"]),
        helper.make_node("MatMul", ["new_total", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.array([[1, 2, -1]], np.float32)}
    inputs = {"waveform": ["batch", "time"], "total": [1, 1]}
    network = build(nodes, inputs, {"scores": ["batch", 3], "new_total": [1, 1]}, constants)
    states = (ModelState("total", "new_total", (1, 1)),)
    given_ = ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=RATE, context=300, states=states)
    return save(path, network, waveform_card(input=given_, window=800, hop=400))


def test_states_and_context_last_from_block_to_block(tmp_path):
    tagger = Tagger(carried_model(tmp_path / "carried.onnx"), device="cpu", threads=1)
    samples = noise(1, RATE)
    want = [window.scores.tolist() for window in tagger.windows((samples, RATE))]
    for _ in range(2):  # the second stream begins anew
        got = heard(tagger.stream(RATE), np.array_split(samples, 77))
        assert [window.scores.tolist() for window in got] == want


def test_two_streams_share_a_model_on_two_threads(tmp_path):
    tagger = Tagger(carried_model(tmp_path / "carried.onnx"), device="cpu", threads=1)
    signals = [noise(2, 16000, seed) for seed in range(2)]
    want = [[window.scores.tolist() for window in tagger.windows((signal, 16000))] for signal in signals]
    got = [None, None]
    start = threading.Barrier(2)

    def work(i):
        start.wait()
        got[i] = [window.scores.tolist() for window in heard(tagger.stream(16000), np.array_split(signals[i], 200))]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == want


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_an_hour_takes_the_memory_of_a_minute(tagger, tmp_path, rate):
    tagger = Tagger(save(tmp_path / "waveform.onnx", waveform_network(), waveform_card()), device="cpu", threads=1)
    block = np.zeros((rate, 2), np.int16)

    def peak_after(seconds):
        tracemalloc.start()
        try:
            with tagger.stream(rate) as stream:
                n_windows = sum(len(stream.push(block)) for _ in range(seconds))
            return tracemalloc.get_traced_memory()[1], n_windows
        finally:
            tracemalloc.stop()

    peak_after(5)
    (minute, few), (hour, many) = peak_after(60), peak_after(3600)
    assert many == pytest.approx(2 * 3600, abs=3)
    assert few < many / 50
    assert hour < minute + 100_000


def test_the_embedder_streams_too(tmp_path):
    embedder = Embedder(save(tmp_path / "tiny.onnx"), device="cpu")
    samples = noise(1.6, 16000)
    got = heard(embedder.stream(16000, hop_s=0.3), np.split(samples, [7, 9000]))
    assert_same(got, list(embedder.windows((samples, 16000), hop_s=0.3)))
    assert got[0].embedding.shape == (EMBEDDING_SIZE,)


# Ends


def test_nothing_heard_is_no_window(tagger):
    for rate in (RATE, 48000):
        with tagger.stream(rate) as stream:
            assert stream.push([]) == []
            assert stream.push(np.zeros((0, 2), np.int16)) == []
            assert stream.flush() == []


@pytest.mark.parametrize("end", ["close", "flush", "leave"])
def test_a_stream_that_ended_takes_no_more(tagger, end):
    with tagger.stream(RATE) as stream:
        stream.push(noise(0.5, RATE))
        if end != "leave":
            getattr(stream, end)()
    for call in (lambda: stream.push(noise(1, RATE)), stream.flush):
        with pytest.raises(
            AudioError, match=r"^expected an open stream, got one that was flushed or closed; open anoth"
        ):
            call()
    stream.close()


def test_leaving_drops_what_is_unfinished(tagger):
    with tagger.stream(RATE) as stream:
        assert stream.push(noise(1.3, RATE))
    with tagger.stream(RATE) as other:
        assert other.push(noise(0.9, RATE)) == []


# Mistakes


@pytest.mark.parametrize(("rate", "at"), [(RATE, 1203), (48000, 1203)])
def test_a_bad_block_is_refused_with_its_position_and_forgotten(tagger, rate, at):
    samples = noise(2.1, rate)
    bad = samples[1000:2000].copy()
    bad[at - 1000] = np.nan
    place = rf"sample {at - 1000} \({(at - 1000) / rate:.6f} s\)"
    with tagger.stream(rate) as stream:
        got = stream.push(samples[:1000])
        with pytest.raises(AudioError, match=rf"^block from sample 1000 of the stream: .*got nan at {place}"):
            stream.push(bad)
        got += stream.push(samples[1000:])
        got += stream.flush()
    assert_same(got, list(tagger.windows((samples, rate))))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros((2, 2, 2), np.float32), "expected samples of shape"),
        (np.zeros(5, np.complex64), "expected float or 8-, 16- or 32-bit integer samples"),
        (np.zeros(5, np.int64), "expected float or 8-, 16- or 32-bit integer samples"),
        ("sound", "expected float or 8-, 16- or 32-bit integer samples"),
        ([[0.5, 0.5], [0.5]], "expected an array of samples, got list"),
        (np.float32(0.5), "expected samples of shape"),
        (None, "expected float or 8-, 16- or 32-bit integer samples"),
    ],
)
def test_blocks_that_are_no_audio(tagger, block, message):
    with (
        tagger.stream(RATE) as stream,
        pytest.raises(AudioError, match=f"block from sample 0 of the stream: {message}"),
    ):
        stream.push(block)


def test_a_channel_that_is_not_there(tagger):
    with tagger.stream(RATE, channel=2) as stream, pytest.raises(AudioError, match=r"expected a channel from 0 to 1"):
        stream.push(np.zeros((10, 2), np.float32))


@pytest.mark.parametrize("rate", [0, -1, 1_000_001, 44100.0, "48000", True, None, float("nan")])
def test_rates_that_are_none(tagger, rate):
    with pytest.raises(
        ConfigError, match=r"^expected a sample rate in whole Hz from 1 to 1000000, got .*; correct it$"
    ):
        tagger.stream(rate)


def test_rates_too_far_from_the_models(tagger):
    with pytest.raises(
        ConfigError, match=r"^expected a sample rate within a factor of 1000 of the model's 8000 Hz, got 7; correct it$"
    ):
        tagger.stream(7)


@pytest.mark.parametrize("rate", [RATE, 16000])
def test_samples_beyond_the_front_end_end_the_stream_with_their_place(tagger, rate):
    loud = noise(3, rate)
    loud[round(1.2 * rate) :] = 1e25
    with tagger.stream(rate) as stream:
        with pytest.raises(AudioError, match=r"the stream, window from 0\.500 s: expected"):
            stream.push(loud)
        with pytest.raises(AudioError, match="open stream"):
            stream.push(loud)


def test_samples_that_leave_float32_when_resampled_are_refused(tagger):
    with (
        tagger.stream(16000) as stream,
        pytest.raises(AudioError, match=r"got (nan|-?inf) at sample \d+ .* of the stream, res"),
    ):
        stream.push(np.full(16000, 3.4e38, np.float32) * np.sign(np.sin(np.arange(16000))).astype(np.float32))


def test_a_network_that_fails_ends_the_stream(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("Log", ["mean"], ["log"]),
        helper.make_node("MatMul", ["log", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.array([[1, 2, -1]], np.float32)}
    network = build(nodes, {"waveform": ["batch", "time"]}, {"scores": ["batch", 3]}, constants)
    path = tmp_path / "log.onnx"
    path.write_bytes(write_card(network, waveform_card()).SerializeToString())
    with Tagger(path, device="cpu").stream(RATE) as stream:
        assert len(stream.push(np.ones(RATE, np.float32))) == 1
        with pytest.raises(ModelError, match="expected finite values"):
            stream.push(-np.ones(RATE, np.float32))
        with pytest.raises(AudioError, match="open stream"):
            stream.flush()


def test_a_model_that_takes_rows_has_no_stream(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["rows", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.ones((5, 3), np.float32)}
    network = build(nodes, {"rows": ["batch", "time", 5]}, {"scores": ["batch", 3]}, constants)
    rows = ModelInput("rows", "embedding", ("batch", "time", "feature"))
    path = tmp_path / "head.onnx"
    path.write_bytes(write_card(network, waveform_card(input=rows, window=10, hop=10)).SerializeToString())
    with pytest.raises(ModelError, match="takes rows of embeddings"):
        Tagger(path).stream(RATE)


def test_front_ends_with_the_window_as_scope_stream_as_well(tmp_path):
    card = log_mel_card(frontend=replace(FRONTEND, log="dB", log_reference="max", log_range=80.0))
    tagger = Tagger(save(tmp_path / "max.onnx", card=card), device="cpu")
    samples = noise(2.2, 44100) * np.geomspace(0.001, 1, round(2.2 * 44100)).astype(np.float32)
    assert_same(heard(tagger.stream(44100), np.array_split(samples, 9)), list(tagger.windows((samples, 44100))))
    assert tagger.labels == LABELS
    assert math.isfinite(tagger.stream(44100).latency_s)

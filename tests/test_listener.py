"""One recording through a model: context, front end, the frames of a short end, and what messages say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from engine.card import ModelInput, ModelOutput, ModelOutputs, write_card
from engine.errors import AudioError
from engine.frontend import LogMel
from engine.model import Model
from engine.session import Session
from tests.tiny_models import FRONTEND, RATE, build, log_mel_card, log_mel_network, save, waveform_card

NOISE = (np.random.default_rng(0).standard_normal(3 * RATE) / 10).astype(np.float32)


# Context


def echo_network():
    """Scores are the first, the second and the last sample that the network is fed."""
    nodes = [helper.make_node("Gather", ["waveform", "places"], ["scores"], axis=1)]
    return build(nodes, {"waveform": ["batch", "time"]}, {"scores": ["batch", 3]}, {"places": np.array([0, 1, -1])})


def echo_model(window, hop, context, pad="zeros"):
    given = ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=100, context=context)
    card = waveform_card(input=given, window=window, hop=hop, pad=pad)
    return Model(Session(write_card(echo_network(), card).SerializeToString(), device="cpu", threads=1), card)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n_samples=st.integers(1, 60), window=st.integers(2, 20), context=st.integers(0, 30))
def test_context_is_what_came_before_and_zeros_before_the_start(data, n_samples, window, context):
    hop = data.draw(st.integers(1, window))
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    windows = list(echo_model(window, hop, context).windows((samples, 100)))
    framed = np.concatenate([np.zeros(context, np.float32), samples, np.zeros(window, np.float32)])
    for k, heard in enumerate(windows):
        fed = framed[k * hop : k * hop + context + window]
        assert heard.scores.tolist() == fed[[0, 1, -1]].tolist()
        # The context belongs to no window's time.
        assert (heard.start_s, heard.end_s) == (k * hop / 100, min(k * hop + window, n_samples) / 100)
    assert len(windows) == max(1, math.ceil((n_samples - window) / hop) + 1)


@pytest.mark.parametrize("window_s", [0.1, 0.3])
def test_context_stays_the_cards_in_windows_of_another_length(window_s):
    samples = np.arange(1, 61, dtype=np.float32)
    second = list(echo_model(20, 20, 5).windows((samples, 100), window_s=window_s, hop_s=0.1))[1]
    assert second.scores.tolist() == [6, 7, 10 + window_s * 100]


# Short ends


def on_runtime(path, log_mel):
    runtime = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (scores,) = runtime.run(["scores"], {"log_mel": log_mel[np.newaxis]})
    return scores[0]


@pytest.mark.parametrize("filling", [0.0, -4.5])
@pytest.mark.parametrize("n_samples", [1, 79, 80, 2000, RATE - 1, RATE, RATE + 1, 2 * RATE])
def test_missing_frames_are_filled_behind_the_front_end(tmp_path, filling, n_samples):
    given = ModelInput("log_mel", "log_mel", ("batch", "time", "mel"), frame_padding=filling)
    path = save(tmp_path / "frames.onnx", card=log_mel_card(pad="frames", input=given, hop=RATE))
    windows = list(Model.open(path, device="cpu").windows((NOISE[:n_samples], RATE)))
    assert len(windows) == math.ceil(n_samples / RATE)
    last = LogMel(FRONTEND)(NOISE[(len(windows) - 1) * RATE : n_samples])
    filled = np.full((FRONTEND.n_frames(RATE), FRONTEND.n_mels), filling, np.float32)
    filled[: len(last)] = last
    np.testing.assert_array_equal(windows[-1].scores, on_runtime(path, filled))
    assert windows[-1].end_s == n_samples / RATE


@pytest.mark.parametrize("pad", ["zeros", "repeat", "none"])
def test_missing_samples_are_filled_before_the_front_end(tmp_path, pad):
    path = save(tmp_path / "padded.onnx", card=log_mel_card(pad=pad, hop=RATE))
    end = NOISE[RATE : RATE + 3000]
    filled = {
        "zeros": np.pad(end, (0, RATE - 3000)),
        "repeat": np.concatenate([end, end, end])[:RATE],
        "none": end,
    }[pad]
    _, last = Model.open(path, device="cpu").windows((NOISE[: RATE + 3000], RATE))
    np.testing.assert_array_equal(last.scores, on_runtime(path, LogMel(FRONTEND)(filled)))


def framing_model(path, **changes):
    """Frames of the means of ten samples at 100 Hz, windows of one second."""
    nodes = [
        helper.make_node("Reshape", ["waveform", "split"], ["pieces"]),
        helper.make_node("ReduceMean", ["pieces", "last"], ["means"], keepdims=1),
        helper.make_node("MatMul", ["means", "weights"], ["frames"]),
    ]
    constants = {"split": np.array([1, -1, 10]), "last": np.array([2]), "weights": np.array([[1, 2, -1]], np.float32)}
    network = build(nodes, {"waveform": [1, "time"]}, {"frames": [1, None, 3]}, constants)
    given = {
        "input": ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=100),
        "outputs": ModelOutputs(frames=ModelOutput("frames", ("batch", "time", "label"))),
        "window": 100,
        "hop": 50,
        "frame_hop": 10,
        "frame_length": 15,
    }
    return Model.open(save(path, network, waveform_card(**given | changes)), device="cpu")


@pytest.mark.parametrize(("n_samples", "n_frames"), [(1, 1), (9, 1), (10, 1), (11, 2), (99, 10), (100, 10)])
def test_frames_that_begin_after_the_true_end_are_left_out(tmp_path, n_samples, n_frames):
    (window,) = framing_model(tmp_path / "frames.onnx").windows((np.ones(n_samples, np.float32), 100))
    assert window.frames.scores.shape == (n_frames, 3)
    assert (window.frames.hop_s, window.frames.length_s) == (0.1, 0.15)


def test_events_come_from_frames_and_end_with_the_recording(tmp_path):
    samples = np.zeros(234, np.float32)
    samples[20:40] = 1
    samples[150:160] = 1
    samples[210:] = 1
    clip = framing_model(tmp_path / "frames.onnx")((samples, 100))
    got = [(round(event.start_s, 9), round(event.end_s, 9)) for event in clip.events(1.5) if event.label == "high"]
    # Frames of 150 ms every 100 ms, the last of them cut where the recording ends.
    assert got == [(0.2, 0.45), (1.5, 1.65), (2.1, 2.34)]
    joined = clip.events(1.5, merge_gap_s=0.46)
    assert [round(event.start_s, 9) for event in joined] == [0.2, 1.5]
    assert clip.events(1.5, min_duration_s=0.5) == []


# Labels that were asked for


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"labels_allow": ["both", "low"]}, [0, 2]),
        ({"labels_deny": {"low"}}, [1, 2]),
        ({"labels_allow": ("high", "low"), "labels_deny": ("low",)}, [1]),
        ({}, [0, 1, 2]),
    ],
)
def test_only_the_labels_asked_for_are_in_scores_and_frames(tmp_path, options, columns):
    model = framing_model(tmp_path / "frames.onnx")
    noise = NOISE[:230]
    want, got = model((noise, 100)), model((noise, 100), **options)
    assert got.labels == tuple(want.labels[i] for i in columns)
    np.testing.assert_array_equal(got.scores, want.scores[columns])
    for one, other in zip(got.windows, want.windows, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores[columns])
        np.testing.assert_array_equal(one.frames.scores, other.frames.scores[:, columns])
        assert one.labels == got.labels
        assert (one.frames.hop_s, one.frames.length_s) == (0.1, 0.15)
    assert {event.label for event in got.events(-10)} == set(got.labels)
    assert [tag.label for tag in got.tags] == [tag.label for tag in want.tags if tag.label in got.labels]


def test_axes_of_the_log_mel_are_arranged(tmp_path):
    axes = ("mel", "batch", "time")
    card = log_mel_card(input=ModelInput("log_mel", "log_mel", axes))
    path = save(tmp_path / "turned.onnx", log_mel_network(axes), card)
    want = Model.open(save(tmp_path / "straight.onnx"), device="cpu")((NOISE, RATE))
    np.testing.assert_allclose(Model.open(path, device="cpu")((NOISE, RATE)).scores, want.scores, atol=1e-6)


# Samples that are not finite


@pytest.mark.parametrize("framing", ["center", "center_trimmed", "valid", "mirror"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_fft": 257, "win_length": 255},
        {"hop_length": 170},
        {"hop_length": 210},
        {"window": "blackman", "log_range": 3.0},
        {"preemphasis": 0.9, "preemphasis_scope": "clip"},
    ],
)
def test_a_front_end_that_hears_every_sample_notices_a_bad_one_anywhere(changes, framing):
    config = replace(FRONTEND, framing=framing, **changes)
    log_mel = LogMel(config)
    for n in (80, 170, 255, 340, 341, 401, 640):
        noticed = [_notices(log_mel, n, place) for place in range(n)]
        assert not config.hears_all_of(n) or all(noticed)


def _notices(log_mel, n, place):
    samples = np.zeros(n, np.float32)
    samples[place] = np.nan if place % 2 else -np.inf
    try:
        log_mel(samples)
    except AudioError:
        return True
    return False


def test_the_shipped_model_hears_every_sample_of_its_windows():
    card = Model.open(None, "cpu", 1).card
    assert card.frontend.hears_all_of(card.window)
    assert not card.frontend.hears_all_of(card.window - 1)


@pytest.mark.parametrize("framing", ["center", "center_trimmed", "valid", "mirror"])
@pytest.mark.parametrize("place", [0, 1, RATE // 2 - 1, RATE - 1, RATE, 2 * RATE + 1233, 2 * RATE + 1234])
def test_a_bad_sample_is_named_whoever_notices_it(framing, place):
    front_end = replace(FRONTEND, framing=framing)
    card = log_mel_card(frontend=front_end)
    model = Model(Session(write_card(log_mel_network(), card).SerializeToString(), device="cpu", threads=1), card)
    samples = NOISE[: 2 * RATE + 1235].copy()
    samples[place] = np.inf
    with pytest.raises(AudioError, match=rf"got inf at sample {place} \({place / RATE:.6f} s\) of the given array"):
        model((samples, RATE))


def test_a_sample_too_large_to_square_is_named_by_its_window(tmp_path):
    model = Model.open(save(tmp_path / "tiny.onnx"), device="cpu", threads=1)
    samples = NOISE.copy()
    samples[RATE] = 1e30
    with pytest.raises(AudioError, match=r"the given array, window from 0\.500 s: expected samples whose square fits"):
        model((samples, RATE))

from __future__ import annotations

import pickle
import threading
import time
import tracemalloc

import numpy as np
import onnxruntime
import pytest
import soundfile
from onnx import helper

from engine import decode_sndfile
from engine import model as model_module
from engine.card import ModelInput, write_card
from engine.errors import AudioError, Cancelled, ConfigError, ModelError
from engine.frontend import LogMel
from engine.model import Model
from tests.tiny_models import (
    BIAS,
    FRONTEND,
    LABELS,
    PROJECTION,
    RATE,
    WEIGHTS,
    build,
    log_mel_card,
    log_mel_network,
    save,
    waveform_card,
    waveform_network,
)

RNG = np.random.default_rng(0)
NOISE = (RNG.standard_normal(4 * RATE + 1234) * np.linspace(0.01, 0.3, 4 * RATE + 1234)).astype(np.float32)


@pytest.fixture
def open_model(tmp_path):
    def make(network=None, card=None, threads=1):
        return Model.open(save(tmp_path / "model.onnx", network, card), device="cpu", threads=threads)

    return make


def by_hand(path, samples, frontend=FRONTEND):
    """Scores and embedding of one window, straight from onnxruntime."""
    runtime = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores, embedding = runtime.run(["scores", "embedding"], {"log_mel": LogMel(frontend)(samples)[np.newaxis]})
    return scores[0], embedding[0]


def waveform_model(open_model, **changes):
    """Scores are the window's mean times 1, 2 and -1."""
    return open_model(waveform_network(), waveform_card(**changes))


def test_log_mel_model_by_hand(open_model):
    clip = open_model()((NOISE[:RATE], RATE))
    mean = LogMel(FRONTEND)(NOISE[:RATE]).astype(np.float64).mean(axis=0)
    embedding = mean @ PROJECTION
    np.testing.assert_allclose(clip.scores, 1 / (1 + np.exp(-(mean @ WEIGHTS + BIAS))), atol=1e-6)
    np.testing.assert_allclose(clip.embedding, embedding / np.linalg.norm(embedding), atol=1e-6)
    assert clip.labels == LABELS
    assert clip.labelling.thresholds == {"low": 0.25, "high": 0.75}


def test_windows_by_hand(open_model):
    # 2.25 seconds at a hop of half a second: windows at 0, 0.5, 1, and a last one from 1.5 s that ends at 2.25 s.
    samples = np.repeat([0.5, 1, 0, 0.25, 0.75], [4000, 4000, 4000, 4000, 2000]).astype(np.float32)
    clip = waveform_model(open_model, pad="none")((samples, RATE))
    assert [(w.start_s, w.end_s) for w in clip.windows] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.25)]
    means = [0.75, 0.5, 0.125, (0.25 * 4000 + 0.75 * 2000) / 6000]
    for window, mean in zip(clip.windows, means, strict=True):
        np.testing.assert_allclose(window.scores, [mean, 2 * mean, -mean], atol=1e-6)
    assert clip.duration_s == 2.25
    assert clip.embedding is None


@pytest.mark.parametrize(("pad", "mean"), [("zeros", 0.1875), ("repeat", 0.21875), ("none", 0.25)])
def test_short_clip_is_padded_as_the_card_says(open_model, pad, mean):
    # 6000 of 8000 samples: 3000 of 0 and 3000 of 0.5; repeated, the last 2000 are of 0.
    samples = np.repeat(np.array([0, 0.5], np.float32), 3000)
    mean = {"zeros": 1500 / 8000, "repeat": 1500 / 8000, "none": 0.25}[pad]
    clip = waveform_model(open_model, pad=pad)((samples, RATE))
    np.testing.assert_allclose(clip.scores[0], mean, atol=1e-6)
    assert clip.windows[0].end_s == 0.75


@pytest.mark.parametrize(("reduce", "want"), [("max", [1, 2, 0]), ("mean", [0.5, 1, -0.5])])
def test_windows_are_reduced_as_the_card_says(open_model, reduce, want):
    samples = np.repeat(np.array([0, 1], np.float32), RATE)
    clip = waveform_model(open_model, reduce=reduce, hop=RATE)((samples, RATE))
    np.testing.assert_allclose(clip.scores, want, atol=1e-6)
    assert clip.scores.dtype == np.float32


@pytest.mark.parametrize("framing", ["center", "valid", "mirror"])
@pytest.mark.parametrize("n_samples", [1, 2, 39, 40, 199, 200, 201, RATE - 1, RATE, RATE + 1])
@pytest.mark.parametrize("pad", ["zeros", "repeat", "none"])
def test_any_length_gives_scores(open_model, framing, n_samples, pad):
    frontend = log_mel_card().frontend.from_dict(FRONTEND.to_dict() | {"framing": framing})
    model = open_model(card=log_mel_card(frontend=frontend, pad=pad, hop=RATE))
    clip = model((NOISE[:n_samples], RATE))
    assert np.isfinite(clip.scores).all()
    assert clip.duration_s == n_samples / RATE
    assert clip.windows[-1].end_s == clip.duration_s


@pytest.mark.parametrize(
    ("changes", "completed"),
    [
        ({"framing": "valid"}, FRONTEND.win_length),
        ({"framing": "valid", "preemphasis": 0.97, "preemphasis_scope": "clip"}, FRONTEND.win_length + 1),
        ({"framing": "center_trimmed", "win_length": 50, "n_fft": 255}, FRONTEND.hop_length + 1),
    ],
)
def test_a_tail_shorter_than_a_frame_is_completed_with_zeros_not_dropped(open_model, tmp_path, changes, completed):
    frontend = FRONTEND.from_dict(FRONTEND.to_dict() | changes)
    model = open_model(card=log_mel_card(frontend=frontend, pad="none", hop=RATE))
    clip = model((NOISE[: RATE + 3], RATE))
    frame = np.zeros(completed, np.float32)
    frame[:3] = NOISE[RATE : RATE + 3]
    assert len(clip.windows) == 2
    assert frontend.n_frames(completed) == 1
    np.testing.assert_array_equal(clip.windows[1].scores, by_hand(tmp_path / "model.onnx", frame, frontend)[0])


def test_first_window_does_not_depend_on_what_follows(open_model):
    model = open_model()
    alone, long = model((NOISE[:RATE], RATE)), model((NOISE, RATE))
    np.testing.assert_array_equal(alone.windows[0].scores, long.windows[0].scores)
    np.testing.assert_array_equal(alone.windows[0].embedding, long.windows[0].embedding)


def test_each_window_is_the_front_end_and_the_network_on_that_cut(open_model, tmp_path):
    windows = list(open_model().windows((NOISE, RATE)))
    assert len(windows) == 8
    for window in windows:
        start, end = round(window.start_s * RATE), round(window.end_s * RATE)
        cut = np.zeros(RATE, np.float32)
        cut[: end - start] = NOISE[start:end]
        scores, embedding = by_hand(tmp_path / "model.onnx", cut)
        np.testing.assert_array_equal(window.scores, scores)
        np.testing.assert_array_equal(window.embedding, embedding)


def test_bits_depend_neither_on_blocks_nor_on_threads(open_model, monkeypatch):
    want = open_model(threads=1)((NOISE, RATE))
    for block, threads in ((1 << 16, 4), (1000, 1), (4001, 2), (10**9, 3)):
        monkeypatch.setattr(model_module, "BLOCK_SAMPLES", block)
        got = open_model(threads=threads)((NOISE, RATE))
        np.testing.assert_array_equal(got.scores, want.scores)
        np.testing.assert_array_equal(got.embedding, want.embedding)


def test_eight_threads_share_a_model_and_get_the_bits_of_one(open_model):
    model = open_model(threads=2)
    clips = [NOISE[i * 1000 : i * 1000 + 2 * RATE] for i in range(8)]
    want = [model((clip, RATE)) for clip in clips]
    got = [[] for _ in clips]
    start = threading.Barrier(len(clips))

    def work(i):
        start.wait()
        got[i] = [model((clips[i], RATE)) for _ in range(10)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(clips))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for results, expected in zip(got, want, strict=True):
        assert len(results) == 10
        for result in results:
            np.testing.assert_array_equal(result.scores, expected.scores)
            np.testing.assert_array_equal(result.embedding, expected.embedding)


def test_pickled_model_gives_the_same_bits(open_model):
    model = open_model()
    again = pickle.loads(pickle.dumps(model))
    assert repr(again) == repr(model) == "Model('tiny', device='cpu', threads=1)"
    np.testing.assert_array_equal(again((NOISE, RATE)).scores, model((NOISE, RATE)).scores)


@pytest.mark.parametrize(
    "axes", [("batch", "mel", "time"), ("time", "batch", "mel"), ("batch", "channel", "time", "mel")]
)
def test_axes_are_arranged_as_the_card_says(open_model, axes):
    want = open_model()((NOISE, RATE))
    got = open_model(log_mel_network(axes), log_mel_card(input=ModelInput("log_mel", "log_mel", axes)))((NOISE, RATE))
    # The runtime merges the transposition into the mean, which then sums in another order.
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-6)


def test_a_long_recording_is_never_held(open_model, tmp_path):
    samples = np.zeros(20 * 60 * RATE, np.int16)
    path = tmp_path / "long.wav"
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    model = waveform_model(open_model, hop=RATE)
    tracemalloc.start()
    try:
        clip = model(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(clip.windows) == 20 * 60
    assert peak < samples.size * 4 / 8


def test_windows_are_read_as_far_as_needed(open_model):
    noisy = np.append(NOISE, np.float32(np.nan))
    windows = waveform_model(open_model).windows((np.tile(NOISE, 3), RATE))
    assert next(windows).start_s == 0
    windows.close()
    with pytest.raises(Exception, match="finite"):
        waveform_model(open_model)((noisy, RATE))


def test_other_rates_are_resampled(open_model):
    time_s = np.arange(2 * 2 * RATE) / (2 * RATE)
    tone = np.sin(2 * np.pi * 500 * time_s).astype(np.float32)
    model = open_model()
    twice, once = model((tone, 2 * RATE)), model((tone[::2].copy(), RATE))
    assert twice.duration_s == once.duration_s == 2
    np.testing.assert_allclose(twice.scores, once.scores, atol=0.02)


def test_model_for_embeddings_takes_no_sound(tmp_path):
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
        Model.open(path)((NOISE, RATE))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_damaged_weights_are_an_error_never_a_score(tmp_path, bad):
    constants = {"time_axis": np.array([1]), "weights": np.array([[1, bad, 1]], np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    network = build(nodes, {"waveform": ["batch", "time"]}, {"scores": ["batch", 3]}, constants)
    path = tmp_path / "damaged.onnx"
    path.write_bytes(write_card(network, waveform_card()).SerializeToString())
    with pytest.raises(ModelError, match="finite values in the output 'scores'"):
        Model.open(path)((NOISE, RATE))


def test_output_of_undeclared_width_is_checked_when_it_comes(tmp_path):
    constants = {"begin": np.array([0]), "end": np.array([4]), "axis": np.array([1])}
    nodes = [helper.make_node("Slice", ["waveform", "begin", "end", "axis"], ["scores"])]
    network = build(nodes, {"waveform": ["batch", "time"]}, {"scores": ["batch", "label"]}, constants)
    path = tmp_path / "wide.onnx"
    path.write_bytes(write_card(network, waveform_card()).SerializeToString())
    with pytest.raises(
        ModelError, match=r"expected 3 values for each of 1 windows in the output 'scores'.*got the shape \(1, 4\)"
    ):
        Model.open(path)((NOISE, RATE))


def test_errors_of_the_card_name_the_file(tmp_path):
    path = tmp_path / "bare.onnx"
    path.write_bytes(log_mel_network().SerializeToString())
    with pytest.raises(ModelError, match=r"bare\.onnx: expected a model with a card"):
        Model.open(path)


def test_samples_beyond_the_front_end_are_refused_with_their_place(open_model, tmp_path):
    model = open_model()
    samples = np.zeros(3 * model.card.window, np.float32)
    samples[2 * model.card.window + 5] = 1e25
    soundfile.write(tmp_path / "loud.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"loud\.wav.*, window from \d+\.\d+ s: expected samples whose square"):
        model(tmp_path / "loud.wav")


# Long calls


def test_progress_is_told_the_end_of_each_window(open_model):
    told = []
    clip = open_model()((NOISE, RATE), progress=told.append)
    assert told == [window.end_s for window in clip.windows]
    assert told[-1] == clip.duration_s


def test_a_call_is_cancelled_between_windows(open_model):
    cancel, told = threading.Event(), []

    def stop_after_the_third(seconds):
        told.append(seconds)
        if len(told) == 3:
            cancel.set()

    with pytest.raises(Cancelled, match=r"^cancelled after 2\.000 s of the given array$"):
        open_model()((NOISE, RATE), progress=stop_after_the_third, cancel=cancel)
    assert told == [1, 1.5, 2]


def test_a_call_is_cancelled_from_another_thread(open_model):
    model, cancel = waveform_model(open_model), threading.Event()
    threading.Timer(0.1, cancel.set).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        model((np.zeros(3600 * RATE, np.int16), RATE), hop_s=0.001, cancel=cancel)
    assert time.monotonic() - start < 5


# A life of opening and closing


def test_warming_up_changes_nothing(open_model, tmp_path):
    model = open_model()
    want = open_model()((NOISE, RATE)).scores
    model.warmup()
    np.testing.assert_array_equal(model((NOISE, RATE)).scores, want)
    Model.open(embedding_head(tmp_path / "head.onnx"), device="cpu").warmup()


def test_warming_up_runs_the_shape_of_a_recordings_windows(open_model, monkeypatch):
    model, shapes = open_model(), []
    run = model._session.run
    monkeypatch.setattr(
        model._session, "run", lambda outputs, feeds: shapes.append(feeds["log_mel"].shape) or run(outputs, feeds)
    )
    model.warmup()
    warm = set(shapes)
    model((NOISE, RATE))
    assert set(shapes) == warm


def test_a_closed_model_says_so(open_model):
    with open_model() as model:
        model((NOISE, RATE))
    for call in (model, lambda source: list(model.windows(source)), lambda source: model.live().push(source[0])):
        with pytest.raises(ModelError, match="expected an open model, got one that was closed; open it again"):
            list(call((NOISE, RATE)))


def test_a_pickle_of_a_file_that_changed_since_is_refused(open_model, tmp_path):
    pickled = pickle.dumps(open_model())
    save(tmp_path / "model.onnx", card=log_mel_card(reduce="mean"))
    with pytest.raises(ModelError, match="expected the model 'tiny' that was pickled, its file has changed since"):
        pickle.loads(pickled)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ModelError, match="found nothing at"):
        pickle.loads(pickled)


# Bits


@pytest.mark.parametrize("format_", ["WAV", "FLAC", "OGG"])
def test_bits_do_not_depend_on_how_a_file_is_read(open_model, tmp_path, monkeypatch, format_):
    path = tmp_path / f"noise.{format_.lower()}"
    stereo = np.stack([np.tile(NOISE, 3), np.tile(NOISE[::-1], 3)], axis=1)
    soundfile.write(path, stereo, 2 * RATE, format=format_)
    want = open_model()(path)
    for block, read in ((1 << 16, 1000), (777, 1 << 18), (50_000, 4001)):
        monkeypatch.setattr(model_module, "BLOCK_SAMPLES", block)
        monkeypatch.setattr(decode_sndfile, "MAX_BLOCK_SAMPLES", read)
        for threads in (1, 3):
            got = open_model(threads=threads)(path, batch_size=threads * 4)
            np.testing.assert_array_equal(got.scores, want.scores)
            np.testing.assert_array_equal(got.embedding, want.embedding)
            assert [w.scores.tolist() for w in got.windows] == [w.scores.tolist() for w in want.windows]


# Rows


def embedding_head(path, row_s=0.5):
    """Scores are the mean of rows of five, times 1, 2 and -1, for windows of four rows."""
    nodes = [
        helper.make_node("ReduceMean", ["rows", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.outer([1, 0, 0, 0, 0], [1, 2, -1]).astype(np.float32)}
    network = build(nodes, {"rows": ["batch", "time", 5]}, {"scores": ["batch", 3]}, constants)
    given = ModelInput("rows", "embedding", ("batch", "time", "feature"), row_s=row_s)
    path.write_bytes(write_card(network, waveform_card(input=given, window=4, hop=2)).SerializeToString())
    return path


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "list"])
def test_rows_are_cut_into_windows(tmp_path, dtype):
    rows = np.arange(45).reshape(9, 5)
    given = rows.tolist() if dtype == "list" else rows.astype(dtype)
    clip = Model.open(embedding_head(tmp_path / "head.onnx"), device="cpu").rows(given)
    assert [(w.start_s, w.end_s) for w in clip.windows] == [(0, 2), (1, 3), (2, 4), (3, 4.5)]
    # The last window has three rows, and one of zeros.
    assert [w.scores[0] for w in clip.windows] == [7.5, 17.5, 27.5, (30 + 35 + 40) / 4]
    assert (clip.duration_s, clip.path) == (4.5, None)


def test_how_far_rows_are_apart_may_be_said(tmp_path):
    rows = np.ones((6, 5), np.float32)
    head = Model.open(embedding_head(tmp_path / "head.onnx", row_s=None), device="cpu")
    assert head.rows(rows, row_s=0.25).duration_s == 1.5
    for row_s in (None, 0, -1, np.inf, np.nan):
        with pytest.raises(ConfigError, match=r"expected row_s, the seconds from one row to the next, as a positive"):
            head.rows(rows, row_s=row_s)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            np.zeros(5, np.float32),
            r"expected rows of shape \(n_rows, n_features\), one or more, got float32 \(5,\); resh",
        ),
        (np.zeros((0, 5), np.float32), r"one or more, got float32 \(0, 5\)"),
        (np.zeros((3, 5), np.complex64), "one or more, got complex64"),
        (np.array([["a"] * 5]), "one or more, got <U1"),
        ([[1.0, 2.0], [3.0]], "expected rows of numbers, got list"),
        (np.full((3, 5), np.nan), "expected finite rows, got NaN or infinity in row 0; leave it out"),
        (np.where(np.arange(15).reshape(3, 5) == 12, 1e300, 0), "expected finite rows, got NaN or infinity in row 2"),
    ],
)
def test_rows_that_are_none(tmp_path, rows, message):
    with pytest.raises(AudioError, match=message):
        Model.open(embedding_head(tmp_path / "head.onnx"), device="cpu").rows(rows)


def test_rows_of_another_width_do_not_fit_the_network(tmp_path):
    with pytest.raises(ModelError, match="expected the network to run on rows float32"):
        Model.open(embedding_head(tmp_path / "head.onnx"), device="cpu").rows(np.zeros((3, 4), np.float32))


def test_sound_and_rows_are_not_taken_for_each_other(open_model, tmp_path):
    with pytest.raises(
        ModelError, match=r"^expected a model that takes embeddings, 'tiny' takes sound; call it instead$"
    ):
        open_model().rows(np.zeros((3, 5), np.float32))
    head = Model.open(embedding_head(tmp_path / "head.onnx"), device="cpu")
    for call in (
        head,
        lambda source: list(head.windows(source)),
        lambda _: head.live(),
        lambda _: head.check_options({}),
    ):
        with pytest.raises(ModelError, match=r"'tiny' takes rows of embeddings; give them to Tagger\.from_embeddings"):
            call((NOISE, RATE))


def test_empty_filters_of_a_models_own_front_end_are_no_news(open_model):
    narrow = FRONTEND.from_dict(FRONTEND.to_dict() | {"n_mels": 8, "f_max": 150.0})
    with pytest.warns(UserWarning, match="hold no bin"):
        LogMel(narrow)
    assert np.isfinite(open_model(card=log_mel_card(frontend=narrow))((NOISE, RATE)).scores).all()

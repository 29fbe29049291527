"""What a call may ask for: each option against an independent reading of it, and each mistake by its message."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

from engine import Embedder, Tagger
from engine.card import ModelInput, write_card
from engine.errors import ConfigError, EngineError
from engine.model import Model
from engine.options import GPU_BATCH, resolve
from tests.tiny_models import (
    FRONTEND,
    LABELS,
    RATE,
    build,
    log_mel_card,
    log_mel_network,
    save,
    waveform_card,
    waveform_network,
)

NOISE = (np.random.default_rng(0).standard_normal(4 * RATE + 1234) / 10).astype(np.float32)


@pytest.fixture
def tagger(tmp_path):
    return Tagger(save(tmp_path / "tiny.onnx"), device="cpu", threads=1)


def resolved(card=None, **options):
    return resolve(card or log_mel_card(), RATE, **{"batches": False} | options)


# Mistakes

LOST = "between windows would be lost; lower hop_s"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_s": 0}, "expected window_s to be a positive number of seconds, got 0; correct it"),
        ({"window_s": -1.5}, "expected window_s to be a positive number of seconds, got -1.5; correct it"),
        ({"window_s": float("nan")}, "expected window_s to be a positive number of seconds, got nan; correct it"),
        ({"window_s": float("inf")}, "expected window_s to be a positive number of seconds, got inf; correct it"),
        ({"window_s": "1"}, "expected window_s to be a positive number of seconds, got '1'; correct it"),
        ({"window_s": True}, "expected window_s to be a positive number of seconds, got True; correct it"),
        ({"window_s": 1e-9}, "expected window_s to be a positive number of seconds, got 1e-09; correct it"),
        ({"hop_s": 0.0}, "expected hop_s to be a positive number of seconds, got 0.0; correct it"),
        ({"hop_s": 1e9}, "expected hop_s to be a positive number of seconds, got 1000000000.0; correct it"),
        (
            {"hop_s": 1.25},
            "expected hop_s to be at most the window, got 1.25 s for windows of 1 s: sound " + LOST,
        ),
        (
            {"window_s": 0.25, "hop_s": 0.5},
            "expected hop_s to be at most the window, got 0.5 s for windows of 0.25 s: sound " + LOST,
        ),
        ({"batch_size": 0}, "expected batch_size to be a whole number from 1 or 'auto', got 0; correct it"),
        ({"batch_size": 2.0}, "expected batch_size to be a whole number from 1 or 'auto', got 2.0; correct it"),
        ({"top_k": -3}, "expected top_k to be a whole number from 1, got -3; correct it"),
        ({"top_k": True}, "expected top_k to be a whole number from 1, got True; correct it"),
        (
            {"threshold": "high"},
            "expected threshold to be a number, or one for each label, got 'high'; correct it",
        ),
        ({"threshold": float("nan")}, "expected threshold to be a number, or one for each label, got nan; correct it"),
        (
            {"threshold": {"low": None}},
            "expected threshold to be a number, or one for each label, got None; correct it",
        ),
        (
            {"threshold": {"lwo": 0.5}},
            "expected threshold to hold labels of 'tiny', got unknown ['lwo']; see its labels",
        ),
        (
            {"labels_allow": ["low", "lwo", "hihg"]},
            "expected labels_allow to hold labels of 'tiny', got unknown ['hihg', 'lwo']; see its labels",
        ),
        (
            {"labels_deny": ["lwo"]},
            "expected labels_deny to hold labels of 'tiny', got unknown ['lwo']; see its labels",
        ),
        (
            {"labels_allow": "low"},
            "expected labels_allow to be a collection of labels, got the text 'low'; put it in a list",
        ),
        (
            {"labels_allow": ["low"], "labels_deny": ["low"]},
            "expected labels_allow and labels_deny to leave at least one label, got none; change them",
        ),
        (
            {"labels_allow": []},
            "expected labels_allow and labels_deny to leave at least one label, got none; change them",
        ),
    ],
)
def test_mistakes_are_one_sentence_wherever_options_are_given(tagger, options, message):
    for call in (
        lambda: tagger((NOISE, RATE), **options),
        lambda: list(tagger.windows((NOISE, RATE), **options)),
        lambda: tagger.batch([(NOISE, RATE)], **options),
        lambda: tagger.stream(RATE, **options),
    ):
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(caught.value) == message


def test_an_unknown_option_is_a_type_error(tagger):
    with pytest.raises(TypeError, match="overlap"):
        tagger((NOISE, RATE), overlap=0.5)


def test_windows_without_a_frame_are_refused():
    card = log_mel_card(frontend=replace(FRONTEND, framing="valid"))
    with pytest.raises(
        ConfigError, match=r"^expected window_s to hold a frame of 'tiny', 0\.025 s, got 0\.02; raise it$"
    ):
        resolved(card, window_s=0.02)
    assert resolved(card, window_s=0.025, hop_s=0.01).window == 200


# Windows


@pytest.mark.parametrize(
    ("options", "window", "hop"),
    [
        ({}, RATE, RATE // 2),
        ({"window_s": 0.5}, 4000, 4000),
        ({"window_s": 0.25}, 2000, 2000),
        ({"window_s": 2}, 16000, 4000),
        ({"hop_s": 0.1}, RATE, 800),
        ({"window_s": 0.3, "hop_s": 0.3}, 2400, 2400),
        ({"window_s": np.float32(0.5), "hop_s": np.float64(0.25)}, 4000, 2000),
        ({"window_s": 0.10004}, 800, 800),
        ({"window_s": 0.1001}, 801, 801),
    ],
)
def test_windows_and_hops_are_the_nearest_samples(options, window, hop):
    got = resolved(**options)
    assert (got.window, got.hop) == (window, hop)


@pytest.mark.parametrize("options", [{"window_s": 0.5}, {"hop_s": 0.2}, {"window_s": 1.5, "hop_s": 0.7}])
def test_each_window_is_the_model_on_that_cut(tagger, options):
    window = round(options.get("window_s", 1) * RATE)
    hop = round(options.get("hop_s", min(0.5, window / RATE)) * RATE)
    windows = list(tagger.windows((NOISE, RATE), **options))
    assert len(windows) == -(-(len(NOISE) - window) // hop) + 1
    for k, got in enumerate(windows):
        cut = NOISE[k * hop : k * hop + window]
        assert (got.start_s, got.end_s) == (k * hop / RATE, (k * hop + len(cut)) / RATE)
        alone = tagger((cut, RATE), window_s=window / RATE, hop_s=window / RATE)
        np.testing.assert_array_equal(got.scores, alone.scores)
        np.testing.assert_array_equal(got.embedding, alone.embedding)


def fixed_waveform_model(path, n_samples, context=0):
    nodes = [
        helper.make_node("ReduceMean", ["waveform", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.array([[1, 2, -1]], np.float32)}
    network = build(nodes, {"waveform": ["batch", n_samples]}, {"scores": ["batch", 3]}, constants)
    given = ModelInput("waveform", "waveform", ("batch", "time"), sample_rate=RATE, context=context)
    card = waveform_card(input=given, window=n_samples - context, hop=n_samples - context)
    return Model.open(save(path, network, card), device="cpu")


@pytest.mark.parametrize(("context", "other_s"), [(0, 0.5), (1000, 0.5), (1000, 1)])
def test_a_network_of_one_length_takes_no_other_window(tmp_path, context, other_s):
    model = fixed_waveform_model(tmp_path / "fixed.onnx", RATE, context)
    window_s = (RATE - context) / RATE
    with pytest.raises(
        ConfigError,
        match=rf"^expected windows of {window_s:g} s, the only length that 'tiny' takes, got window_s={other_s}; leave "
        "window_s out$",
    ):
        model((NOISE, RATE), window_s=other_s)
    assert len(model((NOISE, RATE), window_s=window_s).windows) == len(model((NOISE, RATE)).windows)
    assert len(model((NOISE, RATE), hop_s=0.25).windows) > len(model((NOISE, RATE)).windows)


def test_a_log_mel_network_of_one_length_takes_the_windows_with_as_many_frames(tmp_path):
    network = log_mel_network()
    network.graph.input[0].type.tensor_type.shape.dim[1].dim_value = FRONTEND.n_frames(RATE)
    model = Model.open(save(tmp_path / "fixed.onnx", network), device="cpu")
    assert model((NOISE, RATE), window_s=(RATE + 1) / RATE).scores.shape == (3,)
    with pytest.raises(ConfigError, match="the only length that 'tiny' takes"):
        model((NOISE, RATE), window_s=0.9)


# Batches


def test_batch_sizes_are_for_gpus():
    assert resolved(batch_size=8).batch_size == resolved().batch_size == 1
    assert resolved(batches=True, batch_size=8).batch_size == 8
    assert resolved(batches=True).batch_size == GPU_BATCH
    assert resolved(batches=True, batch_size="auto").batch_size is None
    assert resolved(batch_size="auto").batch_size == 1


def test_bits_do_not_depend_on_the_batch_size(tagger):
    want = tagger((NOISE, RATE))
    for batch_size in (1, 2, 7, 64):
        np.testing.assert_array_equal(tagger((NOISE, RATE), batch_size=batch_size).scores, want.scores)


# Labels and tags


def test_labels_are_chosen_in_the_order_of_the_model(tagger):
    whole = tagger((NOISE, RATE))
    for options, columns in (
        ({"labels_allow": ["both", "low"]}, [0, 2]),
        ({"labels_allow": {"high": 1}}, [1]),
        ({"labels_deny": frozenset({"low", "both"})}, [1]),
        ({"labels_allow": ["both", "low"], "labels_deny": ["both"]}, [0]),
        ({"labels_deny": []}, [0, 1, 2]),
    ):
        got = tagger((NOISE, RATE), **options)
        assert got.labels == tuple(LABELS[column] for column in columns)
        np.testing.assert_array_equal(got.scores, whole.scores[columns])
        for one, other in zip(got.windows, whole.windows, strict=True):
            np.testing.assert_array_equal(one.scores, other.scores[columns])
        np.testing.assert_array_equal(got.embedding, whole.embedding)


def test_tags_are_what_was_asked_for_and_scores_are_everything(tagger):
    whole = tagger((NOISE, RATE))
    best, second, third = whole.top(3)
    assert whole.tags == [best, second, third]
    between = (best.score + second.score) / 2
    for options, tags in (
        ({"top_k": 2}, [best, second]),
        ({"threshold": between}, [best]),
        ({"threshold": {best.label: 2, second.label: 0, third.label: 0}}, [second, third]),
        ({"threshold": 0, "top_k": 1}, [best]),
        ({"threshold": 2}, []),
    ):
        got = tagger((NOISE, RATE), **options)
        assert got.tags == tags
        np.testing.assert_array_equal(got.scores, whole.scores)
        assert got.top(3) == [best, second, third]
        for one, other in zip(got.windows, whole.windows, strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)
            kept = other.top(3) if "threshold" not in options else other.above(options["threshold"])
            assert one.tags == kept[: options.get("top_k")]


def test_a_threshold_for_some_labels_leaves_the_cards_for_the_others(tagger):
    whole = tagger((NOISE, RATE))
    got = tagger((NOISE, RATE), threshold={"both": 0.0})
    assert got.tags == whole.above({"both": 0.0})
    assert "both" in {tag.label for tag in got.tags}


def test_the_embedder_takes_windows_but_has_no_labels_to_choose(tmp_path):
    embedder = Embedder(save(tmp_path / "tiny.onnx"), device="cpu")
    assert len(embedder((NOISE, RATE), window_s=2, hop_s=1).windows) == 4
    with pytest.raises(EngineError, match="unknown"):
        embedder((NOISE, RATE), labels_allow=["rain"])


def test_options_of_rows_count_rows(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["rows", "time_axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = {"time_axis": np.array([1]), "weights": np.ones((2, 3), np.float32)}
    network = build(nodes, {"rows": ["batch", "time", 2]}, {"scores": ["batch", 3]}, constants)
    given = ModelInput("rows", "embedding", ("batch", "time", "feature"), row_s=0.5)
    card = waveform_card(input=given, window=4, hop=4)
    path = tmp_path / "head.onnx"
    path.write_bytes(write_card(network, card).SerializeToString())
    head = Model.open(path, device="cpu")
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert [(w.start_s, w.end_s) for w in head.rows(rows).windows] == [(0, 2), (2, 3)]
    assert [(w.start_s, w.end_s) for w in head.rows(rows, window_s=1.0, hop_s=0.5).windows] == [
        (0, 1),
        (0.5, 1.5),
        (1, 2),
        (1.5, 2.5),
        (2, 3),
    ]
    assert [w.scores[0] for w in head.rows(rows, window_s=1.0, hop_s=1.0).windows] == [3, 11, 19]


def test_front_ends_that_need_the_whole_input_have_the_window_as_scope(tmp_path):
    card = log_mel_card(frontend=replace(FRONTEND, log="dB", log_reference="max", log_range=80.0))
    model = Model.open(save(tmp_path / "max.onnx", card=card), device="cpu")
    first, _, last = model.windows((np.concatenate([NOISE[:RATE] / 1000, NOISE[:RATE]]), RATE))
    np.testing.assert_allclose(first.scores, last.scores, atol=1e-3)


def test_waveform_models_take_any_length_of_window(tmp_path):
    model = Model.open(save(tmp_path / "waveform.onnx", waveform_network(), waveform_card()), device="cpu")
    got = [window.scores[0] for window in model.windows((NOISE, RATE), window_s=0.25)]
    want = [NOISE[start : start + 2000].sum() / 2000 for start in range(0, len(NOISE), 2000)]
    np.testing.assert_allclose(got, want, atol=1e-6)

"""Adopting foreign models: what is derived, what is refused, and that the engine then computes what they compute."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from engine import Embedder, LogMel, Tagger
from engine.adopt import Facts, State, adopt_model
from engine.audio import load
from engine.errors import ConfigError, ModelError
from engine.model import Model
from engine.verify import verify_model
from tests import foreign_models, tiny_models
from tests.foreign_models import WINDOW
from tests.tiny_models import EMBEDDING_SIZE, FRONTEND, LABELS, RATE, log_mel_card, log_mel_network

NOISE = (0.1 * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)
WAVEFORM = Facts(labels=LABELS, sample_rate=RATE, activation="sigmoid")
LOG_MEL = Facts(labels=LABELS, frontend=FRONTEND, score="sigmoid", window=RATE)


@pytest.fixture
def adopt(tmp_path):
    def run(model, facts=WAVEFORM, **options):
        path = foreign_models.save(tmp_path / "foreign.onnx", model) if isinstance(model, onnx.ModelProto) else model
        return adopt_model(path, tmp_path / "mine.onnx", facts, **options)

    return run


def facts(base=WAVEFORM, **changes):
    return Facts(**{name: getattr(base, name) for name in base.__dataclass_fields__} | changes)


def test_nothing_but_the_needed_facts(adopt, tmp_path):
    card = adopt(foreign_models.waveform_logits())
    assert (card.name, card.task, card.score, card.reduce) == ("mine", "tag", "sigmoid", "max")
    assert (card.input.name, card.input.kind, card.input.axes) == ("sound", "waveform", ("batch", "time"))
    assert (card.window, card.hop, card.pad, card.sample_rate) == (WINDOW, WINDOW, "zeros", RATE)
    assert (card.outputs.scores.name, card.outputs.scores.axes) == ("logits_sigmoid", ("batch", "label"))
    assert (card.training_data, card.licence, card.attribution) == ("unknown", "unknown", "unknown")
    assert (card.thresholds, card.threshold_method, card.embedding_size) == ({}, "", None)
    assert verify_model(tmp_path / "mine.onnx").card == card
    clip = Tagger(tmp_path / "mine.onnx", device="cpu", threads=1)((NOISE[: 2 * WINDOW], RATE))
    for number, window in enumerate(clip.windows):
        mean = NOISE[number * WINDOW : (number + 1) * WINDOW].mean(dtype=np.float64)
        np.testing.assert_allclose(window.scores, 1 / (1 + np.exp(-mean * np.array([10, -10, 5]))), atol=1e-6)


def test_everything_stated_is_in_the_card(adopt):
    stated = {
        "name": "theirs",
        "hop": 100,
        "pad": "repeat",
        "reduce": "mean",
        "task": "tag",
        "threshold_method": "read in their paper",
        "training_data": "their set",
        "licence": "MIT",
        "attribution": "them",
        "commit": "v5",
        "metrics": {"mAP": 0.5},
    }
    thresholds = {"low": 0.25, "both": 0.75}
    card = adopt(foreign_models.waveform_logits(), facts(**stated, thresholds=thresholds))
    assert {name: getattr(card, name) for name in stated} == stated
    assert card.thresholds == thresholds
    card = adopt(foreign_models.waveform_logits(), facts(thresholds=0.4), overwrite=True)
    assert card.thresholds == dict.fromkeys(LABELS, 0.4)
    assert card.threshold_method == "stated when the model was adopted"


@pytest.mark.parametrize(
    "axes",
    [
        "batch time mel",
        "batch mel time",
        "batch channel time mel",
        "batch channel mel time",
        "batch time mel channel",
    ],
)
def test_any_order_of_log_mel_axes(adopt, tmp_path, axes):
    axes = tuple(axes.split())
    card = adopt(log_mel_network(axes), facts(LOG_MEL, scores="scores", embedding="embedding"))
    assert card.input.axes == axes
    assert (card.embedding_size, card.embedding_normalised) == (EMBEDDING_SIZE, True)
    ours = Model.open(tmp_path / "mine.onnx", "cpu", 1)((NOISE, RATE))
    by_hand = tiny_models.save(tmp_path / "hand.onnx", card=log_mel_card(hop=RATE))
    expected = Model.open(by_hand, "cpu", 1)((NOISE, RATE))
    np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-6)
    np.testing.assert_allclose(ours.embedding, expected.embedding, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((WINDOW,), ("time",)),
        ((1, WINDOW), ("batch", "time")),
        (("n", 1, WINDOW), ("batch", "channel", "time")),
        (("n", 1, "t"), ("batch", "channel", "time")),
    ],
)
def test_any_order_of_waveform_axes(adopt, shape, axes):
    if len(shape) == 1:
        model = tiny_models.build(
            [
                helper.make_node("Slice", ["sound", "start", "end"], ["scores"]),
                helper.make_node("Neg", ["sound"], ["x"]),
            ],
            {"sound": [WINDOW]},
            {"scores": [3]},
            {"start": np.array([0]), "end": np.array([3])},
        )
        assert adopt(model, facts(score="distance", activation=None)).outputs.scores.axes == ("label",)
        return
    card = adopt(foreign_models.waveform_logits(shape), facts(window=WINDOW))
    assert card.input.axes == axes


def test_the_window_follows_from_a_fixed_length(adopt):
    assert adopt(foreign_models.waveform_logits(("n", 464)), facts(context=64)).window == 400
    # 99 hops of 80 samples lead from the first frame's centre to the hundredth's.
    shape = tiny_models.log_mel_network()
    shape.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 100
    card = adopt(shape, facts(LOG_MEL, window=None, scores="scores"), overwrite=True)
    assert (card.window, FRONTEND.n_frames(card.window), FRONTEND.n_frames(card.window - 1)) == (7920, 100, 99)


def test_states_and_constants(adopt, tmp_path):
    card = adopt(
        foreign_models.running_sum(),
        Facts(
            labels=("heard",),
            score="sigmoid",
            sample_rate=RATE,
            window=100,
            states=(State("total", "total_out"),),
            constants={"gain": 2},
        ),
    )
    assert (card.input.states[0].shape, card.input.constants[0].dtype) == ((1, 1), "int64")
    assert card.outputs.scores.name == "score"
    samples = np.repeat(np.array([0.5, -0.25, 1.0], np.float32), 100)
    clip = Tagger(tmp_path / "mine.onnx", device="cpu", threads=1)((samples, RATE))
    totals = 2 * np.cumsum([0.5, -0.25, 1.0])
    np.testing.assert_allclose([window.scores[0] for window in clip.windows], 1 / (1 + np.exp(-totals)), atol=1e-6)


@pytest.mark.parametrize("axes", ["batch time label", "batch label time"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_scores_over_time(adopt, tmp_path, axes, activation):
    card = adopt(
        foreign_models.frame_logits(axes),
        Facts(
            labels=LABELS,
            activation=activation,
            frontend=FRONTEND,
            window=1600,
            frames="framewise",
            embedding="vector",
            frame_hop=80,
        ),
    )
    assert card.outputs.frames.axes == tuple(axes.split())
    assert (card.frame_hop, card.frame_length, card.outputs.scores) == (80, 80, None)
    assert (card.embedding_size, card.embedding_normalised) == (8, False)
    (window,) = Tagger(tmp_path / "mine.onnx", device="cpu", threads=1)((NOISE[:1600], RATE)).windows
    logits = LogMel(FRONTEND)(NOISE[:1600])[:, :3].astype(np.float64)
    powers = np.exp(logits)
    expected = powers / powers.sum(axis=1, keepdims=True) if activation == "softmax" else powers / (1 + powers)
    np.testing.assert_allclose(window.frames.scores, expected[: len(window.frames.scores)], atol=1e-5)


def test_a_model_that_only_embeds(adopt, tmp_path):
    network = log_mel_network()
    del network.graph.output[0]
    card = adopt(network, Facts(frontend=FRONTEND, window=RATE, training_data="none"))
    assert (card.task, card.labels, card.score, card.outputs.embedding.name) == ("embed", (), None, "embedding")
    clip = Embedder(tmp_path / "mine.onnx", device="cpu", threads=1)((NOISE, RATE))
    assert clip.embedding.shape == (EMBEDDING_SIZE,)


def test_a_head_on_foreign_embeddings(adopt, tmp_path):
    card = adopt(
        foreign_models.row_head(), Facts(labels=LABELS, score="softmax", kind="embedding", row_s=0.96, window=4)
    )
    assert (card.window, card.input.axes, card.reduce) == (4, ("batch", "time", "feature"), "mean")
    rows = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    scores = Model.open(tmp_path / "mine.onnx", "cpu", 1).rows(rows).scores
    powers = np.exp(rows.mean(axis=0) @ np.linspace(-1, 1, 18).reshape(6, 3))
    np.testing.assert_allclose(scores, powers / powers.sum(), atol=1e-6)
    assert verify_model(tmp_path / "mine.onnx").golden_error == 0


def test_weights_outside_are_taken_in(adopt, tmp_path):
    card = adopt(foreign_models.with_weights_outside(tmp_path), facts(activation=None, score="sigmoid"))
    (tmp_path / "outside.data").unlink()
    assert verify_model(tmp_path / "mine.onnx").card == card
    with pytest.raises(ModelError, match="expected an ONNX file with all its weights"):
        adopt(tmp_path / "outside.onnx", overwrite=True)


def test_weights_outside_of_the_folder_are_refused(adopt, tmp_path):
    (tmp_path / "in").mkdir()
    path = foreign_models.with_weights_outside(tmp_path / "in")
    (tmp_path / "in" / "outside.data").rename(tmp_path / "outside.data")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../outside.data"
    with pytest.raises(ModelError, match="all its weights"):
        adopt(foreign_models.save(path, model))


@pytest.mark.parametrize(("ir_version", "opset"), [(3, 9), (7, 13), (8, 18), (14, 20), (14, 28)])
def test_versions_older_and_newer_than_this_runtime_s(adopt, tmp_path, ir_version, opset):
    model = foreign_models.waveform_logits(opset=opset)
    model.ir_version = ir_version
    if ir_version == 3:  # weights are inputs, too
        for tensor in model.graph.initializer:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    adopt(model, facts(activation="softmax"))
    written = onnx.load(tmp_path / "mine.onnx")
    assert written.ir_version == min(ir_version, 10)
    assert written.opset_import[0].version == min(opset, 23)
    Tagger(tmp_path / "mine.onnx", device="cpu", threads=1)((NOISE, RATE))


def test_operators_that_cannot_be_converted_are_refused(adopt):
    model = foreign_models.waveform_logits(opset=28)
    model.graph.node.append(helper.make_node("OfTheFuture", ["logits"], ["beyond"]))
    with pytest.raises(ModelError, match=r"opset 23 at most .* got 28, which onnx cannot convert"):
        adopt(model)


def test_a_batch_that_only_seems_free_is_closed(adopt, tmp_path):
    adopt(foreign_models.batch_of_one_in_disguise(), facts(activation=None, score="sigmoid", reduce="max"))
    assert onnxruntime.InferenceSession(tmp_path / "mine.onnx").get_inputs()[0].shape == [1, WINDOW]
    adopt(foreign_models.waveform_logits(), overwrite=True)
    assert onnxruntime.InferenceSession(tmp_path / "mine.onnx").get_inputs()[0].shape == ["batch", WINDOW]


def test_the_softmax_of_old_operators_takes_the_last_axis_only(adopt):
    over_time = {"frontend": FRONTEND, "window": 1600, "frames": "framewise", "frame_hop": 80}
    old, last = foreign_models.frame_logits("batch label time"), foreign_models.frame_logits("batch time label")
    old.opset_import[0].version = last.opset_import[0].version = 12
    with pytest.raises(ModelError, match="last axis of 'framewise', for the softmax of opset 12 knows no other"):
        adopt(old, Facts(labels=LABELS, activation="softmax", **over_time))
    adopt(old, Facts(labels=LABELS, activation="sigmoid", **over_time))
    adopt(last, Facts(labels=LABELS, activation="softmax", **over_time), overwrite=True)


def wide_rows(n_features):
    model = foreign_models.row_head()
    length = model.graph.input[0].type.tensor_type.shape.dim[2]
    if isinstance(n_features, int):
        length.dim_value = n_features
    else:
        length.dim_param = n_features
    del model.graph.node[1:]
    model.graph.node[0].output[0] = "scores"
    return model


ROWS = Facts(labels=LABELS, score="softmax", kind="embedding", window=4, input_axes=("batch", "time", "feature"))
LOGITS, STATEFUL = foreign_models.waveform_logits(), foreign_models.running_sum()
FRAMES = Facts(labels=LABELS, activation="sigmoid", frontend=FRONTEND, window=1600, frames="framewise")
NAN = foreign_models.waveform_logits()
NAN.graph.node[1].op_type = "Div"
NAN.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 3), np.float32), "weights"))
HALF = foreign_models.waveform_logits()
HALF.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("model", "stated", "kind", "message"),
    [
        (LOGITS, Facts(labels=LABELS, activation="sigmoid"), ConfigError, "told what the model takes"),
        (LOGITS, facts(frontend=FRONTEND), ConfigError, "leave out what does not belong"),
        (LOGITS, facts(kind="log_mel"), ConfigError, "leave out what does not belong"),
        (LOGITS, facts(activation=None), ConfigError, "told what the scores are"),
        (LOGITS, facts(labels=()), ConfigError, "leave the activation out"),
        (LOGITS, facts(activation=None, score="sigmoid"), ModelError, "these are logits"),
        (LOGITS, facts(score="softmax"), ModelError, "softmax scores that sum to 1, got a sum of"),
        (LOGITS, facts(labels=LABELS[:2]), ModelError, r"width is the number of labels, 2, .*\(1, 3\)"),
        (LOGITS, facts(scores="clipwise"), ModelError, r"the output 'clipwise' .* \['logits'\]"),
        (LOGITS, facts(scores="logits", scores_axes=("label",)), ModelError, "one axis for each of the output"),
        (LOGITS, facts(input_axes=("time",)), ModelError, "one axis for each of the input 'sound'"),
        (LOGITS, facts(constants={"sr": 8000}), ModelError, r"the input 'sr' in the graph, it has \['sound'\]"),
        (LOGITS, facts(window=200), ModelError, "'sound' to have axes in one of the orders time, batch time"),
        (LOGITS, facts(hop=2 * WINDOW), ModelError, "'hop' to be a whole number from 1 to the window"),
        (foreign_models.waveform_logits(("n", "t")), WAVEFORM, ModelError, "expected the window to be stated"),
        (LOGITS, facts(context=WINDOW), ModelError, "a window of 1 to 268435456 samples or rows, got 0"),
        (foreign_models.waveform_logits(("n", "t")), facts(window=1 << 40), ModelError, "got 1099511627776"),
        (wide_rows("features"), ROWS, ModelError, "fix how many features a row of 'rows' has"),
        (wide_rows(1 << 30), ROWS, ModelError, "268435456 in a window at most"),
        (STATEFUL, facts(window=100), ModelError, r"\['gain', 'sound', 'total'\] left for it; state those"),
        (
            STATEFUL,
            facts(states=(State("gain", "x"),), constants={"total": 1, "sound": 1}),
            ModelError,
            "got .. left|left",
        ),
        (foreign_models.random_scores(), facts(activation=None, score="sigmoid"), ModelError, "random numbers"),
        (foreign_models.frame_logits(), FRAMES, ModelError, "'frame_hop' to be a whole number"),
        (foreign_models.frame_logits(), Facts(frontend=FRONTEND, window=1600), ModelError, "outputs a single one"),
        (NAN, facts(), ModelError, "expected finite values in the output"),
        (HALF, facts(), ModelError, "none that onnxruntime can load"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_nothing_is_written(adopt, tmp_path, model, stated, kind, message):
    with pytest.raises(kind, match=message) as caught:
        adopt(model, stated)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.onnx"]


def test_free_axes_are_not_guessed(adopt):
    free = log_mel_network()
    free.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "bands"
    with pytest.raises(ModelError, match=r"in one of the orders time mel, .* state the order as input_axes"):
        adopt(free, facts(LOG_MEL, scores="scores"))
    assert adopt(free, facts(LOG_MEL, scores="scores", input_axes=("batch", "time", "mel"))).window == RATE


def test_axes_that_look_alike_are_to_be_stated(adopt):
    square = log_mel_network()
    square.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 8
    stated = facts(LOG_MEL, window=FRONTEND.n_samples(8), scores="scores")
    with pytest.raises(ModelError, match="fits batch,time,mel and batch,mel,time; state the order as input_axes"):
        adopt(square, stated)
    assert adopt(square, facts(stated, input_axes=("batch", "time", "mel"))).window == 560


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a"])
def test_a_file_that_is_no_model(adopt, tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="expected an ONNX file"):
        adopt(tmp_path / "bad.onnx")
    with pytest.raises(ModelError, match=r"expected an ONNX file .* No such file"):
        adopt(tmp_path / "none.onnx")


def test_an_existing_file_stays(adopt, tmp_path):
    (tmp_path / "mine.onnx").write_text("precious")
    with pytest.raises(ConfigError, match="which exists; rename it or allow overwriting"):
        adopt(foreign_models.waveform_logits())
    with pytest.raises(ModelError, match="these are logits"):
        adopt(foreign_models.waveform_logits(), facts(activation=None, score="sigmoid"), overwrite=True)
    assert (tmp_path / "mine.onnx").read_text() == "precious"
    with pytest.raises(ConfigError, match="make the folder first"):
        adopt_model(tmp_path / "foreign.onnx", tmp_path / "none" / "m.onnx", WAVEFORM)


SILERO = Facts(
    labels=("speech",),
    score="sigmoid",
    sample_rate=16000,
    window=512,
    context=64,
    states=(State("state", "stateN"),),
    constants={"sr": 16000},
    thresholds=0.5,
)


@pytest.mark.parametrize("file", ["silero_vad.onnx", "silero_vad_16k_op15.onnx"])
def test_silero_is_what_a_loop_over_the_runtime_gives(adopt, tmp_path, shared_data, file):
    original = shared_data / "models" / "silero_vad" / file
    adopt(original, SILERO)
    samples, _ = load(shared_data / "fsdd_dev" / "recordings" / "7_jackson_3.flac", sample_rate=16000)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(original, options, providers=["CPUExecutionProvider"])
    # As its publishers use it: 64 samples of the past before each window of 512, zeros at both ends.
    padded = np.pad(samples, (64, -len(samples) % 512))
    state, expected = np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(samples), 512):
        feed = {"input": padded[None, start : start + 576], "state": state, "sr": np.array(16000)}
        score, state = session.run(["output", "stateN"], feed)
        expected.append(score[0, 0])
    clip = Tagger(tmp_path / "mine.onnx", device="cpu", threads=1)((samples, 16000))
    assert [window.scores[0] for window in clip.windows] == expected
    assert len(expected) > 10


def test_silero_hears_speech_and_not_rain(adopt, tmp_path, shared_data):
    adopt(shared_data / "models" / "silero_vad" / "silero_vad.onnx", SILERO)
    tagger = Tagger(tmp_path / "mine.onnx", device="cpu", threads=1)
    for name in ("0_george_0", "3_lucas_5", "7_jackson_3"):
        assert tagger(shared_data / "fsdd_dev" / "recordings" / f"{name}.flac").scores[0] > 0.9
    for name in ("1-17367-A-1", "1-21189-A-1", "2-68391-B-7"):
        assert tagger(shared_data / "esc10_dev" / "audio" / f"{name}.ogg").scores[0] < 0.5

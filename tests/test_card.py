from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import onnx
import onnxruntime
import pytest

from engine.card import ModelCard, read_card, write_card
from engine.card_parts import Golden, ModelConstant, ModelInput, ModelOutput, ModelOutputs, ModelState
from engine.errors import ModelError
from engine.fingerprint import METADATA_KEY, canonical_json, card_sha256
from tests.tiny_models import LABELS, log_mel_card, log_mel_network, waveform_card

GOLDEN = Golden("bursts-chirp-clicks", (0.1, 0.2, 0.3), (1.0, 0.0, 0.0, 0.0), 1e-4)
SCORES, EMBEDDING = ModelOutput("scores", ("batch", "label")), ModelOutput("embedding", ("batch", "feature"))
FRAMES = ModelOutput("frames", ("batch", "time", "label"))
STATE, CONSTANT = ModelState("h", "h_next", (2, 1, 64)), ModelConstant("rate", "int64", (), 8000)
WITH_STATES = waveform_card(
    input=ModelInput(
        "waveform", "waveform", ("batch", "time"), 8000, context=64, states=(STATE,), constants=(CONSTANT,)
    )
)
WITH_FRAMES = log_mel_card(outputs=ModelOutputs(SCORES, EMBEDDING, FRAMES), frame_hop=80, frame_length=200)
WITH_ROWS = waveform_card(input=ModelInput("rows", "embedding", ("batch", "time", "feature"), row_s=0.96))
FRAMES_PADDED = log_mel_card(
    input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel"), frame_padding=-1.25), pad="frames"
)
# Every type that JSON has, for each field one that it must refuse.
WRONG_TYPES = {
    "schema": "2",
    "name": "two words",
    "task": "classify",
    "labels": "low",
    "score": "relu",
    "frontend": [],
    "input": None,
    "outputs": "scores",
    "window": 8000.0,
    "hop": True,
    "pad": None,
    "reduce": "median",
    "embedding_size": "4",
    "embedding_normalised": 1,
    "frame_hop": "80",
    "frame_length": 200.0,
    "thresholds": [0.5],
    "threshold_method": None,
    "query": "a tower",
    "training_data": 5,
    "licence": None,
    "attribution": ["someone"],
    "commit": 7,
    "metrics": [],
    "golden": 1e-4,
    "model_sha256": "abc",
    "card_sha256": 0,
}


def metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def stamped(values):
    """The metadata of a card whose hash fits, whatever it says."""
    return {METADATA_KEY: canonical_json(values | {"card_sha256": card_sha256(values)})}


@pytest.mark.parametrize(
    "card",
    [
        log_mel_card(),
        log_mel_card(golden=GOLDEN),
        waveform_card(thresholds={}, threshold_method=""),
        WITH_STATES,
        WITH_FRAMES,
        WITH_ROWS,
        FRAMES_PADDED,
    ],
)
def test_card_survives_json(card):
    text = json.dumps(card.to_dict())
    assert ModelCard.from_dict(json.loads(text)) == card


def test_every_field_has_a_wrong_type_to_refuse():
    assert set(WRONG_TYPES) == {field.name for field in fields(ModelCard)}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_wrong_type_is_refused_by_name(name):
    values = log_mel_card(golden=GOLDEN).to_dict() | {name: WRONG_TYPES[name]}
    with pytest.raises(ModelError, match=name):
        ModelCard.from_dict(values)


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_missing_field_is_refused_by_name(name):
    values = log_mel_card().to_dict()
    del values[name]
    with pytest.raises(ModelError, match=rf"without \['{name}'\]"):
        ModelCard.from_dict(values)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("input",),
        ("input", "states", 0),
        ("input", "constants", 0),
        ("outputs",),
        ("outputs", "scores"),
        ("golden",),
        ("frontend",),
    ],
)
def test_unknown_field_is_refused_by_name_at_every_level(path):
    card = WITH_STATES if "input" in path else log_mel_card(golden=GOLDEN)
    values = part = card.to_dict()
    for name in path:
        part = part[name]
    part["colour"] = "red"
    with pytest.raises(ModelError, match="colour"):
        ModelCard.from_dict(values)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("labels", {"labels": ("low", "low", "both")}),
        ("labels", {"labels": ("low", "", "both")}),
        ("labels", {"labels": ()}),
        ("labels", {"outputs": ModelOutputs(embedding=EMBEDDING), "task": "embed", "score": None}),
        ("score", {"outputs": ModelOutputs(embedding=EMBEDDING), "task": "embed", "labels": ()}),
        ("score", {"score": None}),
        ("outputs.scores", {"outputs": ModelOutputs(embedding=EMBEDDING), "labels": (), "score": None}),
        ("outputs.embedding", {"task": "embed", "outputs": ModelOutputs(scores=SCORES), "embedding_size": None}),
        ("embedding_size", {"outputs": ModelOutputs(scores=SCORES)}),
        ("embedding_size", {"embedding_size": None}),
        ("hop", {"hop": 8001}),
        ("hop", {"hop": 0}),
        ("window", {"window": 1 << 40}),
        ("thresholds", {"thresholds": {"middle": 0.5}}),
        ("thresholds", {"thresholds": {"low": float("nan")}}),
        ("thresholds", {"thresholds": {"low": 10**400}}),
        ("threshold_method", {"threshold_method": ""}),
        ("threshold_method", {"thresholds": {}}),
        ("metrics", {"metrics": {"accuracy": float("inf")}}),
        ("metrics", {"metrics": {"accuracy": {1, 2}}}),
        ("frontend", {"frontend": None}),
        ("frontend", {"input": ModelInput("waveform", "waveform", ("batch", "time"), 8000)}),
        ("frame_hop", {"outputs": ModelOutputs(frames=FRAMES, embedding=EMBEDDING), "frame_length": 200}),
        ("frame_hop", {"frame_hop": 80}),
        ("frame_hop", {"outputs": WITH_FRAMES.outputs, "frame_hop": 0, "frame_length": 200}),
        ("frame_hop", {"outputs": WITH_FRAMES.outputs, "frame_hop": 8001, "frame_length": 200}),
        ("frame_length", {"outputs": WITH_FRAMES.outputs, "frame_hop": 80}),
        ("frame_length", {"frame_length": 200}),
        ("input.frame_padding", {"input": FRAMES_PADDED.input}),
        ("golden.scores", {"golden": replace(GOLDEN, scores=(0.1,))}),
        ("golden.scores", {"golden": replace(GOLDEN, scores=None)}),
        ("golden.embedding", {"golden": replace(GOLDEN, embedding=(1.0,))}),
    ],
)
def test_contradiction_is_refused_by_name(name, changes):
    with pytest.raises(ModelError, match=name):
        log_mel_card(**changes)


def test_window_shorter_than_a_frame_is_refused():
    whole_frames = replace(log_mel_card().frontend, framing="valid")
    log_mel_card(frontend=whole_frames, window=200, hop=200)
    with pytest.raises(ModelError, match="window"):
        log_mel_card(frontend=whole_frames, window=199, hop=199)


@pytest.mark.parametrize(
    ("name", "part", "arguments"),
    [
        ("input.kind", ModelInput, ("x", "mfcc", ("batch", "time", "mel"))),
        ("input.axes", ModelInput, ("x", "log_mel", ("batch", "time"))),
        ("input.axes", ModelInput, ("x", "log_mel", ("time", "mel", "mel"))),
        ("input.axes", ModelInput, ("x", "waveform", ("batch", "time", "mel"), 8000)),
        ("input.sample_rate", ModelInput, ("x", "waveform", ("batch", "time"))),
        ("input.sample_rate", ModelInput, ("x", "waveform", ("batch", "time"), 10**7)),
        ("input.sample_rate", ModelInput, ("x", "log_mel", ("batch", "time", "mel"), 8000)),
        ("input.name", ModelInput, ("", "log_mel", ("batch", "time", "mel"))),
        ("input.context", ModelInput, ("x", "waveform", ("time",), 8000, -1)),
        ("input.context", ModelInput, ("x", "waveform", ("time",), 8000, 64.0)),
        ("input.context", ModelInput, ("x", "waveform", ("time",), 8000, 1 << 29)),
        ("input.context", ModelInput, ("x", "log_mel", ("time", "mel"), None, 64)),
        ("input.states", ModelInput, ("x", "waveform", ("time",), 8000, 0, "h")),
        ("input.states", ModelInput, ("x", "waveform", ("time",), 8000, 0, (CONSTANT,))),
        ("input.states", ModelInput, ("x", "waveform", ("time",), 8000, 0, (STATE, replace(STATE, name="c")))),
        ("input.constants", ModelInput, ("x", "waveform", ("time",), 8000, 0, (), (16000,))),
        ("input", ModelInput, ("h", "waveform", ("time",), 8000, 0, (STATE,))),
        ("input", ModelInput, ("x", "waveform", ("time",), 8000, 0, (STATE,), (replace(CONSTANT, name="h"),))),
        ("input.row_s", ModelInput, ("x", "embedding", ("time", "feature"), None, 0, (), (), 0)),
        ("input.row_s", ModelInput, ("x", "embedding", ("time", "feature"), None, 0, (), (), "1")),
        ("input.row_s", ModelInput, ("x", "log_mel", ("time", "mel"), None, 0, (), (), 0.96)),
        ("input.frame_padding", ModelInput, ("x", "log_mel", ("time", "mel"), None, 0, (), (), None, float("inf"))),
        ("input.frame_padding", ModelInput, ("x", "log_mel", ("time", "mel"), None, 0, (), (), None, 1e39)),
        ("input.states.name", ModelState, ("", "h_next", (1,))),
        ("input.states.output", ModelState, ("h", None, (1,))),
        ("input.states.shape", ModelState, ("h", "h_next", 1)),
        ("input.states.shape", ModelState, ("h", "h_next", (2, 0))),
        ("input.states.shape", ModelState, ("h", "h_next", (2, "batch"))),
        ("input.states.shape", ModelState, ("h", "h_next", (1 << 20, 1 << 20))),
        ("input.states.shape", ModelState, ("h", "h_next", (1,) * 9)),
        ("input.constants.name", ModelConstant, (3, "int64", (), 1)),
        ("input.constants.dtype", ModelConstant, ("rate", "int8", (), 1)),
        ("input.constants.shape", ModelConstant, ("rate", "int64", None, 1)),
        ("input.constants.value", ModelConstant, ("rate", "int64", (), 1.5)),
        ("input.constants.value", ModelConstant, ("rate", "int32", (), 1 << 31)),
        ("input.constants.value", ModelConstant, ("rate", "float32", (), 1e39)),
        ("input.constants.value", ModelConstant, ("rate", "float32", (), True)),
        ("input.constants.value", ModelConstant, ("rate", "bool", (), 1)),
        ("outputs.axes", ModelOutput, ("y", ("batch", "label", "feature"))),
        ("outputs.axes", ModelOutput, ("y", ("batch", "time"))),
        ("outputs.axes", ModelOutput, ("y", ("batch",))),
        ("outputs.name", ModelOutput, (None, ("batch", "label"))),
        ("outputs.scores", ModelOutputs, (EMBEDDING, None)),
        ("outputs.scores", ModelOutputs, (FRAMES,)),
        ("outputs.frames", ModelOutputs, (None, None, SCORES)),
        ("outputs.frames", ModelOutputs, (None, None, "frames")),
        ("outputs.embedding", ModelOutputs, (None, FRAMES)),
        ("outputs", ModelOutputs, ()),
        ("golden.tolerance", Golden, ("clip", None, None, 0.0)),
        ("golden.scores", Golden, ("clip", (float("nan"),), None, 1e-4)),
        ("golden.clip", Golden, ("", None, None, 1e-4)),
    ],
)
def test_part_of_a_card_is_refused_by_name(name, part, arguments):
    with pytest.raises(ModelError, match=f"'{name}'"):
        part(*arguments)


def test_sample_rate_is_the_front_ends_or_the_inputs():
    assert log_mel_card().sample_rate == 8000
    assert waveform_card(input=ModelInput("waveform", "waveform", ("time",), 44100)).sample_rate == 44100
    rows = ModelInput("rows", "embedding", ("batch", "time", "feature"))
    assert waveform_card(input=rows).sample_rate is None


def test_write_card_fills_both_hashes_and_leaves_the_model_alone():
    network = log_mel_network()
    before = network.SerializeToString(deterministic=True)
    written = write_card(network, log_mel_card())
    card = read_card(metadata(written))
    assert network.SerializeToString(deterministic=True) == before
    assert len(card.card_sha256) == len(card.model_sha256) == 64
    assert replace(card, card_sha256="", model_sha256="") == log_mel_card()


def test_write_card_replaces_an_older_card_and_keeps_other_metadata():
    network = log_mel_network()
    network.metadata_props.add(key="author", value="somebody")
    once = write_card(network, log_mel_card(name="first"))
    twice = write_card(once, log_mel_card(name="second"))
    assert [entry.key for entry in twice.metadata_props] == ["author", METADATA_KEY]
    assert read_card(metadata(twice)).name == "second"
    assert read_card(metadata(twice)).model_sha256 == read_card(metadata(once)).model_sha256


def test_card_survives_the_file_and_the_runtime(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(write_card(log_mel_network(), log_mel_card()), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert read_card(session.get_modelmeta().custom_metadata_map) == read_card(metadata(onnx.load(path)))


def test_hashes_tell_card_and_weights_apart():
    network = log_mel_network()
    base = read_card(metadata(write_card(network, log_mel_card())))
    relabelled = read_card(metadata(write_card(network, log_mel_card(labels=("low", "high", "all")))))
    weights = next(tensor for tensor in network.graph.initializer if tensor.name == "weights")
    values = onnx.numpy_helper.to_array(weights).copy()
    values[0, 0] = np.nextafter(values[0, 0], np.float32(1))
    weights.CopyFrom(onnx.numpy_helper.from_array(values, "weights"))
    reweighted = read_card(metadata(write_card(network, log_mel_card())))
    assert relabelled.card_sha256 != base.card_sha256
    assert relabelled.model_sha256 == base.model_sha256
    assert reweighted.card_sha256 == base.card_sha256
    assert reweighted.model_sha256 != base.model_sha256


def test_model_without_a_card_is_told_how_to_get_one():
    with pytest.raises(ModelError, match=r"engine models adopt.*training\.export"):
        read_card({"author": "somebody"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '{"window": NaN}',
        '{"window": 1e999}',
        '{"name": "\\ud800"}',
        '{"metrics": {"\\ud800": 1}}',
        pytest.param('{"window": ' + "1" * 5000 + "}", id="digits"),
        pytest.param("[" * 99_999, id="nested"),
        pytest.param('{"metrics": ' + "[" * 32 + "]" * 32 + "}", id="33 levels"),
    ],
)
def test_damaged_card_is_refused(text):
    with pytest.raises(ModelError, match="expected the card to be a JSON object"):
        read_card({METADATA_KEY: text})


@pytest.mark.parametrize("schema", [0, 4, "1", "2", 2.0, None, True, [], pytest.param("x" * 9999, id="long")])
def test_other_schema_is_refused_with_what_to_do(schema):
    values = log_mel_card().to_dict() | {"schema": schema}
    with pytest.raises(ModelError, match=r"schema 1 to 3.*got schema .*sound-engine version") as caught:
        read_card(stamped(values))
    assert len(str(caught.value)) < 400


def test_metrics_may_be_nested_to_the_depth_that_is_read():
    deep = 1
    for _ in range(29):
        deep = [deep]
    values = log_mel_card(metrics={"deep": deep}).to_dict()
    assert read_card(stamped(values)).metrics == {"deep": deep}


def test_a_card_as_long_as_a_book_is_refused_before_it_is_parsed():
    with pytest.raises(ModelError, match="at most 4194304 characters"):
        read_card({METADATA_KEY: '{"name": "' + "x" * (1 << 22) + '"}'})


def test_a_model_with_frames_only_has_labels_and_scores():
    card = replace(WITH_FRAMES, outputs=ModelOutputs(frames=FRAMES), embedding_size=None, golden=None)
    assert (card.task, card.labels) == ("tag", LABELS)
    with pytest.raises(ModelError, match=r"golden\.scores"):
        replace(card, golden=replace(GOLDEN, scores=None, embedding=None))


def test_pad_with_frames_is_for_log_mel_only():
    with pytest.raises(ModelError, match="'pad'"):
        waveform_card(pad="frames")


def test_changed_label_is_refused_as_a_changed_card():
    card = metadata(write_card(log_mel_network(), log_mel_card()))
    changed = card[METADATA_KEY].replace('"both"', '"loud"')
    assert changed != card[METADATA_KEY]
    with pytest.raises(ModelError, match="the card was changed"):
        read_card({METADATA_KEY: changed})


def test_a_long_value_does_not_make_a_long_message():
    values = log_mel_card().to_dict()
    values["frontend"]["spectrum"] = "x" * 10_000
    with pytest.raises(ModelError, match=r"'frontend'.*spectrum='xxx.*\.\.\.") as caught:
        read_card(stamped(values))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("bad", [{"mean": [10**400]}, {"window": {}}, {"n_mels": "8"}, {"sample_rate": None}])
def test_front_end_that_does_not_exist_is_refused(bad):
    values = log_mel_card().to_dict()
    values["frontend"] |= bad
    with pytest.raises(ModelError, match="'frontend'"):
        read_card(stamped(values))


def test_cards_of_an_older_front_end_are_read_with_its_defaults():
    values = log_mel_card().to_dict()
    del values["frontend"]["zscore"]
    assert read_card(stamped(values)).frontend == log_mel_card().frontend


def test_weights_in_other_files_are_refused(tmp_path):
    network = log_mel_network()
    onnx.external_data_helper.convert_model_to_external_data(network, location="weights.bin", size_threshold=0)
    with pytest.raises(ModelError, match="weights inside"):
        write_card(network, log_mel_card())


def test_labels_and_axes_from_json_are_tuples():
    card = ModelCard.from_dict(json.loads(json.dumps(log_mel_card().to_dict())))
    assert card.labels == LABELS
    assert card.input.axes == ("batch", "time", "mel")

"""Two towers where a model is expected: the card's own contradictions, and the commands that take any model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

from engine import Tagger
from engine.card import ModelInput, ModelOutput, ModelOutputs, read_card, write_card
from engine.card_parts import Golden
from engine.convert import convert_model
from engine.errors import ConfigError, ModelError
from engine.session import Session
from engine.two_tower import TwoTower, query_card
from engine.verify import record_golden, verify_model
from tests.test_card import GOLDEN, WITH_STATES
from tests.tiny_models import log_mel_card, save
from tests.tiny_towers import QUERY_RATE, QUERY_SIZE, query_tower, save_towers, two_tower_card, two_tower_network


@pytest.fixture
def model(tmp_path):
    return save_towers(tmp_path / "towers.onnx")


WAVEFORM = ModelInput("query", "waveform", ("batch", "time"), 8000)
ROWS = ModelInput("rows", "embedding", ("batch", "time", "feature"))
NO_BATCH = ModelOutput("query", ("feature",))

CONTRADICTIONS = {
    "a tag model": ({"task": "embed"}, "task"),
    "scores": (
        {"outputs": ModelOutputs(ModelOutput("s", ("batch", "label")), ModelOutput("reference", ("batch", "feature")))},
        "labels",
    ),
    "no embedding": ({"outputs": None}, "outputs"),
    "an embedding without batch": ({"outputs": ModelOutputs(embedding=NO_BATCH)}, "outputs.embedding"),
    "frames": ({"pad": "frames"}, "pad"),
    "states": ({"input": WITH_STATES.input, "frontend": None}, "input"),
    "one name twice": ({"input": ModelInput("query_log_mel", "log_mel", ("batch", "time", "mel"))}, "query"),
    "text": ({"query": "a tower"}, "query"),
    "a golden without similarity": ({"golden": Golden("bursts-chirp-clicks", None, (0.0,) * 5, 1e-4)}, "similarity"),
}
WRONG_TOWERS = {
    "no front end": ({"frontend": None}, "query.frontend"),
    "a front end too many": ({"input": WAVEFORM}, "query.frontend"),
    "rows": ({"input": ROWS, "frontend": None}, "query.input.kind"),
    "padding": ({"input": replace(query_tower().input, frame_padding=1.0)}, "query.input"),
    "no batch": ({"embedding": NO_BATCH}, "query.embedding"),
    "no size": ({"embedding_size": 0}, "query.embedding_size"),
    "no window": ({"window": 0}, "query.window"),
    "no name": ({"similarity": ""}, "query.similarity"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_card_that_contradicts_itself_is_refused(name):
    changes, field = CONTRADICTIONS[name]
    with pytest.raises(ModelError, match=field):
        two_tower_card(**changes)


@pytest.mark.parametrize("name", WRONG_TOWERS)
def test_a_wrong_query_tower_is_refused_by_field(name):
    changes, field = WRONG_TOWERS[name]
    with pytest.raises(ModelError, match=f"'{field}'"):
        query_tower(**changes)


def test_a_golden_similarity_without_towers_is_refused():
    with pytest.raises(ModelError, match=r"golden\.similarity"):
        log_mel_card(golden=replace(GOLDEN, similarity=0.5))


def test_the_card_survives_json(model):
    card = read_card(Session(model, "cpu", 1).metadata)
    assert type(card).from_dict(json.loads(json.dumps(card.to_dict()))) == card
    assert query_card(card).embedding_size == QUERY_SIZE
    assert query_card(card).sample_rate == QUERY_RATE


def test_one_tower_is_no_two(tmp_path):
    session = Session(save(tmp_path / "tiny.onnx"), "cpu", 1)
    with pytest.raises(ModelError, match=r"two towers, 'tiny' has one.*engine\.Ranker"):
        TwoTower(session, read_card(session.metadata))


def test_a_tagger_says_what_it_needs(model):
    with pytest.raises(ModelError, match="tiny-towers"):
        Tagger(model, device="cpu")


def test_the_golden_check_covers_all_three_parts(model):
    assert verify_model(model).golden_error < 1e-6
    card = read_card(Session(model, "cpu", 1).metadata)
    for name in ("query_weights", "reference_weights", "bilinear"):
        changed = onnx.load(model)
        (tensor,) = (tensor for tensor in changed.graph.initializer if tensor.name == name)
        tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) * np.float32(1.1)).tobytes()
        model.write_bytes(write_card(changed, card).SerializeToString())
        with pytest.raises(ModelError, match="golden check"):
            verify_model(model)


def test_a_card_at_odds_with_the_graph_is_refused():
    for changes in (
        {"similarity": "nothing"},
        {"embedding_size": QUERY_SIZE + 1},
        {"embedding": ModelOutput("nothing", ("batch", "feature"))},
        {"input": ModelInput("nothing", "log_mel", ("batch", "time", "mel"))},
    ):
        with pytest.raises(ModelError):
            record_golden(two_tower_network(), two_tower_card(query=query_tower(**changes)))
    with pytest.raises(ModelError, match="alone"):
        record_golden(two_tower_network(query_in_reference=True), two_tower_card())


@pytest.mark.parametrize("shape", [[4], ["references", 1], []])
def test_a_head_for_other_batches_is_refused(shape):
    network = two_tower_network()
    network.graph.output[2].CopyFrom(onnx.helper.make_tensor_value_info("similarity", onnx.TensorProto.FLOAT, shape))
    for port in (network.graph.input[1], network.graph.output[1]):
        if shape == [4]:
            port.type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(ModelError):
        record_golden(network, two_tower_card())


def test_no_variant_of_two_towers_is_made(model, tmp_path):
    for variant in ("waveform", "fp16", "int8"):
        with pytest.raises(ConfigError, match=r"one tower.*'tiny-towers' has two"):
            convert_model(model, variant, tmp_path / "out")


def test_the_commands_on_models_take_it(engine, model, monkeypatch):
    monkeypatch.setenv("ENGINE_MODELS", str(model.parent))
    code, out, _ = engine("models", "verify", "towers")
    assert (code, out.decode().split()[0]) == (0, "tiny-towers")
    code, out, _ = engine("models", "list")
    assert code == 0
    assert any(line.split()[:2] == ["towers", "rank"] for line in out.decode().splitlines())
    code, out, _ = engine("models", "show", "towers")
    shown = out.decode()
    assert code == 0
    for word in (
        "a model to rank",
        "Query tower",
        "query_log_mel",
        "reference_log_mel",
        "4000 Hz",
        "2 s (8000 samples)",
    ):
        assert word in shown
    code, out, _ = engine("models", "show", "towers", "--json")
    assert json.loads(out)["query"]["embedding_size"] == QUERY_SIZE
    code, out, _ = engine("models", "add", model, "--name", "mine")
    assert code == 0

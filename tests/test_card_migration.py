from __future__ import annotations

from dataclasses import replace

import onnx
import pytest

from engine.card import ModelInput, ModelOutput, ModelOutputs, read_card
from engine.card_migration import SCHEMA, is_readable, migrated
from engine.errors import ModelError
from engine.fingerprint import METADATA_KEY, canonical_json, card_sha256
from engine.model import Model
from engine.registry import models_folder
from tests.test_card import GOLDEN
from tests.tiny_models import log_mel_card

# The JSON text of a card as the first release wrote it: a reader of today must read the bytes of then.
WRITTEN_IN_SCHEMA_1 = (
    '{"attribution":"","card_sha256":"DIGEST","commit":"","embedding_normalised":true,"embedding_size":4,"frontend":null,'
    '"golden":null,"hop":4000,"input":{"axes":["batch","time"],"kind":"waveform","name":"waveform","sample_rate":8000},'
    '"labels":["low","high"],"licence":"Apache-2.0","metrics":{"accuracy":0.5},"model_sha256":"","name":"tiny",'
    '"outputs":{"embedding":{"axes":["batch","feature"],"name":"embedding"},"scores":{"axes":["batch","label"],'
    '"name":"scores"}},"pad":"repeat","reduce":"max","schema":1,"score":"sigmoid","task":"tag",'
    '"threshold_method":"by hand","thresholds":{"low":0.25},"training_data":"none","window":8000}'
)
DIGEST = "b2d6694d351aefa85a6113d09a6af1f87905f42204218eed93d9bbe57649b64d"
ADDED = {
    (): {"frame_hop", "frame_length"},
    ("input",): {"context", "states", "constants", "row_s", "frame_padding"},
    ("outputs",): {"frames"},
}


def in_schema_2(card):
    """The values of a card without what schema 3 added."""
    values = card.to_dict() | {"schema": 2}
    del values["query"]
    if values["golden"] is not None:
        del values["golden"]["similarity"]
    return values


def in_schema_1(card):
    """The values of a card without what schemas 2 and 3 added."""
    values = in_schema_2(card) | {"schema": 1}
    for path, names in ADDED.items():
        part = values[path[0]] if path else values
        for name in names:
            del part[name]
    return values


def test_a_card_written_in_schema_1_is_read_as_one_of_schema_3():
    card = read_card({METADATA_KEY: WRITTEN_IN_SCHEMA_1.replace("DIGEST", DIGEST)})
    assert card.schema == SCHEMA == 3
    assert card.card_sha256 == DIGEST
    assert card.input == ModelInput("waveform", "waveform", ("batch", "time"), 8000)
    assert card.outputs == ModelOutputs(
        ModelOutput("scores", ("batch", "label")), ModelOutput("embedding", ("batch", "feature"))
    )
    assert (card.frame_hop, card.frame_length, card.outputs.frames, card.input.states) == (None, None, None, ())
    assert card.query is None


def test_the_hash_of_an_old_card_is_checked_as_it_was_written():
    text = WRITTEN_IN_SCHEMA_1.replace("DIGEST", DIGEST)
    with pytest.raises(ModelError, match="the card was changed"):
        read_card({METADATA_KEY: text.replace('"hop":4000', '"hop":4001')})


def test_a_file_with_an_old_card_opens_and_keeps_its_hashes(tmp_path):
    plain = onnx.load(models_folder() / "esc10.onnx")
    present = Model.open("esc10", device="cpu", threads=1).card
    assert card_sha256(present.to_dict()) == present.card_sha256
    outputs = ModelOutputs(present.outputs.scores, present.outputs.embedding)
    old = in_schema_1(replace(present, outputs=outputs, frame_hop=None, frame_length=None))
    old |= {"card_sha256": card_sha256(old), "model_sha256": present.model_sha256}
    del plain.metadata_props[:]
    plain.metadata_props.add(key=METADATA_KEY, value=canonical_json(old))
    onnx.save(plain, tmp_path / "old.onnx")
    opened = Model.open(tmp_path / "old.onnx", device="cpu", threads=1).card
    assert opened.schema == 3
    assert opened.card_sha256 == card_sha256(in_schema_1(opened)) == old["card_sha256"]


@pytest.mark.parametrize("older", [in_schema_1, in_schema_2])
@pytest.mark.parametrize("golden", [None, GOLDEN])
def test_migration_gives_what_a_new_card_has_by_default_and_leaves_its_argument(older, golden):
    card = log_mel_card(golden=golden)
    old = older(card)
    before = canonical_json(old)
    assert migrated(old) == card.to_dict()
    assert canonical_json(old) == before


def test_cards_of_the_present_schema_pass_through():
    values = log_mel_card().to_dict()
    assert migrated(values) == values


@pytest.mark.parametrize(("part", "name"), [(path, name) for path, names in ADDED.items() for name in sorted(names)])
def test_an_old_card_with_a_new_field_is_refused_by_name(part, name):
    values = in_schema_1(log_mel_card())
    (values[part[0]] if part else values)[name] = None
    with pytest.raises(ModelError, match=f"older schema.*'{name}'"):
        migrated(values)


def test_a_card_of_schema_2_with_a_field_of_schema_3_is_refused_by_name():
    values = in_schema_2(log_mel_card(golden=GOLDEN))
    with pytest.raises(ModelError, match=r"older schema.*'query'"):
        migrated(values | {"query": None})
    values["golden"]["similarity"] = None
    with pytest.raises(ModelError, match=r"older schema.*'similarity'"):
        migrated(values)


@pytest.mark.parametrize("part", ["input", "outputs"])
def test_a_part_of_a_wrong_type_is_left_for_the_card_to_refuse(part):
    values = in_schema_1(log_mel_card()) | {part: "wrong"}
    values |= {"card_sha256": card_sha256(values)}
    with pytest.raises(ModelError, match=f"'{part}' to be a JSON object, got str"):
        read_card({METADATA_KEY: canonical_json(values)})


@pytest.mark.parametrize(
    ("schema", "readable"),
    [(1, True), (2, True), (3, True), (0, False), (4, False), (True, False), (1.0, False), (None, False)],
)
def test_schemas_that_are_read(schema, readable):
    assert is_readable(schema) is readable

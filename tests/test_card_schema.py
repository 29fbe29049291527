"""The published JSON Schema of the card against the dataclasses that the engine reads it with, and against cards."""

from __future__ import annotations

import doctest
import json
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from engine import card as card_module
from engine import card_parts
from engine.card import Golden, ModelCard, ModelConstant, ModelInput, ModelOutput, ModelOutputs, ModelState, QueryTower
from engine.card_migration import SCHEMA
from engine.card_text import schema_text
from engine.errors import ModelError
from engine.frontend import FrontendConfig, preset
from engine.frontend import config as frontend_module
from engine.frontend.presets import PRESETS
from engine.model import Model
from engine.registry import models_folder
from tests import test_card
from tests.tiny_models import log_mel_card, waveform_card
from tests.tiny_towers import two_tower_card

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = json.loads(schema_text())
CHECKER = jsonschema.Draft202012Validator(CONTRACT)
OBJECTS = {
    ModelCard: CONTRACT,
    ModelInput: CONTRACT["$defs"]["input"],
    ModelState: CONTRACT["$defs"]["state"],
    ModelConstant: CONTRACT["$defs"]["constant"],
    ModelOutput: CONTRACT["$defs"]["output"],
    ModelOutputs: CONTRACT["$defs"]["outputs"],
    Golden: CONTRACT["$defs"]["golden"],
    QueryTower: CONTRACT["$defs"]["query"],
    FrontendConfig: CONTRACT["$defs"]["frontend"],
}
CARDS = {
    "log_mel": log_mel_card(golden=test_card.GOLDEN),
    "waveform": waveform_card(),
    "states": test_card.WITH_STATES,
    "frames": test_card.WITH_FRAMES,
    "rows": test_card.WITH_ROWS,
    "padded": test_card.FRAMES_PADDED,
    "towers": two_tower_card(),
    **{name: log_mel_card(frontend=preset(name), window=10 * preset(name).sample_rate) for name in PRESETS},
}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(CONTRACT)
    assert CONTRACT["properties"]["schema"]["const"] == SCHEMA
    assert CONTRACT["$id"].endswith(f":{SCHEMA}")


@pytest.mark.parametrize("part", OBJECTS, ids=lambda part: part.__name__)
def test_every_object_has_exactly_the_fields_of_its_dataclass(part):
    schema = OBJECTS[part]
    names = [field.name for field in fields(part)]
    needed = [field.name for field in fields(part) if field.default is MISSING] if part is FrontendConfig else names
    assert set(schema["properties"]) == set(names)
    assert set(schema["required"]) == set(needed)
    assert schema["additionalProperties"] is False


def test_defaults_of_the_front_end_are_the_dataclass_own():
    properties = CONTRACT["$defs"]["frontend"]["properties"]
    for field in fields(FrontendConfig):
        if field.default is not MISSING:
            assert properties[field.name]["default"] == field.default, field.name


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        (card_module.Task, CONTRACT["properties"]["task"]),
        (card_module.ScoreKind, CONTRACT["properties"]["score"]),
        (card_module.Pad, CONTRACT["properties"]["pad"]),
        (card_module.Reduce, CONTRACT["properties"]["reduce"]),
        (card_parts.InputKind, CONTRACT["$defs"]["input"]["properties"]["kind"]),
        (card_parts.ConstantType, CONTRACT["$defs"]["constant"]["properties"]["dtype"]),
        (frontend_module.WindowName, CONTRACT["$defs"]["frontend"]["properties"]["window"]["anyOf"][0]),
        (frontend_module.Framing, CONTRACT["$defs"]["frontend"]["properties"]["framing"]),
        (frontend_module.PadMode, CONTRACT["$defs"]["frontend"]["properties"]["pad_mode"]),
        (frontend_module.PreemphasisScope, CONTRACT["$defs"]["frontend"]["properties"]["preemphasis_scope"]),
        (frontend_module.Spectrum, CONTRACT["$defs"]["frontend"]["properties"]["spectrum"]),
        (frontend_module.MelScale, CONTRACT["$defs"]["frontend"]["properties"]["mel_scale"]),
        (frontend_module.MelNorm, CONTRACT["$defs"]["frontend"]["properties"]["mel_norm"]),
        (frontend_module.LogKind, CONTRACT["$defs"]["frontend"]["properties"]["log"]),
    ],
)
def test_words_are_those_of_the_code(words, schema):
    assert set(schema["enum"]) - {None} == set(get_args(words))


def test_limits_are_those_of_the_code():
    largest = CONTRACT["$defs"]["input"]["properties"]["frame_padding"]["maximum"]
    assert largest == card_parts.LARGEST["float32"]
    assert CONTRACT["properties"]["window"]["maximum"] == card_parts.MAX_WINDOW
    assert CONTRACT["$defs"]["input"]["properties"]["sample_rate"]["maximum"] == card_parts.MAX_SAMPLE_RATE
    assert str(card_parts.MAX_ELEMENTS) in CONTRACT["$defs"]["shape"]["description"]


@pytest.mark.parametrize("name", CARDS)
def test_cards_that_the_engine_takes_are_valid(name):
    CHECKER.validate(CARDS[name].to_dict())


@pytest.mark.parametrize("name", sorted(path.stem for path in models_folder().glob("*.onnx")))
def test_shipped_cards_are_valid(name):
    CHECKER.validate(Model.open(name, device="cpu", threads=1).card.to_dict())


@pytest.mark.parametrize("name", test_card.WRONG_TYPES)
def test_a_wrong_type_is_invalid_too(name):
    wrong = test_card.WRONG_TYPES[name]
    # To JSON Schema 8000.0 is a whole number.
    values = CARDS["log_mel"].to_dict() | {name: wrong + 0.5 if isinstance(wrong, float) else wrong}
    (error,) = CHECKER.iter_errors(values)
    assert error.absolute_path[0] == name


@pytest.mark.parametrize(
    ("card", "path", "value"),
    [
        ("states", ("input", "axes"), ["batch"]),
        ("states", ("input", "axes"), ["time", "time"]),
        ("states", ("input", "context"), -1),
        ("states", ("input", "states", 0, "shape"), [0]),
        ("states", ("input", "states", 0, "colour"), "red"),
        ("states", ("input", "constants", 0, "value"), True),
        ("states", ("input", "constants", 0, "dtype"), "bool"),
        ("rows", ("input", "row_s"), 0),
        ("padded", ("input", "frame_padding"), 1e39),
        ("frames", ("outputs", "frames", "axes"), ["label", "mel"]),
        ("frames", ("frame_hop",), 0),
        ("log_mel", ("labels",), ["low", "low", "both"]),
        ("log_mel", ("labels",), ["low", " ", "both"]),
        ("log_mel", ("golden", "tolerance"), 0),
        ("log_mel", ("frontend", "std"), -1),
        ("log_mel", ("frontend", "n_fft"), 8),
        ("log_mel", ("thresholds", "low"), "0.5"),
        ("log_mel", ("model_sha256",), "0" * 63),
        ("towers", ("query", "window"), 0),
        ("towers", ("query", "embedding_size"), None),
        ("towers", ("query", "similarity"), " "),
        ("towers", ("query", "colour"), "red"),
    ],
)
def test_what_the_schema_refuses_the_engine_refuses(card, path, value):
    values = part = CARDS[card].to_dict()
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        CHECKER.validate(values)
    with pytest.raises(ModelError):
        ModelCard.from_dict(values)


def test_missing_fields_are_invalid():
    for name in fields(ModelCard):
        values = CARDS["log_mel"].to_dict()
        del values[name.name]
        assert not CHECKER.is_valid(values)


def test_the_page_names_every_field_and_tells_the_truth(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = ROOT / "docs" / "model-card.md"
    told = set(re.findall(r"`([a-z0-9_]+)`", page.read_text(encoding="utf-8")))
    for part in OBJECTS:
        assert {field.name for field in fields(part)} <= told, part
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted >= 8
    assert result.failed == 0


def test_a_card_without_golden_is_valid():
    CHECKER.validate(replace(CARDS["log_mel"], golden=None).to_dict())

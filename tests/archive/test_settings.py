"""What determines the rows of an archive."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.archive.settings import ArchiveSettings, settings_for
from engine.errors import ConfigError
from engine.model import Model
from tests.tiny_models import EMBEDDING_SIZE, LABELS, RATE, save, waveform_card, waveform_network


def test_settings_are_the_cards_by_default(model):
    settings = settings_for(model)
    assert (settings.model, settings.labels, settings.embedding_size) == ("tiny", LABELS, EMBEDDING_SIZE)
    assert (settings.sample_rate, settings.window, settings.hop, settings.channel) == (RATE, RATE, RATE // 2, None)
    assert (settings.model_sha256, settings.card_sha256) == (model.card.model_sha256, model.card.card_sha256)
    assert settings.products == ("tags", "embeddings")
    assert settings.options == {"window_s": 1.0, "hop_s": 0.5, "batch_size": None}


def test_products_can_be_chosen(model):
    assert settings_for(model, ["tags"]).embedding_size is None
    assert settings_for(model, ["embeddings"]).labels == ()
    assert settings_for(model, ["embeddings"]).products == ("embeddings",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"products": ["tags", "spectra"]},
            r"expected products among \['tags', 'embeddings', 'index'\], got \['spectra', 'tags'\]",
        ),
        ({"products": []}, r"expected products among"),
        ({"window_s": -1.0}, "window_s"),
        ({"window_s": 1.0, "hop_s": 2.0}, "hop_s"),
        ({"time_pattern": "%Y"}, "expected a pattern of"),
    ],
)
def test_settings_that_make_no_sense_are_refused(model, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings_for(model, **changes)


def test_a_product_that_the_model_does_not_give(tmp_path):
    path = save(tmp_path / "waveform.onnx", waveform_network(), waveform_card())
    with Model.open(path, "cpu", threads=1) as opened:
        assert settings_for(opened).products == ("tags",)
        with pytest.raises(ConfigError, match=r"expected products that 'tiny' gives, got \['embeddings'\]; choose"):
            settings_for(opened, ["embeddings"])


def test_the_fingerprint_covers_every_field(settings):
    changes = {
        "model": "other",
        "model_sha256": "0" * 64,
        "card_sha256": "0" * 64,
        "labels": ("low", "high"),
        "embedding_size": None,
        "sample_rate": 1,
        "window": 1,
        "hop": 1,
        "channel": 0,
        "time_pattern": "%Y%m%d%H",
        "batch_size": 4,
    }
    assert set(changes) == set(settings.to_dict())
    prints = {replace(settings, **{name: value}).fingerprint for name, value in changes.items()}
    assert len(prints | {settings.fingerprint}) == 1 + len(changes)


def test_settings_survive_json(settings):
    again = ArchiveSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert again.fingerprint == settings.fingerprint


def test_settings_of_another_version_are_refused(settings):
    with pytest.raises(
        ConfigError, match=r"expected the settings \['batch_size', 'card_sha256', .*use the sound-engine that made it"
    ):
        ArchiveSettings.from_dict(settings.to_dict() | {"gain": 1})

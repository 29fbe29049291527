"""Variants as files: each a whole model that verifies, with what was measured of it, or no file at all."""

from __future__ import annotations

import onnx
import pytest

from engine import Tagger
from engine.card import ModelInput
from engine.convert import VARIANTS, convert_model
from engine.errors import ConfigError, ModelError
from engine.verify import verify_model
from tests import tiny_models
from tests.convert import networks
from tests.convert.test_int8 import recordings


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    card = networks.card(name="small", licence="MIT", attribution="Zoë", commit="abc")
    return tiny_models.save(folder / "anything.onnx", networks.convolutional(), card)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_a_model_of_its_own(variant, original, tmp_path):
    heard = recordings()
    done = convert_model(original, variant, tmp_path / "new folder", heard)
    assert done.path == tmp_path / "new folder" / f"small-{variant}.onnx"
    assert [path.name for path in done.path.parent.iterdir()] == [done.path.name]
    assert verify_model(done.path).card == done.card
    parent, card = Tagger(original).card, done.card
    assert card.name == f"small-{variant}"
    assert (card.labels, card.licence, card.attribution, card.commit) == (parent.labels, "MIT", "Zoë", "abc")
    assert card.model_sha256 != parent.model_sha256
    made_from = {"name": "small", "model_sha256": parent.model_sha256, "metrics": parent.metrics}
    assert card.metrics["made_from"] == made_from
    assert card.metrics["speed_ratio"] == done.speed_ratio > 0
    assert card.metrics["network_speed_ratio"] == done.network_speed_ratio
    assert (done.network_speed_ratio is None) == (variant == "waveform")
    assert "1 thread, onnxruntime" in card.metrics["speed_measured_on"]
    assert card.metrics["agreement"]["rank_correlation"] == done.agreement.rank_correlation >= 0.99
    assert card.metrics["largest_difference"] == done.largest_difference
    assert done.n_bytes == done.path.stat().st_size
    assert done.original_bytes == original.stat().st_size
    tagger, other = Tagger(original, "cpu"), Tagger(done.path, "cpu")
    for recording in heard[:4]:
        source = (recording.samples, tiny_models.RATE)
        assert abs(tagger(source).scores - other(source).scores).max() < 0.1


def test_the_waveform_card_keeps_the_front_end_it_has_inside(original, tmp_path):
    card = convert_model(original, "waveform", tmp_path).card
    assert card.frontend is None
    assert card.metrics["front_end"] == tiny_models.FRONTEND.to_dict()
    assert card.metrics["agreement"] is None
    assert card.golden.tolerance == 1e-4


def test_rounded_variants_have_a_wider_golden_check(original, tmp_path):
    card = convert_model(original, "fp16", tmp_path).card
    assert card.golden.tolerance == 0.02
    assert card.metrics["agreement"] is None


def test_a_file_is_replaced_only_when_that_is_asked_for(original, tmp_path):
    (tmp_path / "small-fp16.onnx").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"expected a new file, got .*small-fp16\.onnx', which exists"):
        convert_model(original, "fp16", tmp_path)
    assert (tmp_path / "small-fp16.onnx").read_bytes() == b"mine"
    convert_model(original, "fp16", tmp_path, overwrite=True)
    assert verify_model(tmp_path / "small-fp16.onnx")


def test_unknown_variants_are_refused(original, tmp_path):
    with pytest.raises(ConfigError, match="expected a variant among int8, fp16, waveform, got 'int4'"):
        convert_model(original, "int4", tmp_path)


def test_models_that_take_embeddings_are_refused(tmp_path):
    rows = tiny_models.build(
        [onnx.helper.make_node("ReduceMean", ["rows", "axis"], ["scores"], keepdims=0)],
        {"rows": ["batch", "time", 3]},
        {"scores": ["batch", 3]},
        {"axis": tiny_models.np.array([1])},
    )
    card = tiny_models.waveform_card(input=ModelInput("rows", "embedding", ("batch", "time", "feature")))
    path = tmp_path / "rows.onnx"
    path.write_bytes(tiny_models.write_card(rows, card).SerializeToString())
    with pytest.raises(ConfigError, match="expected a model that takes sound, 'tiny' takes embeddings"):
        convert_model(path, "fp16", tmp_path)


def test_nothing_is_written_of_a_variant_that_fails(original, tmp_path, monkeypatch):
    def broken(path):
        raise ModelError("expected another file")

    monkeypatch.setattr("engine.convert.variants.verify_model", broken)
    with pytest.raises(ModelError, match="expected another file"):
        convert_model(original, "waveform", tmp_path)
    assert list(tmp_path.iterdir()) == []

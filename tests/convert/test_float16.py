"""The fp16 variant: 16-bit weights, 32-bit inputs and outputs, close to the original on every kind of network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from engine.convert.float16 import TOLERANCE, to_float16
from engine.errors import ModelError
from engine.precision import holds_float16
from tests import tiny_models
from tests.convert import networks

CARD = networks.card()


@pytest.mark.parametrize("kind", [networks.convolutional, networks.recurrent, networks.attentive])
def test_outputs_stay_near_and_ports_stay_float32(kind):
    original = kind()
    variant, found = to_float16(original, CARD)
    assert found.largest_difference < 0.005 < TOLERANCE
    assert found.recordings == 5
    ports = [*variant.graph.input, *variant.graph.output]
    assert {port.type.tensor_type.elem_type for port in ports} == {onnx.TensorProto.FLOAT}
    assert holds_float16(variant.SerializeToString())
    assert not holds_float16(original.SerializeToString())
    weights = {t.data_type for t in variant.graph.initializer if np.prod(t.dims) > 16}
    assert weights == {onnx.TensorProto.FLOAT16}


def test_weights_beyond_16_bits_are_found_by_their_effect():
    model = networks.convolutional()
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, factor in (("c1", 1e6), ("c2", 1e-6), ("c3", 1e-6)):
        values = onnx.numpy_helper.to_array(weights[name]) * np.float32(factor)
        weights[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    with pytest.raises(
        ModelError, match=r"expected fp16 to keep the outputs of 'tiny' within 0\.02, got a difference|NaN or infinity"
    ):
        to_float16(model, CARD)


def test_a_model_the_converter_fails_on_is_refused(monkeypatch):
    def broken(*_, **__):
        raise ValueError("no such operator")

    monkeypatch.setattr("onnxruntime.transformers.float16.convert_float_to_float16", broken)
    with pytest.raises(
        ModelError, match="expected a model that onnxruntime can bring to 16-bit floats, 'tiny' is none"
    ):
        to_float16(tiny_models.log_mel_network(), tiny_models.log_mel_card())

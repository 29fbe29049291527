"""TensorFlow Lite files: weights as the numbers they stand for, and damaged files as one sentence."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
import pytest
import tflite

from engine.errors import ModelError
from training.networks.tflite_layers import read_layers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WEIGHT = np.arange(8, dtype=np.uint8).reshape(2, 2, 1, 2) + 120  # (out, height, width, in)
BIAS = np.array([6, -9], np.int32)


def small_file(path: Path, activation: int = 3) -> Path:
    """A file of one convolution: per-channel scales 0.5 and 0.25, zero points 128 and 122; the bias in thirds."""
    builder = flatbuffers.Builder(1024)

    def table(kind: str, **fields: int) -> int:
        getattr(tflite, f"{kind}Start")(builder)
        for name, value in fields.items():
            getattr(tflite, f"{kind}Add{name}")(builder, value)
        return int(getattr(tflite, f"{kind}End")(builder))

    def offsets(values: Sequence[int]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependUOffsetTRelative(value)
        return int(builder.EndVector())

    def numbers(*values: float, dtype: type) -> int:
        return int(builder.CreateNumpyVector(np.array(values, dtype)))

    def tensor(values: NDArray[np.integer], kind: int, buffer: int, scales: list[float], zeros: list[int]) -> int:
        scale, zero = numbers(*scales, dtype=np.float32), numbers(*zeros, dtype=np.int64)
        quantization = table("QuantizationParameters", Scale=scale, ZeroPoint=zero, QuantizedDimension=0)
        shape = numbers(*values.shape, dtype=np.int32)
        return table("Tensor", Shape=shape, Type=kind, Buffer=buffer, Quantization=quantization)

    data = [0, *(int(builder.CreateByteVector(values.tobytes())) for values in (WEIGHT, BIAS))]
    buffers = offsets([table("Buffer", **({"Data": start} if start else {})) for start in data])
    weight, bias = tensor(WEIGHT, 3, 1, [0.5, 0.25], [128, 122]), tensor(BIAS, 2, 2, [1 / 3], [0])
    options = table("Conv2DOptions", FusedActivationFunction=activation)
    inputs = numbers(0, 0, 1, dtype=np.int32)
    operator = table(
        "Operator", Inputs=inputs, BuiltinOptionsType=tflite.BuiltinOptions.Conv2DOptions, BuiltinOptions=options
    )
    graph = table("SubGraph", Tensors=offsets([weight, bias]), Operators=offsets([operator]))
    # Numbers below 127 stand in the older of two fields.
    code = table("OperatorCode", DeprecatedBuiltinCode=tflite.BuiltinOperator.CONV_2D)
    model = table("Model", Version=3, OperatorCodes=offsets([code]), Subgraphs=offsets([graph]), Buffers=buffers)
    builder.Finish(model, b"TFL3")
    path.write_bytes(builder.Output())
    return path


def test_scale_zero_point_and_order_of_axes(tmp_path: Path) -> None:
    (layer,) = read_layers(small_file(tmp_path / "small.tflite"))
    assert (layer.kind, layer.ceiling, layer.weight.dtype) == ("CONV_2D", 6.0, np.float32)
    for channel, (scale, zero) in enumerate([(0.5, 128), (0.25, 122)]):
        for row in (0, 1):
            expected = [(float(WEIGHT[channel, row, 0, n_in]) - zero) * scale for n_in in (0, 1)]
            assert layer.weight[channel, :, row, 0].tolist() == expected
    np.testing.assert_allclose(layer.bias, [2, -3], rtol=1e-6)


def test_an_activation_that_no_network_here_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has other layers"):
        read_layers(small_file(tmp_path / "tanh.tflite", activation=4))


@pytest.fixture
def patch_file(shared_data: Path) -> Path:
    return shared_data / "models" / "yamnet_spectra_coral" / "yamnet_spectra_in.tflite"


def test_layers_of_yamnet(patch_file: Path) -> None:
    layers = read_layers(patch_file)
    assert [layer.kind for layer in layers] == [
        "CONV_2D",
        *["DEPTHWISE_CONV_2D", "CONV_2D"] * 13,
        "FULLY_CONNECTED",
    ]
    assert [layers[index].weight.shape for index in (0, 1, 2, -1)] == [
        (32, 1, 3, 3),
        (32, 1, 3, 3),
        (64, 32, 1, 1),
        (521, 1024),
    ]
    assert {layer.ceiling for layer in layers[:-1]} == {6.0}
    assert layers[-1].ceiling is None


def test_integers_become_the_numbers_they_stand_for(patch_file: Path) -> None:
    """Per-channel scales: each output channel of a convolution is whole multiples of one number, up to 127 of them."""
    weight = read_layers(patch_file)[2].weight
    for channel in weight.reshape(len(weight), -1).astype(np.float64):
        steps = channel / (np.abs(channel).max() / 127)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_floats_stay_as_they_are(shared_data: Path) -> None:
    filters = read_layers(shared_data / "models" / "yamnet" / "yamnet_classification.tflite")[0]
    assert filters.kind == "FULLY_CONNECTED"
    assert filters.weight.shape == (64, 257)
    assert filters.weight.min() == 0
    assert 0.9 < filters.weight.max() <= 1


def test_what_is_no_such_file_is_one_sentence(tmp_path: Path, patch_file: Path) -> None:
    path = tmp_path / "model.tflite"
    with pytest.raises(ModelError, match="No such file or directory; check the path"):
        read_layers(path)
    path.write_bytes(b"RIFF")
    with pytest.raises(ModelError, match="is none; name another file"):
        read_layers(path)
    content = patch_file.read_bytes()
    for length in (8, 100, 3000, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="is damaged"):
            read_layers(path)


def test_a_missing_package_is_named(patch_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(ModelError, match="pip install tflite"):
        read_layers(patch_file)

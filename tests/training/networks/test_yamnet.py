"""YAMNet: the published layers, and the weights of the TensorFlow Lite files against their own interpreter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine import LogMel
from engine.audio import load
from engine.errors import ModelError
from engine.frontend import preset
from training.networks import yamnet
from training.networks.tflite_layers import Layer
from training.networks.yamnet import Yamnet, load_tflite

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WAVEFORM, PATCH = "yamnet/yamnet_classification.tflite", "yamnet_spectra_coral/yamnet_spectra_in.tflite"
CLIPS = ("1-100032-A-0", "1-32318-A-0", "2-128631-A-5", "2-68391-B-7", "3-107219-A-8", "3-151081-B-3")
# Measured on 16 clips: 0.063 and 0.0004. The interpreter rounds every activation to one of 256 values.
LARGEST_DIFFERENCE, MEAN_DIFFERENCE = 0.1, 0.001


def test_the_published_table() -> None:
    """Output shape (channels, time, frequency) after each pair of convolutions, from the source's table of layers."""
    network, shapes = Yamnet(), []
    for convolution in network.convolutions:
        convolution.register_forward_hook(lambda *arguments: shapes.append(tuple(arguments[2].shape[1:])))
    logits, embedding = network(torch.zeros(2, 96, 64))
    assert shapes[0] == (32, 48, 32)
    assert shapes[2::2] == [
        *((64, 48, 32), (128, 24, 16), (128, 24, 16), (256, 12, 8), (256, 12, 8), (512, 6, 4)),
        *[(512, 6, 4)] * 5,
        *((1024, 3, 2), (1024, 3, 2)),
    ]
    assert (logits.shape, embedding.shape) == ((2, 521), (2, 1024))
    # "3.7M weights" as published.
    assert sum(parameter.numel() for parameter in network.parameters()) == 3_729_481


def test_padding_is_tensorflow_s() -> None:
    """A strided convolution begins at the first value: it looks at 0, 1, 2 of the input, then at 2, 3, 4."""
    network = Yamnet()
    first = network.convolutions[0]
    first.weight.data.zero_()
    first.bias.data.zero_()
    first.weight.data[0, 0, 2, 2] = 1.0
    seen: list[torch.Tensor] = []
    first.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    log_mel = torch.rand(1, 96, 64)
    network(log_mel)
    expected = functional.pad(log_mel, (0, 1, 0, 1))[0, 2::2, 2::2]
    torch.testing.assert_close(seen[0][0, 0], expected)


@pytest.mark.parametrize(("ceiling", "largest"), [(float("inf"), 40.0), (6.0, 6.0)])
def test_activations_end_at_the_ceiling(ceiling: float, largest: float) -> None:
    network = Yamnet(n_labels=3, ceiling=ceiling)
    network.convolutions[-1].weight.data.zero_()
    network.convolutions[-1].bias.data.fill_(40.0)
    assert network(torch.zeros(1, 96, 64))[1].max() == largest


@pytest.fixture
def interpret(shared_data: Path) -> Any:
    """Run a file in the runtime of its makers; ``name`` gives one of its inner tensors instead of the scores."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="pip install ai-edge-litert to compare with it")

    def run(file: str, value: NDArray[np.float32], name: str | None = None) -> NDArray[np.float32]:
        with pytest.warns(UserWarning, match="preserve_all_tensors"):
            interpreter = runtime.Interpreter(
                str(shared_data / "models" / file), experimental_preserve_all_tensors=True, num_threads=1
            )
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
        interpreter.invoke()
        names = {tensor["name"]: tensor["index"] for tensor in interpreter.get_tensor_details()}
        index = interpreter.get_output_details()[0]["index"] if name is None else names[name]
        found: NDArray[np.float32] = interpreter.get_tensor(index)
        return found.squeeze()

    return run


def heard(shared_data: Path, clip: str) -> NDArray[np.float32]:
    samples, _ = load(shared_data / "esc10_dev" / "audio" / f"{clip}.ogg", sample_rate=16000)
    return samples[:15600]


@pytest.mark.parametrize("clip", CLIPS)
def test_the_preset_gives_the_patch_that_the_published_file_computes(
    shared_data: Path, interpret: Any, clip: str
) -> None:
    samples = heard(shared_data, clip)
    patch = interpret(WAVEFORM, samples, "log_mel_spectrogram")
    found = LogMel(preset("yamnet"))(samples)
    assert found.shape == (96, 64)
    # Both compute in float32; 1.3e-4 was seen, in the logarithm of a small sum.
    np.testing.assert_allclose(found, patch, atol=5e-4)


@pytest.mark.parametrize("file", [WAVEFORM, PATCH])
def test_the_network_agrees_with_the_interpreter(shared_data: Path, interpret: Any, file: str) -> None:
    network = load_tflite(shared_data / "models" / file)
    assert network.ceiling == 6.0
    differences, same = [], 0
    for clip in CLIPS:
        samples = heard(shared_data, clip)
        patch = LogMel(preset("yamnet"))(samples)
        expected = interpret(file, samples if file == WAVEFORM else patch[np.newaxis])
        with torch.no_grad():
            scores = network(torch.from_numpy(patch)[None])[0].sigmoid()[0].numpy()
        differences.append(np.abs(scores - expected))
        same += int(scores.argmax() in np.argsort(expected)[-3:])
    assert np.max(differences) < LARGEST_DIFFERENCE
    assert np.mean(differences) < MEAN_DIFFERENCE
    assert same == len(CLIPS)


def layers(network: Yamnet) -> list[Layer]:
    modules = [*network.convolutions, network.classify]
    kinds = ["CONV_2D", *["DEPTHWISE_CONV_2D", "CONV_2D"] * 13, "FULLY_CONNECTED"]
    return [
        Layer(kind, module.weight.detach().numpy(), module.bias.detach().numpy(), 6.0)
        for kind, module in zip(kinds, modules, strict=True)
    ]


def test_a_layer_before_the_network_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Yamnet(n_labels=3)
    filters = Layer("FULLY_CONNECTED", np.ones((64, 257), np.float32), np.zeros(64, np.float32), None)
    monkeypatch.setattr(yamnet, "read_layers", lambda path: [filters, *layers(network)])
    loaded = load_tflite(tmp_path)
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found[1:], "27 convolutions and the linear layer of YAMNet"),
        (lambda found: [replace(found[0], weight=found[0].weight[:3]), *found[1:]], r"\(3, 1, 3, 3\)"),
        (lambda found: [replace(found[0], ceiling=None), *found[1:]], "27 convolutions"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, message: str) -> None:
    monkeypatch.setattr(yamnet, "read_layers", lambda path: change(layers(Yamnet(n_labels=3))))
    with pytest.raises(ModelError, match=message):
        load_tflite(tmp_path)

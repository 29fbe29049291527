"""The front end as a graph against the front end in C++, and the factored transform against NumPy's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from engine.convert.dft import FactoredDFT
from engine.convert.log_mel_graph import NodeList, add_log_mel
from engine.frontend import PRESETS, FrontendConfig, LogMel
from tests import oracles

SMALL = FrontendConfig(sample_rate=8000, win_length=50, hop_length=20, n_fft=64, n_mels=12, f_min=20.0)
# In the unit of the logarithm, on noise: both sides round in float32, most in bands far below the loudest.
TOLERANCE = 1e-3
# Of mel values, as part of the loudest bin of their frame through the same filters.
ROUNDING = 2e-6
pytestmark = pytest.mark.filterwarnings("ignore:mel filters")


def noise(shape, seed=0):
    return (np.random.default_rng(seed).standard_normal(shape) * 0.1).astype(np.float32)


class Graph:
    """A front end by itself: waveforms (batch, n_samples) in, frames out."""

    def __init__(self, config, opset=20):
        nodes = NodeList("front_end/", opset)
        nodes.add("Identity", add_log_mel(nodes, config, "waveform"), output="frames")
        ports = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
            for name, shape in (("waveform", ["batch", "samples"]), ("frames", ["batch", "time", config.n_mels]))
        ]
        graph = helper.make_graph(nodes.nodes, "front end", *ports, nodes.initializers)
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, waveforms):
        return self.session.run(None, {"waveform": waveforms})[0]


def assert_same_frames(graph, config, waveforms, tolerance=TOLERANCE):
    got, expected = graph(waveforms), LogMel(config)(waveforms)
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset(name):
    config = PRESETS[name]
    graph, shortest = Graph(config), config.n_samples(1)
    for n in (shortest, config.win_length + 1, config.sample_rate // 3, config.sample_rate + 17):
        for batch in (1, 3):
            assert_same_frames(graph, config, noise((batch, n), seed=n))
        assert_same_frames(graph, config, np.zeros((2, n), np.float32), 2e-5)


SETTINGS = {
    "kaldi": {"framing": "mirror", "window": "povey", "preemphasis": 0.97, "remove_dc": True, "mel_scale": "kaldi"},
    "kaldi_scale": {"framing": "valid", "input_scale": 32768.0, "preemphasis": 0.97, "log_floor": 1.2e-7},
    "dc": {"framing": "valid", "remove_dc": True},
    "librosa": {"mel_scale": "slaney", "mel_norm": "slaney", "log": "dB", "log_reference": "max", "log_range": 80.0},
    "whisper": {"framing": "center_trimmed", "log": "log10", "log_range": 8.0, "mean": -4.0, "std": 4.0},
    "efficientat": {"preemphasis": 0.97, "preemphasis_scope": "clip", "log_offset": 1e-5},
    "all_filters": {"preemphasis": 0.5, "preemphasis_scope": "clip", "remove_dc": True, "remove_clip_mean": True},
    "vggish": {"framing": "valid", "spectrum": "magnitude", "log_floor": 0.0, "log_offset": 0.01},
    "magnitude_db": {"spectrum": "magnitude", "log": "dB", "pad_mode": "constant", "log_reference": 0.5},
    "zscore": {"log": "dB", "zscore": True, "remove_clip_mean": True},
    "zscore_of_bins": {"zscore": True, "log_range": 3.0, "mean": tuple(range(12)), "std": (0.5,) * 12},
    "bins": {"mean": tuple(range(12)), "std": tuple(1.0 + i for i in range(12)), "window": "blackman"},
    "own_window": {"window": tuple(np.linspace(0.1, 1.0, 50).tolist()), "pad_mode": "constant"},
    "odd_size": {"n_fft": 75, "window": "hamming", "window_periodic": False},
    "prime_size": {"n_fft": 61, "window": "rectangular"},
    "prime_trimmed": {"n_fft": 53, "framing": "center_trimmed"},
    "one_sample": {"win_length": 1, "n_fft": 16, "n_mels": 3, "hop_length": 1, "window": "rectangular"},
    "long_hop": {"hop_length": 170, "framing": "mirror"},
    "long_hop_valid": {"hop_length": 170, "framing": "valid"},
    "hop_of_one": {"hop_length": 1},
}


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_and_length(name, opset):
    config = replace(SMALL, **SETTINGS[name])
    graph, shortest = Graph(config, opset), config.n_samples(1)
    for n in sorted({shortest, shortest + 1, 30, 49, 50, 51, 171, 400, 1013}):
        if n >= shortest:
            # A few samples, mirrored again and again, are a tone: see the test of quiet bands below.
            tolerance = TOLERANCE if n >= 30 else 0.1
            offset = np.float32(0.0 if config.remove_dc else 0.05)
            assert_same_frames(graph, config, noise((2, n), seed=n) + offset, tolerance)
            assert_same_frames(graph, config, np.zeros((1, n), np.float32), 2e-5)


@pytest.mark.parametrize("name", ["dc", "whisper", "kaldi", "efficientat", "long_hop_valid"])
def test_an_input_too_short_for_a_frame_is_completed_with_zeros(name):
    config = replace(SMALL, **SETTINGS[name])
    shortest = config.n_samples(1)
    clip = noise((1, max(shortest - 1, 1)))
    completed = np.zeros((1, max(config.win_length, config.hop_length, shortest)), np.float32)
    completed[:, : clip.shape[1]] = clip
    expected = LogMel(config)(completed if shortest > 1 else clip)
    np.testing.assert_allclose(Graph(config)(clip), expected, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["kaldi80", "openl3_mel256", "torchaudio_default", "iminet_reference"])
def test_quiet_bands_beside_a_loud_tone_are_as_right_as_in_c(name):
    # A tone leaves bands 100 dB below it that are rounding errors on either side: what is promised is their size.
    config = replace(PRESETS[name], log="ln", log_reference=1.0, log_range=None, mean=None, std=None)
    config = replace(config, log_floor=1e-30, log_offset=0.0, zscore=False, spectrum="power")
    tone = (0.5 * np.sin(2 * np.pi * 0.0371 * np.arange(config.sample_rate // 2))).astype(np.float32)
    exact = np.exp(oracles.log_mel(config, tone))
    loudest = exact.max(axis=1, keepdims=True)
    amplitude = np.sqrt(exact / loudest) + 1e-30
    for found in (
        np.exp(Graph(config)(tone[None])[0].astype(np.float64)),
        np.exp(LogMel(config)(tone).astype(np.float64)),
    ):
        error = np.abs(np.sqrt(found / loudest) - amplitude)
        assert error.max() < ROUNDING


@pytest.mark.parametrize(("n_fft", "length"), [(16, 16), (400, 400), (512, 400), (2048, 1102), (133, 133), (61, 50)])
def test_the_factored_transform_is_the_transform(n_fft, length):
    transform = FactoredDFT.planned(n_fft, length)
    frame = np.zeros(transform.given_rows * transform.columns)
    frame[:length] = noise(length)
    inner = transform.inner @ frame.reshape(transform.given_rows, transform.columns)
    spectrum = inner.reshape(transform.half, 1, 2 * transform.columns) @ transform.outer
    power = (spectrum.reshape(transform.half, 2, transform.columns) ** 2).sum(axis=1)
    expected = np.abs(np.fft.rfft(frame[:length], n_fft)) ** 2
    kept = transform.bins >= 0
    assert sorted(transform.bins[kept]) == list(range(n_fft // 2 + 1))
    np.testing.assert_allclose(power[kept], expected[transform.bins[kept]], rtol=1e-4, atol=1e-6 * expected.max())


def test_the_factored_transform_is_small():
    transform = FactoredDFT.planned(2048, 1102)
    assert (transform.inner.size + transform.outer.size) * 4 < 1e6  # the plain one has 9 MB

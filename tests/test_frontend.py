"""The front end against a slow float64 oracle, and the laws of physics it must obey."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _kernels
from engine.errors import AudioError, ConfigError
from engine.frontend import FrontendConfig, LogMel, stft
from tests import oracles

# float32 against float64, in nepers: rounding of the transform relative to the loudest bin dominates in quiet bands.
TOLERANCE = 2e-4
SMALL = FrontendConfig(sample_rate=8000, win_length=50, hop_length=20, n_fft=64, n_mels=12, f_min=20.0)
pytestmark = pytest.mark.filterwarnings("ignore:mel filters")


def noise(n: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(n) * 0.1).astype(np.float32)


def assert_matches_oracle(config: FrontendConfig, x: np.ndarray, tolerance: float = TOLERANCE) -> None:
    got, expected = LogMel(config)(x), oracles.log_mel(config, x)
    assert got.dtype == np.float32
    assert got.shape == expected.shape == (config.n_frames(len(x)), config.n_mels)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=tolerance)


VARIANTS = {
    "kaldi": {
        "framing": "mirror",
        "window": "povey",
        "preemphasis": 0.97,
        "remove_dc": True,
        "mel_scale": "kaldi",
        "log_floor": 1.2e-7,
        "input_scale": 32768.0,
    },
    "kaldi_snip": {"framing": "valid", "window": "hamming", "window_periodic": False, "preemphasis": 0.9},
    "dc_only": {"framing": "valid", "remove_dc": True},
    "librosa": {"mel_scale": "slaney", "mel_norm": "slaney", "log": "dB", "log_reference": "max", "log_range": 80.0},
    "whisper": {"framing": "center_trimmed", "log": "log10", "log_range": 8.0, "mean": -4.0, "std": 4.0},
    "efficientat": {"preemphasis": 0.97, "preemphasis_scope": "clip", "log_offset": 1e-5},
    "clip_then_frame": {"preemphasis": 0.5, "preemphasis_scope": "clip", "remove_dc": True, "remove_clip_mean": True},
    "vggish": {"framing": "valid", "spectrum": "magnitude", "log_floor": 0.0, "log_offset": 0.01, "mel_scale": "kaldi"},
    "magnitude_db": {"spectrum": "magnitude", "log": "dB", "pad_mode": "constant", "log_reference": 0.5},
    "zscore": {"log": "dB", "zscore": True, "remove_clip_mean": True},
    "per_bin": {"mean": tuple(range(12)), "std": tuple(1.0 + i for i in range(12))},
    "blackman": {"window": "blackman", "window_periodic": False},
    "own_window": {"window": tuple(np.linspace(0.1, 1.0, 50).tolist())},
    "max_and_bins": {"log_reference": "max", "mean": tuple(range(12)), "std": (2.0,) * 12, "window": "rectangular"},
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("n", [0, 1, 49, 50, 51, 400, 2413])
def test_every_setting_matches_the_oracle(name: str, n: int) -> None:
    config = replace(SMALL, **VARIANTS[name])
    x = noise(n) + np.float32(0.3)
    if config.remove_dc and config.preemphasis == 0:
        x -= np.float32(0.3)  # a removed offset of three times the signal costs three more bits
    assert_matches_oracle(config, x, TOLERANCE * 10)


@pytest.mark.parametrize(
    ("n_fft", "win_length"),
    [
        (16, 16), (17, 11), (18, 18), (20, 3), (27, 27), (31, 30), (32, 32), (48, 40), (60, 1), (64, 2), (90, 77),
        (100, 100), (125, 125), (128, 100), (133, 133), (226, 226), (240, 240), (251, 251), (256, 65), (400, 400),
        (480, 480), (512, 400), (600, 512), (960, 960), (1000, 1000), (1024, 1024), (1536, 1323), (2048, 1102),
        (2187, 2000), (4096, 4096), (6000, 6000), (8192, 8192), (8191, 5000), (58, 58), (899, 700), (1334, 1334),
        (2042, 2042), (7569, 7569),
    ],
)  # fmt: skip
def test_every_kind_of_transform_length(n_fft: int, win_length: int) -> None:
    config = replace(SMALL, n_fft=n_fft, win_length=win_length, hop_length=max(win_length // 3, 1), framing="valid")
    x = noise(win_length * 2 + 5)
    got, expected = LogMel(config).spectrogram(x), np.abs(oracles.stft(config, x)) ** 2
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-6 * expected.max())


@pytest.mark.parametrize("n_fft", [19, 38, 361, 23, 46, 58, 127, 128, 509, 899, 1021, 4084, 8186, 8191])
def test_large_prime_factors_cost_no_accuracy(n_fft: int) -> None:
    # The root mean square of float32's rounding through log2(n) passes, with room for the passes of a convolution.
    x = noise(20 * n_fft)
    got = stft(x, n_fft, n_fft, window="rectangular", framing="valid")
    expected = np.fft.rfft(x.reshape(20, n_fft).astype(np.float64))
    error = np.sqrt((np.abs(got - expected) ** 2).mean() / (np.abs(expected) ** 2).mean())
    assert error < 3e-7


LANES = 16
CHUNK = 112  # frames transposed at a time, see csrc/frames_lanes.h


@pytest.mark.parametrize("framing", ["center", "center_trimmed", "valid", "mirror"])
@pytest.mark.parametrize("frames", [1, LANES - 1, LANES, LANES + 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_lengths_around_block_edges(framing: str, frames: int) -> None:
    config = replace(SMALL, framing=framing)
    for extra in (-1, 0, 1):
        assert_matches_oracle(config, noise(config.win_length + (frames - 1) * config.hop_length + extra))


@pytest.mark.parametrize("framing", ["center", "center_trimmed", "valid", "mirror"])
@pytest.mark.parametrize("scope", ["frame", "clip"])
def test_n_samples_is_the_shortest_input(framing: str, scope: str) -> None:
    config = replace(SMALL, framing=framing, preemphasis=0.9, preemphasis_scope=scope)
    for frames in (1, 2, 3, 17, 100):
        n_samples = config.n_samples(frames)
        assert config.n_frames(n_samples) == frames
        assert config.n_frames(n_samples - 1) < frames


@pytest.mark.parametrize("hop", [1, 3, 15, 16, 17, 31, 49, 50, 51, 200])
def test_hops_shorter_and_longer_than_the_window(hop: int) -> None:
    assert_matches_oracle(replace(SMALL, hop_length=hop), noise(700))


@pytest.mark.parametrize("n_mels", [1, 2, 15, 16, 17, 33, 128])
def test_any_number_of_bands(n_mels: int) -> None:
    assert_matches_oracle(replace(SMALL, n_fft=512, n_mels=n_mels), noise(700))


@pytest.mark.parametrize("scale", ["htk", "slaney", "kaldi"])
@pytest.mark.parametrize("norm", ["none", "slaney"])
def test_filters_match_the_oracle(scale: str, norm: str) -> None:
    config = FrontendConfig(22050, 512, 256, 1024, 40, f_min=30.0, f_max=10000.0, mel_scale=scale, mel_norm=norm)
    np.testing.assert_allclose(LogMel(config).filters(), oracles.mel_filters(config), rtol=1e-5, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(0, 900),
    geometry=st.tuples(st.integers(1, 80), st.integers(1, 120), st.integers(0, 60), st.integers(1, 20)),
    framing=st.sampled_from(["center", "center_trimmed", "valid", "mirror"]),
    pad_mode=st.sampled_from(["reflect", "constant"]),
)
def test_any_geometry_matches_the_oracle(
    n: int, geometry: tuple[int, int, int, int], framing: str, pad_mode: str
) -> None:
    win, hop, padding, n_mels = geometry
    n_fft = max(16, win + padding)
    config = FrontendConfig(8000, win, hop, n_fft, n_mels, framing=framing, pad_mode=pad_mode, log_floor=1e-5)
    assert_matches_oracle(config, noise(n, seed=n))


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 3000), min_size=1, max_size=6), threads=st.integers(1, 4))
def test_batches_and_threads_change_no_bit(lengths: list[int], threads: int) -> None:
    config = replace(SMALL, log="dB", log_reference="max", log_range=60.0)
    clips = [noise(n, seed=i) for i, n in enumerate(lengths)]
    serial = [LogMel(config)(clip) for clip in clips]
    for one, many in zip(serial, LogMel(config, threads)(clips), strict=True):
        np.testing.assert_array_equal(one, many)
    batch = np.stack([noise(1500, seed=i) for i in range(len(lengths))])
    np.testing.assert_array_equal(LogMel(config, threads)(batch), [LogMel(config)(row) for row in batch])


def test_one_long_clip_is_split_over_threads_without_changing_a_bit() -> None:
    for changes in ({}, {"log_reference": "max"}, {"zscore": True}, {"remove_clip_mean": True}):
        config = replace(SMALL, **changes)
        x = noise(60_000)
        np.testing.assert_array_equal(LogMel(config, threads=3)(x), LogMel(config)(x))


def test_many_threads_share_one_front_end() -> None:
    front_end, x = LogMel(SMALL), [noise(5000, seed=i) for i in range(8)]
    expected = [front_end(clip) for clip in x]
    results: list[list[np.ndarray]] = [[] for _ in x]

    def work(i: int) -> None:
        results[i].extend(front_end(x[i]) for _ in range(20))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, once in zip(results, expected, strict=True):
        assert len(mine) == 20
        for result in mine:
            np.testing.assert_array_equal(result, once)


def test_the_interpreter_lock_is_released() -> None:
    front_end, x = LogMel(replace(SMALL, hop_length=1)), noise(400_000)
    running, ticks = threading.Event(), 0

    def work() -> None:
        running.set()
        front_end(x)

    thread = threading.Thread(target=work)
    thread.start()
    running.wait()
    while thread.is_alive():
        ticks += 1
    thread.join()
    assert ticks > 100, "the main thread stood still while the kernel ran"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_computes_the_same() -> None:
    front_end, x = LogMel(SMALL, threads=2), noise(40_000)
    expected = front_end(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(front_end(x), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_views_are_copied_and_outputs_reused() -> None:
    front_end, x = LogMel(SMALL), noise(4000)
    np.testing.assert_array_equal(front_end(x[::2]), front_end(x[::2].copy()))
    out = np.full((front_end.n_frames(4000), 12), np.nan, np.float32)
    assert front_end(x, out=out) is out
    np.testing.assert_array_equal(out, front_end(x))
    before = x.copy()
    LogMel(replace(SMALL, remove_clip_mean=True))(x)
    np.testing.assert_array_equal(x, before)


class TestPhysics:
    """What any log-mel front end must do, whatever its code."""

    def test_a_tone_peaks_in_its_band(self) -> None:
        config = FrontendConfig(16000, 400, 160, 512, 64)
        for hz in (300.0, 1000.0, 3000.0, 6000.0):
            tone = np.sin(2 * np.pi * hz * np.arange(16000) / 16000).astype(np.float32)
            band = LogMel(config)(tone)[5:-5].mean(axis=0).argmax()
            filters = LogMel(config).filters()
            assert filters[band, round(hz * 512 / 16000)] > 0

    def test_gain_shifts_every_value_by_a_constant(self) -> None:
        config, x = replace(SMALL, log_floor=1e-30), noise(2000)
        shift = LogMel(config)(x * np.float32(4)) - LogMel(config)(x)
        np.testing.assert_allclose(shift, np.log(16.0), atol=1e-5)

    def test_silence_is_the_floor(self) -> None:
        np.testing.assert_allclose(LogMel(SMALL)(np.zeros(500, np.float32)), np.log(1e-10), rtol=1e-6)

    def test_silence_in_decibels_below_its_own_maximum_is_zero_and_its_zscore_too(self) -> None:
        silence = np.zeros(500, np.float32)
        assert not LogMel(replace(SMALL, log="dB", log_reference="max", log_range=80.0))(silence).any()
        assert not LogMel(replace(SMALL, zscore=True))(silence).any()

    def test_a_constant_without_its_mean_is_silence(self) -> None:
        config = replace(SMALL, remove_dc=True, framing="valid")
        level = LogMel(config)(np.full(500, 0.5, np.float32))
        assert level.max() < np.log(1e-9)

    def test_parseval(self) -> None:
        config = replace(SMALL, window="rectangular", framing="valid", win_length=64)
        x = noise(64)
        power = LogMel(config).spectrogram(x)[0].astype(float)
        energy = float((x.astype(float) ** 2).sum())
        assert 2 * power.sum() - power[0] - power[-1] == pytest.approx(64 * energy, rel=1e-5)


ISA_PROGRAM = """
import json, sys, numpy as np
from engine import _kernels
from engine.frontend import FrontendConfig, LogMel
given = np.load(sys.argv[1])
configs = [FrontendConfig.from_dict(values) for values in json.loads(str(given["configs"]))]
results = {str(i): LogMel(config)(given["x"]) for i, config in enumerate(configs)}
np.savez(sys.argv[2], isa=_kernels.isa(), **results)
"""


def test_every_instruction_set_of_this_machine_agrees(tmp_path) -> None:
    sizes = (400, 401, 480, 512, 1024, 2048, 4096)
    configs = [replace(SMALL, **changes) for changes in VARIANTS.values()]
    configs += [FrontendConfig(16000, 400, 160, n_fft, 40, f_min=60.0) for n_fft in sizes]
    np.savez(tmp_path / "given.npz", x=noise(9000), configs=json.dumps([config.to_dict() for config in configs]))
    results = {}
    for isa in ("baseline", "neon", "avx2", "avx512", "avx512vnni"):
        file = tmp_path / f"{isa}.npz"
        command = [sys.executable, "-W", "ignore", "-c", ISA_PROGRAM, str(tmp_path / "given.npz"), str(file)]
        environment = os.environ | {"ENGINE_ISA": isa}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            results[isa] = dict(np.load(file))
            assert results[isa].pop("isa") == isa
        else:
            assert f"got '{isa}'" in done.stderr, done.stderr
    assert {"baseline", "neon"} & set(results)
    assert _kernels.isa() in results
    reference = next(iter(results.values()))
    assert len(reference) == len(configs)
    for other in results.values():
        for key, values in other.items():
            np.testing.assert_allclose(values, reference[key], rtol=1e-5, atol=2e-3)


class TestRefusals:
    """One sentence each: expected, got, what to do."""

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"n_fft": 15}, "n_fft from 16 to 8192, got n_fft=15"),
            ({"n_fft": 8193}, "n_fft from 16 to 8192"),
            ({"n_fft": 32}, "at most n_fft=32 samples, got win_length=50"),
            ({"hop_length": 0}, "positive whole number, got hop_length=0"),
            ({"hop_length": 2.5}, "positive whole number"),
            ({"sample_rate": True}, "positive whole number"),
            ({"f_max": 4001.0}, r"half the sample rate \(4000 Hz\), got f_max=4001"),
            ({"f_min": 3000.0, "f_max": 2000.0}, "f_min < f_max"),
            ({"f_min": -1.0}, "0 <= f_min"),
            ({"window": "hanning"}, "one of hann, hamming"),
            ({"window": (1.0, 2.0)}, "50 finite window values"),
            ({"framing": "same"}, "one of center, center_trimmed, valid, mirror"),
            ({"log": "log2"}, "one of ln, log10, dB"),
            ({"log_floor": 0.0}, "log_floor"),
            ({"log_floor": float("nan")}, "log_floor"),
            ({"log_reference": 0.0}, "log_reference"),
            ({"log_range": -1.0}, "log_range"),
            ({"mean": 1.0}, "mean and std together"),
            ({"mean": (1.0, 2.0), "std": 1.0}, "12 of them"),
            ({"mean": 0.0, "std": 0.0}, "positive numbers"),
            ({"preemphasis": 2.0}, "preemphasis"),
            ({"preemphasis_scope": "file"}, "one of frame, clip"),
            ({"zscore": 1}, "True or False"),
        ],
    )
    def test_configurations(self, changes: dict, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            replace(SMALL, **changes)

    def test_unknown_and_missing_fields(self) -> None:
        values = SMALL.to_dict()
        with pytest.raises(ConfigError, match=r"got \['n_mel'\]"):
            FrontendConfig.from_dict(values | {"n_mel": 3})
        del values["hop_length"]
        with pytest.raises(ConfigError, match=r"\['hop_length'\] missing"):
            FrontendConfig.from_dict(values)

    def test_waveforms(self) -> None:
        front_end = LogMel(SMALL)
        with pytest.raises(TypeError, match="got float64"):
            front_end(np.zeros(100))
        with pytest.raises(TypeError, match="got list"):
            front_end([[0.0]])
        with pytest.raises(TypeError, match="got NoneType"):
            front_end(None)
        with pytest.raises(AudioError, match=r"got \(2, 3, 4\)"):
            front_end(np.zeros((2, 3, 4), np.float32))
        with pytest.raises(AudioError, match=r"got \(\)"):
            front_end(np.zeros((), np.float32))
        with pytest.raises(TypeError, match=r"float32 array of shape \(6, 12\)"):
            front_end(noise(100), out=np.zeros((5, 12), np.float32))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("position", [0, 777, 1999])
    def test_samples_that_are_not_finite(self, value: float, position: int) -> None:
        x = noise(2000)
        x[position] = value
        with pytest.raises(AudioError, match=f"at sample {position}"):
            LogMel(SMALL)(x)
        with pytest.raises(AudioError, match="waveform 1: expected finite"):
            LogMel(SMALL)([noise(2000), x])

    def test_samples_whose_square_overflows(self) -> None:
        with pytest.raises(AudioError, match="square fits float32"):
            LogMel(SMALL)(noise(2000) * np.float32(1e25))

    def test_an_empty_filter_is_named(self) -> None:
        with pytest.warns(UserWarning, match=r"mel filters \[0"):
            LogMel(FrontendConfig(16000, 400, 160, 512, 128))


def test_a_configuration_survives_json_and_pickle() -> None:
    config = replace(SMALL, window=np.hanning(50).tolist(), mean=list(range(12)), std=[1.0] * 12)
    assert FrontendConfig.from_dict(config.to_dict()) == config
    front_end = pickle.loads(pickle.dumps(LogMel(config, threads=2)))
    assert front_end.config == config
    np.testing.assert_array_equal(front_end(noise(500)), LogMel(config)(noise(500)))

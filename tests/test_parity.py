"""The front end against independent libraries over grids of odd parameters; ``benchmarks.parity`` tabulates them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import kaldi_native_fbank
import librosa
import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from transformers import audio_utils

from engine.frontend import FrontendConfig, LogMel
from tests import oracles
from tests.conftest import REPOSITORY
from tests.parity import TOLERANCE, log_mel_error, spectrogram_error, synthetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Peer = Callable[[FrontendConfig, NDArray[np.float32]], NDArray[Any]]

# Every library has its own words for filters that hold no bin of the transform.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{start}")
    for start in ("mel filters", "Empty filters", "At least one mel filter", "n_fft=")
]

# (sample rate, window, hop, n_fft): powers of two, small factors, a prime, hops that divide nothing.
GEOMETRIES = [
    (16000, 400, 160, 400),
    (16000, 400, 160, 512),
    (16000, 480, 161, 480),
    (22050, 1000, 333, 1000),
    (44100, 1024, 441, 1024),
    (16000, 133, 133, 133),
    (8000, 200, 77, 256),
    (32000, 800, 320, 1024),
    (48000, 960, 1201, 960),
    (44100, 1102, 441, 2048),
    (16000, 25, 10, 32),
    (11025, 301, 97, 301),
]
SCIPY_WINDOW = {"rectangular": "boxcar"}
EVEN = [geometry for geometry in GEOMETRIES if geometry[1] % 2 == geometry[3] % 2 == 0]


@dataclass(frozen=True)
class Grid:
    """What one peer is compared on: log-mel values, or spectrograms."""

    peer: Peer
    configs: list[FrontendConfig]
    spectrogram: bool = False


def configurations(
    geometries: list[tuple[int, int, int, int]], n_cases: int, **choices: list[Any]
) -> list[FrontendConfig]:
    """Return ``n_cases`` configurations that run through every geometry and, at coprime strides, every choice."""
    configs = []
    for i, (rate, win, hop, n_fft) in zip(range(n_cases), cycle(geometries), strict=False):
        lap, values = i // len(geometries), {}
        for position, (name, options) in enumerate(choices.items()):
            values[name] = options[(i + lap * (position + 1)) % len(options)]
        n_mels = values.pop("n_mels", 20)
        configs.append(FrontendConfig(rate, win, hop, n_fft, n_mels, **values))
    return configs


def kaldi(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float32]:
    options = kaldi_native_fbank.FbankOptions()
    frames, mel = options.frame_opts, options.mel_opts
    frames.samp_freq = config.sample_rate
    # Lengths in milliseconds are cut to whole samples.
    frames.frame_length_ms = (config.win_length + 0.5) * 1000 / config.sample_rate
    frames.frame_shift_ms = (config.hop_length + 0.5) * 1000 / config.sample_rate
    frames.round_to_power_of_two = config.n_fft != config.win_length
    frames.window_type = {"hann": "hanning"}.get(str(config.window), str(config.window))
    frames.snip_edges = config.framing == "valid"
    frames.preemph_coeff = config.preemphasis
    frames.remove_dc_offset = config.remove_dc
    frames.dither = 0.0
    mel.num_bins = config.n_mels
    mel.low_freq = config.f_min
    mel.high_freq = config.f_max or 0.0
    options.use_power = config.spectrum == "power"
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(config.sample_rate, (x * np.float32(config.input_scale)).tolist())
    fbank.input_finished()
    return np.array([fbank.get_frame(i) for i in range(fbank.num_frames_ready)]).reshape(-1, config.n_mels)


def librosa_bank(config: FrontendConfig) -> NDArray[np.float64]:
    return librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        htk=config.mel_scale == "htk",
        norm=None if config.mel_norm == "none" else "slaney",
        dtype=np.float64,
    )


def librosa_log_mel(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    magnitude = librosa.stft(
        x.astype(np.float64),
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        win_length=config.win_length,
        window=SCIPY_WINDOW.get(str(config.window), str(config.window)),
        center=config.framing == "center",
        pad_mode=config.pad_mode,
    )
    bank = librosa_bank(config)
    reference = np.max if config.log_reference == "max" else config.log_reference
    if config.spectrum == "power":
        mel = bank @ np.abs(magnitude) ** 2
        return librosa.power_to_db(mel, ref=reference, amin=config.log_floor, top_db=config.log_range).T
    mel = bank @ np.abs(magnitude)
    return librosa.amplitude_to_db(mel, ref=reference, amin=config.log_floor, top_db=config.log_range).T


def transformers_log_mel(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    f_max = config.sample_rate / 2 if config.f_max is None else config.f_max
    bank = audio_utils.mel_filter_bank(
        config.n_fft // 2 + 1, config.n_mels, config.f_min, f_max, config.sample_rate,
        norm=None if config.mel_norm == "none" else "slaney", mel_scale=config.mel_scale,
        triangularize_in_mel_space=config.mel_scale == "kaldi",
    )  # fmt: skip
    name = SCIPY_WINDOW.get(str(config.window), str(config.window))
    window = audio_utils.window_function(config.win_length, name, periodic=config.window_periodic)
    return audio_utils.spectrogram(
        x.astype(np.float64),
        window,
        frame_length=config.win_length,
        hop_length=config.hop_length,
        fft_length=config.n_fft,
        power=2.0 if config.spectrum == "power" else 1.0,
        center=config.framing == "center",
        pad_mode=config.pad_mode,
        preemphasis=config.preemphasis or None,
        remove_dc_offset=config.remove_dc,
        mel_filters=bank,
        mel_floor=config.log_floor,
        log_mel={"ln": "log", "log10": "log10", "dB": "dB"}[config.log],
        dtype=np.float64,
    ).T


def torch_spectrogram(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    window = torch.from_numpy(oracles.window(config))
    spectrum = torch.stft(
        torch.from_numpy(x).double(), config.n_fft, config.hop_length, config.win_length, window,
        center=config.framing == "center", pad_mode=config.pad_mode, return_complex=True,
    )  # fmt: skip
    magnitude = spectrum.abs().T.numpy()
    return magnitude if config.spectrum == "magnitude" else magnitude**2


def torch_log_mel(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """torch.stft under a filter bank of librosa's, as torchaudio.transforms.MelSpectrogram does it."""
    bank = librosa_bank(config)
    return np.log(torch_spectrogram(config, x) @ bank.T + config.log_offset)


def scipy_spectrogram(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    transform = ShortTimeFFT(
        oracles.window(config), config.hop_length, config.sample_rate, mfft=config.n_fft, phase_shift=None
    )
    padding = "even" if config.pad_mode == "reflect" else "zeros"
    magnitude = np.abs(transform.stft(x.astype(np.float64), p0=0, p1=config.n_frames(len(x)), padding=padding).T)
    return magnitude if config.spectrum == "magnitude" else magnitude**2


BANDS = {"n_mels": [13, 40, 23], "f_min": [20.0, 0.0, 125.0], "f_max": [None, 3800.0]}
GRIDS: dict[str, Grid] = {
    "float64 oracle": Grid(
        oracles.log_mel,
        configurations(
            GEOMETRIES, 36, window=["hann", "povey", "rectangular", "hamming", "blackman"],
            window_periodic=[True, False], framing=["center", "mirror", "valid", "center_trimmed"],
            preemphasis=[0.0, 0.97], preemphasis_scope=["frame", "clip", "frame"], remove_dc=[False, True, False],
            spectrum=["power", "magnitude"], log=["ln", "dB", "log10"], log_floor=[1e-7],
            mel_scale=["htk", "slaney", "kaldi"], mel_norm=["none", "slaney"], **BANDS,
        ),
    ),
    "kaldi-native-fbank": Grid(
        kaldi,
        # Its transforms are of the window's length, if even, or of the next power of two.
        configurations(
            [g for g in GEOMETRIES if g[3] % 2 == 0 and (g[3] == g[1] or g[3] in (32, 256, 512, 1024, 2048))], 36,
            window=["povey", "hann", "hamming", "rectangular", "blackman"], window_periodic=[False],
            framing=["valid", "mirror"], preemphasis=[0.97, 0.0, 0.5], remove_dc=[True, True, False],
            spectrum=["power", "power", "magnitude"], input_scale=[32768.0, 1.0], mel_scale=["kaldi"],
            log_floor=[2.0**-23], **BANDS,
        ),
    ),
    "librosa": Grid(
        librosa_log_mel,
        configurations(
            GEOMETRIES, 36, window=["hann", "hamming", "blackman", "rectangular"], pad_mode=["reflect", "constant"],
            spectrum=["power", "magnitude"], log=["dB"], log_floor=[1e-10, 1e-5], log_reference=["max", 1.0, 0.5],
            log_range=[80.0, None, 60.0], mel_scale=["slaney", "htk"], mel_norm=["slaney", "none"], **BANDS,
        ),
    ),
    "torch.stft": Grid(
        torch_log_mel,
        configurations(
            GEOMETRIES, 24, window=["hann", "hamming", "povey", "blackman"], window_periodic=[True, False],
            pad_mode=["reflect", "constant"], log_floor=[0.0], log_offset=[1e-6, 1e-3], mel_scale=["htk", "slaney"],
            mel_norm=["none", "slaney"], **BANDS,
        ),
    ),
    "transformers": Grid(
        transformers_log_mel,
        # Its norm of a bank that is linear in mel is per mel, ours (and librosa's) per Hz: left out.
        configurations(
            EVEN, 24, window=["hann", "hamming", "rectangular"], window_periodic=[True, False],
            framing=["center", "valid"], preemphasis=[0.0, 0.97], remove_dc=[False, True, False],
            spectrum=["power", "magnitude"], log=["ln", "log10", "dB"], log_floor=[1e-10, 1e-7],
            mel_scale=["slaney", "htk"], mel_norm=["none", "slaney"], **BANDS,
        )
        + configurations(
            EVEN, 12, window=["povey", "hann"], window_periodic=[False], framing=["valid"], preemphasis=[0.97],
            remove_dc=[True], log_floor=[1e-7], mel_scale=["kaldi"], **BANDS,
        ),
    ),
    "scipy.signal.ShortTimeFFT": Grid(
        scipy_spectrogram,
        configurations(
            [g for g in GEOMETRIES if (g[3] - g[1]) % 2 == 0], 24, window=["hann", "blackman", "povey", "hamming"],
            window_periodic=[True, False], pad_mode=["reflect", "constant"], spectrum=["power", "magnitude"],
        ),
        spectrogram=True,
    ),
    "torch.stft spectrogram": Grid(
        torch_spectrogram,
        configurations(
            GEOMETRIES, 24, window=["hann", "rectangular", "povey"], pad_mode=["reflect", "constant"],
            spectrum=["power", "magnitude"],
        ),
        spectrogram=True,
    ),
}  # fmt: skip


def signals(config: FrontendConfig, peer: str) -> list[NDArray[np.float32]]:
    """Return a long input and those short ones, around a window's length, that the peer takes."""
    win, hop = config.win_length, config.hop_length
    lengths = [config.sample_rate * 5 // 4 + 1, win, win + hop - 1, win + hop]
    if peer == "float64 oracle":  # slow
        lengths[0] = 12 * win
    if peer in ("kaldi-native-fbank", "float64 oracle"):
        lengths += [win - 1, win // 2 + 1]
    else:  # the others refuse to reflect a signal shorter than half a transform
        lengths = [max(n, config.n_fft // 2 + 1) for n in lengths]
    return [synthetic(config.sample_rate, n) for n in lengths]


def errors(peer: str) -> Iterator[tuple[float, FrontendConfig, int]]:
    """Yield the error, the configuration and the input's length of every case of a peer's grid."""
    grid = GRIDS[peer]
    for config in grid.configs:
        front_end = LogMel(config)
        for x in signals(config, peer):
            expected = grid.peer(config, x)
            if grid.spectrogram:
                yield spectrogram_error(front_end.spectrogram(x), expected), config, len(x)
            else:
                yield log_mel_error(config, front_end(x), expected), config, len(x)


@pytest.mark.parametrize("peer", GRIDS)
def test_every_case_is_within_the_tolerance_of_its_peer(peer: str) -> None:
    for error, config, n_samples in errors(peer):
        assert error <= TOLERANCE[peer], f"{error:.2g} with {n_samples} samples of {config}"


def test_the_page_has_a_row_for_every_peer() -> None:
    page = (REPOSITORY / "docs" / "parity.md").read_text(encoding="utf-8")
    for peer in GRIDS:
        assert f"\n| {peer} " in page, "run python -m benchmarks.parity"


def test_the_measure_sees_a_wrong_value_and_forgives_rounding_noise() -> None:
    config = FrontendConfig(16000, 400, 160, 512, 3, log="dB")
    expected = np.array([[0.0, -70.0, -100.0]])
    for wrong, error in (([0.0, -70.5, -100.0], 0.5), ([0.0, -70.0, -85.0], 0.0), ([0.0, -70.0, -75.0], 5.0)):
        assert log_mel_error(config, np.array([wrong]), expected) == pytest.approx(error)
    assert spectrogram_error(np.array([[4.0, 1.5]]), np.array([[4.0, 1.0]])) == pytest.approx(0.125)

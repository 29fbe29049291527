"""Each preset against the package that it reproduces, called as users call it, or a float64 transcription of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import kaldi_native_fbank
import librosa
import numpy as np
import pytest
import torch
import torchlibrosa
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor

from engine.errors import ConfigError
from engine.frontend import PRESETS, LogMel, preset
from tests import oracles
from tests.conftest import REPOSITORY
from tests.parity import TOLERANCE, log_mel_error, recordings, synthetic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Clip = NDArray[np.float32]
    Original = Callable[[Clip], NDArray[Any]]

# Every library has its own words for filters that hold no bin of the transform.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{start}")
    for start in ("mel filters", "Empty filters", "At least one mel filter")
]


def kaldi_fbank(x: Clip, n_mels: int) -> NDArray[np.float32]:
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = n_mels
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(16000, (x * np.float32(32768)).tolist())
    fbank.input_finished()
    return np.array([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


def ast(x: Clip) -> NDArray[np.float32]:
    frames = 1 + (len(x) - 400) // 160
    return ASTFeatureExtractor(max_length=frames)(x, sampling_rate=16000, return_tensors="np").input_values[0]


def beats(x: Clip) -> NDArray[np.float32]:
    return (kaldi_fbank(x, 128) - np.float32(15.41663)) / np.float32(2 * 6.55582)


@cache
def panns_layers() -> torch.nn.Module:
    spectrogram = torchlibrosa.Spectrogram(
        n_fft=1024, hop_length=320, win_length=1024, window="hann", center=True, pad_mode="reflect"
    )
    log_mel = torchlibrosa.LogmelFilterBank(
        sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000, ref=1.0, amin=1e-10, top_db=None
    )
    return torch.nn.Sequential(spectrogram, log_mel)


def panns(x: Clip) -> NDArray[np.float32]:
    with torch.inference_mode():
        return panns_layers()(torch.from_numpy(x)[None])[0, 0].numpy()


def openl3(x: Clip) -> NDArray[np.float64]:
    y = x.astype(np.float64)
    mel = librosa.feature.melspectrogram(y=y, sr=48000, n_mels=256, n_fft=2048, hop_length=242, center=True, power=1.0)
    decibels = librosa.power_to_db(S=mel, ref=1.0, amin=1e-10, top_db=80.0)
    return (decibels - decibels.max()).T


def whisper(x: Clip) -> NDArray[np.float32]:
    return WhisperFeatureExtractor()(x, sampling_rate=16000, padding=False, return_tensors="np").input_features[0].T


def librosa_default(x: Clip) -> NDArray[np.float64]:
    return librosa.power_to_db(librosa.feature.melspectrogram(y=x.astype(np.float64), sr=22050)).T


def torchaudio_default(x: Clip) -> NDArray[np.float64]:
    """MelSpectrogram() and AmplitudeToDB() on torch.stft: no build of torchaudio fits a torch for the CPU."""
    y = torch.from_numpy(x).double()
    window = torch.hann_window(400, dtype=torch.float64)
    power = torch.stft(y, 400, 200, window=window, center=True, pad_mode="reflect", return_complex=True).abs() ** 2
    bank = librosa.filters.mel(sr=16000, n_fft=400, n_mels=128, htk=True, norm=None, dtype=np.float64)
    return (10 * torch.log10(torch.clamp(torch.from_numpy(bank) @ power, min=1e-10))).T.numpy()


def dcase2018_baseline(x: Clip) -> NDArray[np.float64]:
    """dcase_util's MelExtractor, transcribed on librosa, for its own calls are those of librosa 0.6.

    It also adds spacing(1) to every sample, which nothing but digital silence shows and is left out here.
    """
    window = librosa.filters.get_window("hamming", 1764, fftbins=True)
    y = x.astype(np.float64)
    magnitude = np.abs(librosa.stft(y, n_fft=2048, win_length=1764, hop_length=882, window=window, pad_mode="reflect"))
    bank = librosa.filters.mel(sr=44100, n_fft=2048, n_mels=64, fmin=0, fmax=22050, htk=False, norm="slaney")
    return np.log(bank @ magnitude + np.spacing(1)).T


def turpault2019(x: Clip) -> NDArray[np.float64]:
    magnitude = librosa.feature.melspectrogram(
        y=x.astype(np.float64), sr=44100, n_fft=2048, win_length=1102, hop_length=441, n_mels=64, power=1.0, htk=True,
        norm=None, pad_mode="reflect",
    )  # fmt: skip
    return np.log(magnitude + 0.01).T


def iminet_imitation(x: Clip) -> NDArray[np.float64]:
    mel = librosa.feature.melspectrogram(
        y=x.astype(np.float64), sr=16000, n_fft=133, hop_length=133, power=2, n_mels=39, fmin=0.0, fmax=5000,
        pad_mode="reflect",
    )  # fmt: skip
    decibels = librosa.power_to_db(mel, ref=np.max).T
    return (decibels - decibels.mean()) / decibels.std()


def iminet_reference(x: Clip) -> NDArray[np.float64]:
    y = x.astype(np.float64)
    mel = librosa.feature.melspectrogram(y=y, sr=44100, n_fft=1024, hop_length=1024, power=2, pad_mode="reflect")
    return librosa.power_to_db(mel, ref=np.max).T


ORIGINALS: dict[str, tuple[str, Original]] = {
    "vggish": ("float64 transcription", oracles.vggish),
    "yamnet": ("float64 transcription", lambda x: oracles.vggish(x, log_offset=0.001)),
    "kaldi80": ("kaldi-native-fbank", lambda x: kaldi_fbank(x, 80)),
    "ast": ("transformers", ast),
    "beats": ("kaldi-native-fbank", beats),
    "panns32k": ("torchlibrosa", panns),
    "efficientat32k": ("float64 transcription", oracles.efficientat),
    "openl3_mel256": ("librosa", openl3),
    "whisper80": ("transformers", whisper),
    "librosa_default": ("librosa", librosa_default),
    "torchaudio_default": ("torch.stft", torchaudio_default),
    "dcase2018_baseline": ("librosa", dcase2018_baseline),
    "turpault2019": ("librosa", turpault2019),
    "iminet_imitation": ("librosa", iminet_imitation),
    "iminet_reference": ("librosa", iminet_reference),
}


def error(name: str, x: Clip) -> float:
    return log_mel_error(PRESETS[name], LogMel(PRESETS[name])(x), ORIGINALS[name][1](x))


def test_every_preset_has_its_original() -> None:
    assert list(ORIGINALS) == list(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_synthetic_clip(name: str) -> None:
    assert error(name, synthetic(PRESETS[name].sample_rate)) <= TOLERANCE[ORIGINALS[name][0]]


@pytest.mark.parametrize("name", PRESETS)
def test_a_clip_so_quiet_that_floors_and_offsets_show(name: str) -> None:
    x = synthetic(PRESETS[name].sample_rate) * np.float32(2e-5)
    assert error(name, x) <= TOLERANCE[ORIGINALS[name][0]]


@pytest.mark.parametrize("name", PRESETS)
def test_two_recordings(name: str, shared_data: Path) -> None:
    for x in recordings(shared_data, PRESETS[name].sample_rate):
        assert error(name, x) <= TOLERANCE[ORIGINALS[name][0]]


def test_the_page_has_a_row_for_every_preset() -> None:
    page = (REPOSITORY / "docs" / "parity.md").read_text(encoding="utf-8")
    for name, (original, _) in ORIGINALS.items():
        assert f"\n| `{name}` | {original} " in page, "run python -m benchmarks.parity"


def test_shapes_that_the_models_expect() -> None:
    assert preset("whisper80").n_frames(30 * 16000) == 3000
    assert preset("efficientat32k").n_frames(10 * 32000) == 1000
    assert preset("panns32k").n_frames(10 * 32000) == 1001
    assert preset("openl3_mel256").n_frames(48000) == 199
    assert preset("iminet_imitation").n_frames(4 * 16000) == 482
    assert preset("iminet_reference").n_frames(4 * 44100) == 173
    assert preset("turpault2019").n_frames(10 * 44100) == 1001
    assert preset("ast").n_frames(5 * 16000) == 498
    # 15,600 samples of YAMNet and VGGish: 96 frames of 10 ms and the rest of the last window.
    assert preset("yamnet").n_frames(15600) == preset("vggish").n_frames(15600) == 96


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"vggish, yamnet, .*iminet_reference, got 'vgg'"):
        preset("vgg")


def test_presets_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PRESETS["mine"] = preset("vggish")

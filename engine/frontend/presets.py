"""The front ends of well-known models and libraries, by name.

Each entry names the package, function and arguments that it reproduces; ``tests/test_presets.py`` compares the two. A
preset ends where the frames end: cutting or padding clips to a model's window is the model card's business.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from engine.frontend.config import FrontendConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

FLT_EPSILON = 2.0**-23  # Kaldi's floor of the mel energies
INT16 = 32768.0  # Kaldi reads 16-bit samples as they are

_PRESETS = {
    # tensorflow/models research/audioset/vggish: mel_features.log_mel_spectrogram with vggish_params, which is
    # tf.signal.linear_to_mel_weight_matrix's bank on magnitudes. One example is 96 frames.
    "vggish": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=160,
        n_fft=512,
        n_mels=64,
        f_min=125.0,
        f_max=7500.0,
        framing="valid",
        spectrum="magnitude",
        mel_scale="kaldi",
        log_floor=0.0,
        log_offset=0.01,
    ),
    # tensorflow/models research/audioset/yamnet: features.waveform_to_log_mel_spectrogram_patches with params.Params.
    # VGGish with a smaller offset; one patch is 96 frames.
    "yamnet": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=160,
        n_fft=512,
        n_mels=64,
        f_min=125.0,
        f_max=7500.0,
        framing="valid",
        spectrum="magnitude",
        mel_scale="kaldi",
        log_floor=0.0,
        log_offset=0.001,
    ),
    # Kaldi compute-fbank-feats --num-mel-bins=80 --dither=0; kaldi-native-fbank 1.22 FbankOptions the same.
    # For recipes that leave samples in [-1, 1] (icefall): dataclasses.replace(config, input_scale=1.0).
    "kaldi80": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=160,
        n_fft=512,
        n_mels=80,
        f_min=20.0,
        window="povey",
        framing="valid",
        preemphasis=0.97,
        remove_dc=True,
        input_scale=INT16,
        mel_scale="kaldi",
        log_floor=FLT_EPSILON,
    ),
    # YuanGongND/ast src/dataloader.py and transformers 5 ASTFeatureExtractor() for AudioSet: samples in
    # [-1, 1] through torchaudio compliance.kaldi.fbank(htk_compat=True, window_type="hanning", num_mel_bins=128,
    # dither=0.0), (x - mean) / (2 std). The clip's mean, which the original removes first, goes with each frame's.
    "ast": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=160,
        n_fft=512,
        n_mels=128,
        f_min=20.0,
        window="hann",
        window_periodic=False,
        framing="valid",
        preemphasis=0.97,
        remove_dc=True,
        mel_scale="kaldi",
        log_floor=FLT_EPSILON,
        mean=-4.2677393,
        std=2 * 4.5689974,
    ),
    # microsoft/unilm beats/BEATs.py BEATs.preprocess: waveform * 2**15, torchaudio compliance.kaldi.fbank(
    # num_mel_bins=128, sample_frequency=16000, frame_length=25, frame_shift=10), (x - 15.41663) / (2 * 6.55582).
    "beats": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=160,
        n_fft=512,
        n_mels=128,
        f_min=20.0,
        window="povey",
        framing="valid",
        preemphasis=0.97,
        remove_dc=True,
        input_scale=INT16,
        mel_scale="kaldi",
        log_floor=FLT_EPSILON,
        mean=15.41663,
        std=2 * 6.55582,
    ),
    # qiuqiangkong/audioset_tagging_cnn Cnn14 (PANNs): torchlibrosa Spectrogram(n_fft=1024, hop_length=320, "hann",
    # center, "reflect") and LogmelFilterBank(sr=32000, n_mels=64, fmin=50, fmax=14000, amin=1e-10, top_db=None).
    "panns32k": FrontendConfig(
        sample_rate=32000,
        win_length=1024,
        hop_length=320,
        n_fft=1024,
        n_mels=64,
        f_min=50.0,
        f_max=14000.0,
        mel_scale="slaney",
        mel_norm="slaney",
        log="dB",
        log_floor=1e-10,
    ),
    # fschmid56/EfficientAT models/preprocess.py AugmentMelSTFT(n_mels=128, sr=32000, win_length=800, hopsize=320,
    # n_fft=1024, fmin=0.0, fmax=None) in evaluation: pre-emphasis of the clip by a two-tap convolution, torch.stft,
    # torchaudio compliance.kaldi.get_mel_banks up to 16000 - 2000 / 2 Hz, ln(x + 1e-5), (x + 4.5) / 5.
    "efficientat32k": FrontendConfig(
        sample_rate=32000,
        win_length=800,
        hop_length=320,
        n_fft=1024,
        n_mels=128,
        f_max=15000.0,
        window_periodic=False,
        preemphasis=0.97,
        preemphasis_scope="clip",
        mel_scale="kaldi",
        log_floor=0.0,
        log_offset=1e-5,
        mean=-4.5,
        std=5.0,
    ),
    # marl/openl3 0.4.2 core._librosa_mel_frontend(sr=48000, n_mels=256), one call per window of a second: librosa
    # melspectrogram(n_fft=2048, hop_length=242, power=1.0), then 10 log10 of that magnitude (not 20) with amin 1e-10,
    # relative to its maximum, no lower than -80. Hence log10 with a range of 8, times ten.
    "openl3_mel256": FrontendConfig(
        sample_rate=48000,
        win_length=2048,
        hop_length=242,
        n_fft=2048,
        n_mels=256,
        pad_mode="constant",
        spectrum="magnitude",
        mel_scale="slaney",
        mel_norm="slaney",
        log="log10",
        log_floor=1e-10,
        log_reference="max",
        log_range=8.0,
        mean=0.0,
        std=0.1,
    ),
    # openai/whisper audio.log_mel_spectrogram(n_mels=80) and transformers 5 WhisperFeatureExtractor(): torch.stft
    # without its last frame, log10 of at least 1e-10, at most 8 below the maximum, (x + 4) / 4.
    "whisper80": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=160,
        n_fft=400,
        n_mels=80,
        framing="center_trimmed",
        mel_scale="slaney",
        mel_norm="slaney",
        log="log10",
        log_floor=1e-10,
        log_range=8.0,
        mean=-4.0,
        std=4.0,
    ),
    # librosa 0.11 power_to_db(feature.melspectrogram(y=y, sr=22050)), every argument at its default.
    "librosa_default": FrontendConfig(
        sample_rate=22050,
        win_length=2048,
        hop_length=512,
        n_fft=2048,
        n_mels=128,
        pad_mode="constant",
        mel_scale="slaney",
        mel_norm="slaney",
        log="dB",
        log_floor=1e-10,
        log_range=80.0,
    ),
    # torchaudio 2 transforms.AmplitudeToDB()(transforms.MelSpectrogram()(x)), every argument at its default.
    "torchaudio_default": FrontendConfig(
        sample_rate=16000,
        win_length=400,
        hop_length=200,
        n_fft=400,
        n_mels=128,
        log="dB",
        log_floor=1e-10,
    ),
    # DCASE-REPO/dcase2018_baseline task4/task4_crnn.yaml: dcase_util MelExtractor(fs=44100, win_length_seconds=0.04,
    # hop_length_seconds=0.02, n_fft=2048, n_mels=64, fmin=0, fmax=22050, htk=False, "hamming_asymmetric",
    # "magnitude") of its day's librosa (reflected edges, Slaney's norm): ln(x + spacing(1)).
    # The baseline then normalises each band by the training set.
    "dcase2018_baseline": FrontendConfig(
        sample_rate=44100,
        win_length=1764,
        hop_length=882,
        n_fft=2048,
        n_mels=64,
        window="hamming",
        spectrum="magnitude",
        mel_scale="slaney",
        mel_norm="slaney",
        log_floor=0.0,
        log_offset=2.0**-52,
    ),
    # Turpault, Serizel, Vincent: Semi-supervised triplet loss based learning of ambient audio embeddings, ICASSP 2019:
    # 44.1 kHz, 25 ms windows, 10 ms hop, 64 log-mel bands. The paper says no more; n_fft (the next power of two),
    # magnitudes, HTK bands and ln(x + 0.01) follow its authors' later code. Each band is then normalised by the
    # training set.
    "turpault2019": FrontendConfig(
        sample_rate=44100,
        win_length=1102,
        hop_length=441,
        n_fft=2048,
        n_mels=64,
        spectrum="magnitude",
        log_floor=0.0,
        log_offset=0.01,
    ),
    # Vocal imitations of (TL-)IMINET: librosa 0.6 melspectrogram(sr=16000, n_fft=133, hop_length=133, power=2,
    # n_mels=39, fmin=0.0, fmax=5000) of 4 s, power_to_db(ref=np.max), mean 0 and deviation 1 per example.
    "iminet_imitation": FrontendConfig(
        sample_rate=16000,
        win_length=133,
        hop_length=133,
        n_fft=133,
        n_mels=39,
        f_max=5000.0,
        mel_scale="slaney",
        mel_norm="slaney",
        log="dB",
        log_floor=1e-10,
        log_reference="max",
        log_range=80.0,
        zscore=True,
    ),
    # Reference recordings of (TL-)IMINET: librosa 0.6 melspectrogram(sr=44100, n_fft=1024, hop_length=1024, power=2)
    # of 4 s and power_to_db(ref=np.max). The network takes the first 128 of the 173 frames and normalises those to
    # mean 0 and deviation 1: that is the network's step, for it comes after the cut.
    "iminet_reference": FrontendConfig(
        sample_rate=44100,
        win_length=1024,
        hop_length=1024,
        n_fft=1024,
        n_mels=128,
        mel_scale="slaney",
        mel_norm="slaney",
        log="dB",
        log_floor=1e-10,
        log_reference="max",
        log_range=80.0,
    ),
}

PRESETS: Mapping[str, FrontendConfig] = MappingProxyType(_PRESETS)


def preset(name: str) -> FrontendConfig:
    """Return the front end of a well-known model or library; ``PRESETS`` lists the names.

    Parameters
    ----------
    name : str

    Returns
    -------
    FrontendConfig
        Frozen; ``dataclasses.replace`` makes variants.

    Raises
    ------
    ConfigError
        When there is no preset of this name.

    Examples
    --------
    >>> from engine.frontend import preset
    >>> preset("whisper80").n_frames(480_000)
    3000
    """
    if name not in PRESETS:
        raise ConfigError(f"expected one of the presets {', '.join(PRESETS)}, got {name!r}; choose one of them")
    return PRESETS[name]

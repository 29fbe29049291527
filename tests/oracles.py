"""Slow, obvious float64 references, each written from its definition and sharing no code with the engine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.frontend import FrontendConfig


def window(config: FrontendConfig) -> NDArray[np.float64]:
    """Return the analysis window, shape (win_length,)."""
    if isinstance(config.window, tuple):
        return np.array(config.window)
    n = config.win_length
    if n == 1:
        return np.ones(1)
    period = n if config.window_periodic and config.window != "povey" else n - 1
    values = []
    for i in range(n):
        turn = 2 * math.pi * i / period
        values.append(
            {
                "hann": 0.5 - 0.5 * math.cos(turn),
                "hamming": 0.54 - 0.46 * math.cos(turn),
                "povey": max(0.5 - 0.5 * math.cos(turn), 0.0) ** 0.85,
                "blackman": 0.42 - 0.5 * math.cos(turn) + 0.08 * math.cos(2 * turn),
                "rectangular": 1.0,
            }[config.window]
        )
    return np.array(values)


def hz_to_mel(hz: float, scale: str) -> float:
    """Return the mel value of a frequency in Hz."""
    if scale == "htk":
        return 2595 * math.log10(1 + hz / 700)
    if scale == "kaldi":
        return 1127 * math.log(1 + hz / 700)
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def mel_to_hz(mel: float, scale: str) -> float:
    """Return the frequency in Hz of a mel value."""
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    if scale == "kaldi":
        return 700 * (math.exp(mel / 1127) - 1)
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def mel_filters(config: FrontendConfig) -> NDArray[np.float64]:
    """Return the triangular filters, shape (n_mels, n_fft // 2 + 1)."""
    f_max = config.sample_rate / 2 if config.f_max is None else config.f_max
    low, high = hz_to_mel(config.f_min, config.mel_scale), hz_to_mel(f_max, config.mel_scale)
    mels = [low + (high - low) * i / (config.n_mels + 1) for i in range(config.n_mels + 2)]
    filters = np.zeros((config.n_mels, config.n_fft // 2 + 1))
    for m in range(config.n_mels):
        left, centre, right = (mel_to_hz(mels[m + i], config.mel_scale) for i in range(3))
        for k in range(config.n_fft // 2 + 1):
            hz = k * config.sample_rate / config.n_fft
            if config.mel_scale == "kaldi":
                at, a, b, c = hz_to_mel(hz, "kaldi"), mels[m], mels[m + 1], mels[m + 2]
            else:
                at, a, b, c = hz, left, centre, right
            filters[m, k] = max(0.0, min((at - a) / (b - a), (c - at) / (c - b)))
        if config.mel_norm == "slaney":
            filters[m] *= 2 / (right - left)
    return filters


def sample_at(x: NDArray[np.float64], i: int, mode: str) -> float:
    """Return sample i of a signal continued beyond its ends by reflecting one step at a time."""
    if mode == "constant":
        return float(x[i]) if 0 <= i < len(x) else 0.0
    while not 0 <= i < len(x):
        if mode == "reflect":
            if len(x) == 1:
                return float(x[0])
            i = -i if i < 0 else 2 * (len(x) - 1) - i
        else:
            i = -i - 1 if i < 0 else 2 * len(x) - 1 - i
    return float(x[i])


def frames(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the filtered and windowed frames, shape (n_frames, win_length)."""
    signal = x.astype(np.float64) * config.input_scale
    win, hop, n = config.win_length, config.hop_length, len(x)
    if config.remove_clip_mean and n > 0:
        signal = signal - signal.mean()
    factor = config.preemphasis
    if config.preemphasis_scope == "clip":
        signal, factor = signal[1:] - factor * signal[:-1], 0.0
        n = len(signal)
    if n == 0:
        return np.zeros((0, win))
    if config.framing in ("center", "center_trimmed"):
        # As librosa and torch.stft: pad n_fft // 2 on both sides, frames of n_fft, the window in the middle of a frame.
        starts = []
        t = 0
        while t * hop + config.n_fft <= n + 2 * (config.n_fft // 2):
            starts.append(t * hop - config.n_fft // 2 + (config.n_fft - win) // 2)
            t += 1
        starts = starts[: t - 1] if config.framing == "center_trimmed" else starts
        mode = config.pad_mode
    elif config.framing == "valid":
        starts, mode = list(range(0, n - win + 1, hop)), "constant"
    else:
        starts, mode = [t * hop + hop // 2 - win // 2 for t in range((n + hop // 2) // hop)], "mirror"
    result = np.zeros((len(starts), win))
    for row, start in zip(result, starts, strict=True):
        frame = np.array([sample_at(signal, start + i, mode) for i in range(win)])
        if config.remove_dc:
            frame = frame - frame.mean()
        before = np.concatenate([frame[:1], frame[:-1]])
        row[:] = (frame - factor * before) * window(config)
    return result


def stft(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Return the complex spectra, phases counted from each window's first sample, shape (n_frames, n_bins)."""
    return np.fft.rfft(frames(config, x), config.n_fft, axis=1)


def log_mel(config: FrontendConfig, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-mel spectrogram, shape (n_frames, n_mels)."""
    magnitude = np.abs(stft(config, x))
    spectrum = magnitude if config.spectrum == "magnitude" else magnitude**2
    mel = np.maximum(spectrum @ mel_filters(config).T, config.log_floor) + config.log_offset
    if mel.shape[0] == 0:
        return mel
    unit = {"ln": 1.0, "log10": 1 / math.log(10), "dB": 10 / math.log(10)}[config.log]
    if config.log == "dB" and config.spectrum == "magnitude":
        unit *= 2
    values = unit * np.log(mel)
    values -= values.max() if config.log_reference == "max" else unit * math.log(config.log_reference)
    if config.log_range is not None:
        values = np.maximum(values, values.max() - config.log_range)
    if config.mean is not None:
        values = (values - np.array(config.mean)) / np.array(config.std)
    if config.zscore:
        deviation = values.std()
        values = (values - values.mean()) / (deviation if deviation > 1e-6 * (1 + abs(values.mean())) else np.inf)
    return values


def vggish(x: NDArray[np.float32], log_offset: float = 0.01) -> NDArray[np.float64]:
    """VGGish's log-mel of 16 kHz audio, shape (n_frames, 64), from mel_features.py; YAMNet's with an offset of 0.001.

    Both take magnitudes of 25 ms frames every 10 ms through triangles that are linear in mel = 1127 ln(1 + f / 700).
    """
    mel_of_bin = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * math.log(1 + 125 / 700), 1127 * math.log(1 + 7500 / 700), 64 + 2)
    bank = np.zeros((257, 64))
    for band in range(64):
        left, centre, right = edges[band : band + 3]
        rising, falling = (mel_of_bin - left) / (centre - left), (right - mel_of_bin) / (right - centre)
        bank[:, band] = np.maximum(0, np.minimum(rising, falling))
    bank[0] = 0  # the constant component belongs to no band
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    pieces = [x[start : start + 400].astype(np.float64) * hann for start in range(0, len(x) - 400 + 1, 160)]
    return np.log(np.abs(np.fft.rfft(pieces, 512)) @ bank + log_offset)


def efficientat(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """EfficientAT's normalised log-mel of 32 kHz audio, shape (n_frames, 128), from AugmentMelSTFT in evaluation mode.

    Its banks are those of torchaudio.compliance.kaldi.get_mel_banks, which leaves the bin at half the rate out.
    """
    emphasised = x[1:].astype(np.float64) - 0.97 * x[:-1]
    padded = np.pad(emphasised, 512, mode="reflect")
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 799), 112)
    pieces = [padded[start : start + 1024] * hann for start in range(0, len(padded) - 1024 + 1, 320)]
    power = np.abs(np.fft.rfft(pieces)) ** 2
    step = 1127 * math.log(1 + 15000 / 700) / (128 + 1)
    position = 1127 * np.log(1 + np.arange(512) * 32000 / 1024 / 700)[:, None] / step - np.arange(128)
    bank = np.maximum(0, np.minimum(position, 2 - position))  # band m rises from m to m + 1 and falls to m + 2 steps
    return (np.log(power[:, :512] @ bank + 1e-5) + 4.5) / 5

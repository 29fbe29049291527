"""The configuration of the front end: every number between a waveform and its log-mel spectrogram."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from engine.errors import ConfigError

WindowName = Literal["hann", "hamming", "povey", "blackman", "rectangular"]
Framing = Literal["center", "center_trimmed", "valid", "mirror"]
PadMode = Literal["reflect", "constant"]
PreemphasisScope = Literal["frame", "clip"]
Spectrum = Literal["power", "magnitude"]
MelScale = Literal["htk", "slaney", "kaldi"]
MelNorm = Literal["none", "slaney"]
LogKind = Literal["ln", "log10", "dB"]

MIN_N_FFT, MAX_N_FFT = 16, 8192
# Below this, float32 has no normal number left and the logarithm of silence would depend on the machine.
SMALLEST_FLOOR = 1.2e-38


@dataclass(frozen=True)
class FrontendConfig:
    """Every number of the front end. Lengths in samples, frequencies in Hz.

    The steps, in order: scale the samples, subtract the clip's mean, cut frames, per frame subtract the mean and
    pre-emphasise, window, FFT, magnitude or power, mel filters, logarithm, range limit, normalisation.

    Attributes
    ----------
    sample_rate : int
        In Hz; the rate the waveform must have.
    win_length, hop_length, n_fft : int
        In samples; ``n_fft`` from 16 to 8192 and at least ``win_length``. Powers of two are fastest; any size is exact.
    n_mels : int
    f_min, f_max : float
        Band edges in Hz; ``f_max=None`` is half the sample rate.
    window : str or tuple of float
        "hann", "hamming", "povey" (Kaldi's Hann to the power 0.85), "blackman", "rectangular", or the values.
    window_periodic : bool
        True for the DFT-even form (librosa, torch.stft), False for the symmetric form (Kaldi). Povey is symmetric.
    framing : str
        "center": frame t is centred on sample ``t * hop_length``, edges padded by ``pad_mode``,
        ``1 + n // hop_length`` frames, the window in the middle of ``n_fft`` (librosa, torch.stft).
        "center_trimmed": the same without the last frame (Whisper).
        "valid": only whole windows, ``1 + (n - win_length) // hop_length`` frames (Kaldi's snip_edges=True, VGGish).
        "mirror": ``(n + hop_length // 2) // hop_length`` frames, edges mirrored (Kaldi's snip_edges=False).
    pad_mode : str
        "reflect" (without repeating the edge sample) or "constant" (zeros); used where frames are centred.
    preemphasis : float
        Factor of ``y[i] = x[i] - preemphasis * x[i - 1]``.
    preemphasis_scope : str
        "frame": inside each frame, with ``x[-1] = x[0]`` (Kaldi). "clip": over the whole input before framing, starting
        with its second sample, which leaves one sample less (EfficientAT).
    remove_dc : bool
        Subtract each frame's mean before pre-emphasis (Kaldi).
    remove_clip_mean : bool
        Subtract the mean of the whole input before framing.
    input_scale : float
        Factor on every sample; 32768 for models trained on 16-bit integers.
    spectrum : str
        "power" or "magnitude".
    mel_scale : str
        "htk" (2595 log10(1 + f/700)), "slaney" (linear below 1 kHz) - both with triangles linear in Hz - or
        "kaldi" (1127 ln(1 + f/700), triangles linear in mel; also VGGish and YAMNet).
    mel_norm : str
        "none", or "slaney" (each filter divided by half its bandwidth in Hz).
    log : str
        "ln", "log10" or "dB" (10 log10 of a power, 20 log10 of a magnitude).
    log_floor, log_offset : float
        The logarithm is taken of ``max(mel, log_floor) + log_offset``; at least one of them is positive.
    log_reference : float or "max"
        The value that maps to 0; "max" is the input's largest mel value (librosa's ``ref=np.max``).
    log_range : float or None
        Values more than this below the input's largest are raised to that limit (librosa's ``top_db``); in units of
        ``log``.
    mean, std : float, tuple of float (one per mel band) or None
        The output is ``(value - mean) / std``.
    zscore : bool
        Normalise the output to mean 0 and standard deviation 1 over the whole input (a constant input gives zeros).
    """

    sample_rate: int
    win_length: int
    hop_length: int
    n_fft: int
    n_mels: int
    f_min: float = 0.0
    f_max: float | None = None
    window: WindowName | tuple[float, ...] = "hann"
    window_periodic: bool = True
    framing: Framing = "center"
    pad_mode: PadMode = "reflect"
    preemphasis: float = 0.0
    preemphasis_scope: PreemphasisScope = "frame"
    remove_dc: bool = False
    remove_clip_mean: bool = False
    input_scale: float = 1.0
    spectrum: Spectrum = "power"
    mel_scale: MelScale = "htk"
    mel_norm: MelNorm = "none"
    log: LogKind = "ln"
    log_floor: float = 1e-10
    log_offset: float = 0.0
    log_reference: float | Literal["max"] = 1.0
    log_range: float | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    zscore: bool = False

    def __post_init__(self) -> None:
        """Turn lists into tuples (a config read from JSON equals the one written) and refuse bad values."""
        for name in ("window", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(float(v) for v in value))
        _validate(self)

    @property
    def whole_input_fields(self) -> tuple[str, ...]:
        """Names of the settings that need the whole input before the first frame can be given out."""
        needs = {
            "remove_clip_mean": self.remove_clip_mean,
            "log_reference": self.log_reference == "max",
            "log_range": self.log_range is not None,
            "zscore": self.zscore,
        }
        return tuple(name for name, needed in needs.items() if needed)

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames an input of ``n_samples`` gives; an empty input gives none."""
        if self.preemphasis_scope == "clip":
            n_samples -= 1
        if n_samples <= 0:
            return 0
        if self.framing in ("center", "center_trimmed"):
            after_first = (n_samples + 2 * (self.n_fft // 2) - self.n_fft) // self.hop_length
            return after_first + (self.framing == "center")
        if self.framing == "mirror":
            return (n_samples + self.hop_length // 2) // self.hop_length
        return 0 if n_samples < self.win_length else 1 + (n_samples - self.win_length) // self.hop_length

    def hears_all_of(self, n_samples: int) -> bool:
        """Return whether each of ``n_samples`` is in a frame, so that one that is not finite cannot go unnoticed."""
        first = {
            "center": (self.n_fft - self.win_length) // 2 - self.n_fft // 2,
            "center_trimmed": (self.n_fft - self.win_length) // 2 - self.n_fft // 2,
            "mirror": self.hop_length // 2 - self.win_length // 2,
            "valid": 0,
        }[self.framing]
        n_frames = self.n_frames(n_samples)
        end = first + (n_frames - 1) * self.hop_length + self.win_length
        if self.preemphasis_scope == "clip":  # which looks one sample ahead
            end += 1
        return n_frames > 0 and first <= 0 and self.hop_length <= self.win_length and end >= n_samples

    def n_samples(self, n_frames: int) -> int:
        """Return the length of the shortest input that gives ``n_frames`` frames or more.

        Examples
        --------
        >>> config = FrontendConfig(sample_rate=16000, win_length=400, hop_length=160, n_fft=512, n_mels=64)
        >>> config.n_samples(96), config.n_frames(15200), config.n_frames(15199)
        (15200, 96, 95)
        """
        longest = self.win_length + n_frames * self.hop_length + 1
        return bisect.bisect_left(range(longest), n_frames, key=self.n_frames)

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON; ``from_dict`` reads them back."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FrontendConfig:
        """Build a configuration from ``to_dict``'s values; an unknown or missing name is a ConfigError."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(
                f"expected front-end settings among {sorted(known)}, got {unknown}; remove or rename them"
            )
        required = ("sample_rate", "win_length", "hop_length", "n_fft", "n_mels")
        if missing := [name for name in required if name not in values]:
            raise ConfigError(f"expected the front-end settings {required}, {missing} missing; add them")
        return cls(**values)


def _validate(config: FrontendConfig) -> None:
    def require(ok: bool, expected: str, name: str) -> None:
        if not ok:
            raise ConfigError(f"expected {expected}, got {name}={getattr(config, name)!r}; change {name}")

    def is_number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

    for name in ("sample_rate", "win_length", "hop_length", "n_fft", "n_mels"):
        value = getattr(config, name)
        require(isinstance(value, int) and not isinstance(value, bool) and value > 0, "a positive whole number", name)
    require(config.sample_rate <= 1_000_000, "a sample rate of at most 1,000,000 Hz", "sample_rate")
    require(config.n_mels <= MAX_N_FFT, f"at most {MAX_N_FFT} mel bands", "n_mels")
    require(config.hop_length <= 1 << 20, "a hop of at most 1,048,576 samples", "hop_length")
    require(MIN_N_FFT <= config.n_fft <= MAX_N_FFT, f"n_fft from {MIN_N_FFT} to {MAX_N_FFT}", "n_fft")
    require(config.win_length <= config.n_fft, f"a window of at most n_fft={config.n_fft} samples", "win_length")

    nyquist = config.sample_rate / 2
    require(is_number(config.f_min) and 0 <= config.f_min < nyquist, f"0 <= f_min < {nyquist:g} Hz", "f_min")
    if config.f_max is not None:
        in_band = is_number(config.f_max) and config.f_min < config.f_max <= nyquist
        require(in_band, f"f_min < f_max <= half the sample rate ({nyquist:g} Hz)", "f_max")

    if isinstance(config.window, tuple):
        right = len(config.window) == config.win_length and all(map(math.isfinite, config.window))
        require(right, f"{config.win_length} finite window values", "window")
    choices = {
        "framing": Framing,
        "pad_mode": PadMode,
        "preemphasis_scope": PreemphasisScope,
        "spectrum": Spectrum,
        "mel_scale": MelScale,
        "mel_norm": MelNorm,
        "log": LogKind,
    } | ({} if isinstance(config.window, tuple) else {"window": WindowName})
    for name, literal in choices.items():
        require(getattr(config, name) in get_args(literal), f"one of {', '.join(get_args(literal))}", name)
    for name in ("window_periodic", "remove_dc", "remove_clip_mean", "zscore"):
        require(isinstance(getattr(config, name), bool), "True or False", name)

    require(is_number(config.preemphasis) and 0 <= config.preemphasis <= 1, "a factor from 0 to 1", "preemphasis")
    require(is_number(config.input_scale) and config.input_scale > 0, "a positive number", "input_scale")
    for name in ("log_floor", "log_offset"):
        require(is_number(getattr(config, name)) and getattr(config, name) >= 0, "a number of 0 or more", name)
    lowest = config.log_floor + config.log_offset
    require(lowest >= SMALLEST_FLOOR, f"log_floor + log_offset of at least {SMALLEST_FLOOR}", "log_floor")
    if config.log_reference != "max":
        require(
            is_number(config.log_reference) and config.log_reference > 0, "a positive number or 'max'", "log_reference"
        )
    if config.log_range is not None:
        require(is_number(config.log_range) and config.log_range > 0, "a positive number or None", "log_range")
    require((config.mean is None) == (config.std is None), "mean and std together", "mean")
    for name in ("mean", "std"):
        value = getattr(config, name)
        if value is None:
            continue
        values = value if isinstance(value, tuple) else (value,)
        fits = len(values) in ((config.n_mels,) if isinstance(value, tuple) else (1,)) and all(map(is_number, values))
        require(fits, f"one finite number, or {config.n_mels} of them", name)
        require(name == "mean" or all(v > 0 for v in values), "positive numbers", name)

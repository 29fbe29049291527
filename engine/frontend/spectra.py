"""Complex spectra and mel-frequency cepstra from the kernels of the log-mel front end."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from engine import _kernels
from engine.errors import ConfigError
from engine.frontend.config import Framing, FrontendConfig, PadMode, WindowName
from engine.frontend.log_mel import LogMel, as_clip, compiled_plan

if TYPE_CHECKING:
    from numpy.typing import NDArray


_cached_plan = functools.lru_cache(maxsize=16)(compiled_plan)


def stft(
    waveform: NDArray[np.float32],
    n_fft: int,
    hop_length: int,
    win_length: int | None = None,
    *,
    window: WindowName | tuple[float, ...] = "hann",
    window_periodic: bool = True,
    framing: Framing = "center",
    pad_mode: PadMode = "reflect",
) -> NDArray[np.complex64]:
    """Compute the short-time Fourier transform.

    Parameters
    ----------
    waveform : ndarray of float32, shape (n_samples,)
    n_fft, hop_length, win_length : int
        In samples; ``win_length=None`` is ``n_fft``.
    window, window_periodic, framing, pad_mode
        As in FrontendConfig.

    Returns
    -------
    ndarray of complex64, shape (n_frames, n_fft // 2 + 1)
        A new array. With framing "center" it is the transpose of what librosa.stft and torch.stft return; otherwise
        phases count from the first sample of each window, as in Kaldi.

    Raises
    ------
    ConfigError, TypeError, AudioError
        As FrontendConfig and LogMel. Samples that are not finite give values that are not.

    Examples
    --------
    >>> import numpy as np
    >>> stft(np.ones(1000, np.float32), n_fft=64, hop_length=16).shape
    (63, 33)
    """
    size = n_fft if win_length is None else win_length
    if not 1 <= size <= n_fft:
        raise ConfigError(f"expected win_length from 1 to n_fft={n_fft}, got {size}; change win_length")
    if window not in get_args(WindowName) and not isinstance(window, tuple):
        raise ConfigError(f"expected a window among {', '.join(get_args(WindowName))}, got {window!r}; change window")
    values = window
    if not isinstance(values, str) and len(values) != size:
        raise ConfigError(f"expected {size} window values, got {len(values)}; change window or win_length")
    if isinstance(values, str):
        values = tuple(_kernels.window(values, size, window_periodic))
    if framing in ("center", "center_trimmed"):
        # Phases count from the start of the n_fft samples in whose middle the window lies.
        before = (n_fft - size) // 2
        values = (0.0,) * before + values + (0.0,) * (n_fft - size - before)
    config = FrontendConfig(
        sample_rate=2,  # a spectrum has no rate; the one mel filter goes unused
        win_length=len(values),
        hop_length=hop_length,
        n_fft=n_fft,
        n_mels=1,
        window=values,
        framing=framing,
        pad_mode=pad_mode,
    )
    return _cached_plan(config).stft(as_clip(waveform))


class MFCC:
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of each log-mel frame.

    Parameters
    ----------
    config : FrontendConfig
        Of the log-mel frames; librosa's MFCC uses decibels, Kaldi's the natural logarithm.
    n_mfcc : int
        Coefficients kept, from the 0th on; at most ``config.n_mels``.
    lifter : float
        Strength L of the sinusoidal lifter ``1 + L/2 sin(pi i / L)``; 0 for none.
    lifter_first : int
        The index i of coefficient 0 in that formula: 0 as in Kaldi and HTK, 1 as in librosa.
    threads : int

    Examples
    --------
    >>> import numpy as np
    >>> config = FrontendConfig(16000, win_length=400, hop_length=160, n_fft=512, n_mels=40)
    >>> MFCC(config, n_mfcc=13)(np.zeros(16000, np.float32)).shape
    (101, 13)
    """

    def __init__(
        self,
        config: FrontendConfig,
        n_mfcc: int = 13,
        lifter: float = 0.0,
        lifter_first: Literal[0, 1] = 0,
        threads: int = 1,
    ) -> None:
        if not 1 <= n_mfcc <= config.n_mels:
            raise ConfigError(f"expected n_mfcc from 1 to n_mels={config.n_mels}, got {n_mfcc}; change n_mfcc")
        if lifter < 0:
            raise ConfigError(f"expected a lifter of 0 or more, got {lifter}; change lifter")
        self.log_mel = LogMel(config, threads)
        k, m = np.arange(n_mfcc), np.arange(config.n_mels)
        # DCT-II, orthonormal: c[k] = sqrt(2 / M) sum over m of x[m] cos(pi k (m + 1/2) / M), c[0] divided by sqrt(2).
        basis = math.sqrt(2 / config.n_mels) * np.cos(np.pi * np.outer(m + 0.5, k) / config.n_mels)
        basis[:, 0] /= math.sqrt(2)
        if lifter > 0:
            basis *= 1 + lifter / 2 * np.sin(np.pi * (k + lifter_first) / lifter)
        self._basis = basis.astype(np.float32)

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the coefficients, shape (n_frames, n_mfcc), or (batch, n_frames, n_mfcc); errors as LogMel."""
        return self.log_mel(waveform) @ self._basis

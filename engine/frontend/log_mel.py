"""Waveform to log-mel: the wrapper of the C++ kernel. Training and inference share it; there is no other front end."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from engine import _kernels
from engine.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.frontend.config import FrontendConfig


class LogMel:
    """The front end that a configuration describes, planned once and safe to call from many threads.

    Parameters
    ----------
    config : FrontendConfig
    threads : int
        Upper bound on the threads of one call; results do not depend on it.
    warn_empty : bool
        Whether to warn of empty filters; False for the front end of a model, which was trained with them.

    Warns
    -----
    UserWarning
        When a mel filter lies between two bins of the transform and is empty; the message names the filters.

    Examples
    --------
    >>> import numpy as np
    >>> from engine import FrontendConfig, LogMel
    >>> config = FrontendConfig(sample_rate=16000, win_length=400, hop_length=160, n_fft=512, n_mels=64)
    >>> LogMel(config)(np.zeros(16000, np.float32)).shape
    (101, 64)
    """

    def __init__(self, config: FrontendConfig, threads: int = 1, *, warn_empty: bool = True) -> None:
        if threads < 1:
            raise ConfigError(f"expected at least 1 thread, got {threads}; pass threads=1 or more")
        self.config = config
        self.threads = threads
        self._plan = compiled_plan(config)
        if warn_empty:
            warn_of_empty_filters(self._plan, config)

    def __repr__(self) -> str:
        """Return the configuration's essentials."""
        c = self.config
        return f"LogMel({c.sample_rate} Hz, {c.win_length}/{c.hop_length}/{c.n_fft}, {c.n_mels} mels)"

    def __reduce__(self) -> tuple[type[LogMel], tuple[FrontendConfig, int]]:
        """Pickle as the configuration; the plan is made again."""
        return LogMel, (self.config, self.threads)

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames an input of ``n_samples`` gives."""
        return self.config.n_frames(n_samples)

    @overload
    def __call__(
        self, waveform: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]: ...
    @overload
    def __call__(self, waveform: Sequence[NDArray[np.float32]], out: None = None) -> list[NDArray[np.float32]]: ...
    def __call__(
        self,
        waveform: NDArray[np.float32] | Sequence[NDArray[np.float32]],
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        """Compute the log-mel spectrogram.

        Parameters
        ----------
        waveform : ndarray of float32, shape (n_samples,) or (batch, n_samples), or a list of arrays (n_samples_i,)
            At the configuration's sample rate. A C-contiguous array is read in place, any other is copied first.
        out : ndarray of float32, optional
            Where to write the result; C-contiguous and of the result's shape. Not for lists.

        Returns
        -------
        ndarray of float32, shape (n_frames, n_mels) or (batch, n_frames, n_mels), or a list of such
            ``out`` itself if given, else a new array. An empty waveform, or one shorter than a window where the framing
            takes whole windows only, gives 0 frames.

        Raises
        ------
        TypeError
            When an array is not of type float32; nothing is cast silently.
        AudioError
            When an array has another shape, or holds NaN, infinity or values whose square overflows float32.
        """
        if not isinstance(waveform, list | tuple):
            clip = as_waveform(waveform)
            if out is not None:
                check_out(out, self.config, clip)
            values, bad = self._plan.log_mel(clip, out, self.threads)
            if bad >= 0:
                raise AudioError(why_not_finite(clip[bad] if clip.ndim == 2 else clip))
            return values
        if out is not None:
            raise TypeError("expected out=None for a list of waveforms, got an array; pass one array or drop out")
        clips = as_clips(waveform)
        results, bad = self._plan.log_mel_many(clips, self.threads)
        if bad >= 0:
            raise AudioError(f"waveform {bad}: {why_not_finite(clips[bad])}")
        return results

    def filters(self) -> NDArray[np.float32]:
        """Return the mel filters as a new dense array, shape (n_mels, n_fft // 2 + 1)."""
        return self._plan.filters()

    def spectrogram(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power (or magnitude) spectrogram before the mel filters, shape (n_frames, n_fft // 2 + 1)."""
        return self._plan.spectrogram(as_clip(waveform))


def compiled_plan(config: FrontendConfig) -> _kernels.LogMelPlan:
    """Plan a configuration; a ConfigError when ENGINE_ISA names an instruction set that is not there."""
    try:
        return _kernels.LogMelPlan(**_plan_settings(config))
    except RuntimeError as error:
        raise ConfigError(str(error)) from error


def warn_of_empty_filters(plan: _kernels.LogMelPlan, config: FrontendConfig) -> None:
    """Warn the caller's caller of mel filters that lie between two bins."""
    if empty := plan.empty_filters:
        warnings.warn(
            f"mel filters {empty} hold no bin of the transform and stay at the floor; "
            f"use fewer than {config.n_mels} bands or an n_fft above {config.n_fft}",
            stacklevel=3,
        )


def _plan_settings(config: FrontendConfig) -> dict[str, Any]:
    """Translate a configuration to the keyword arguments of the compiled plan."""
    settings = asdict(config)
    settings["f_max"] = config.sample_rate / 2 if config.f_max is None else config.f_max
    if isinstance(config.window, tuple):
        settings["window_values"] = settings.pop("window")
    settings["log_reference_max"] = config.log_reference == "max"
    if config.log_reference == "max":
        del settings["log_reference"]
    settings["log_range"] = config.log_range or 0.0
    for name in ("mean", "std"):
        value = settings[name]
        settings[name] = [] if value is None else [value] * config.n_mels if isinstance(value, float | int) else value
    return settings


def _as_float32(waveform: object) -> NDArray[np.float32]:
    if not isinstance(waveform, np.ndarray) or waveform.dtype != np.float32:
        kind = waveform.dtype if isinstance(waveform, np.ndarray) else type(waveform).__name__
        raise TypeError(f"expected a numpy array of float32, got {kind}; convert it with .astype(numpy.float32)")
    return np.require(waveform, requirements="C")


def as_clip(waveform: object) -> NDArray[np.float32]:
    """Return the array as a C-contiguous clip (n_samples,); TypeError or AudioError when it is none."""
    clip = _as_float32(waveform)
    if clip.ndim != 1:
        raise AudioError(f"expected a waveform of shape (n_samples,), got {clip.shape}; reshape it")
    return clip


def as_waveform(waveform: object) -> NDArray[np.float32]:
    """Return the array as a C-contiguous clip or batch of clips; TypeError or AudioError when it is neither."""
    clip = _as_float32(waveform)
    if clip.ndim not in (1, 2):
        raise AudioError(
            f"expected a waveform of shape (n_samples,) or (batch, n_samples), got {clip.shape}; reshape it"
        )
    return clip


def as_clips(waveforms: Sequence[object]) -> list[NDArray[np.float32]]:
    """Return C-contiguous clips (n_samples_i,); TypeError or AudioError, with the place, for one that is none."""
    clips = [_as_float32(item) for item in waveforms]
    for i, clip in enumerate(clips):
        if clip.ndim != 1:
            raise AudioError(f"expected waveforms of shape (n_samples,), got {clip.shape} at {i}; reshape it")
    return clips


def check_out(out: object, config: FrontendConfig, clip: NDArray[np.float32]) -> None:
    """Raise a TypeError for an array that cannot take the log-mel of a clip or batch."""
    shape = (*clip.shape[:-1], config.n_frames(clip.shape[-1]), config.n_mels)
    if not isinstance(out, np.ndarray):
        kind = type(out).__name__
    elif out.dtype == np.float32 and out.shape == shape and out.flags.c_contiguous and out.flags.writeable:
        return
    else:
        kind = f"{out.dtype} {out.shape}"
    raise TypeError(
        f"expected out as a writeable C-contiguous float32 array of shape {shape}, got {kind}; "
        f"pass np.empty({shape}, np.float32)"
    )


def why_not_finite(clip: NDArray[np.float32]) -> str:
    """Say what is wrong with a clip that the kernels refused: the first bad sample, or a peak too large to square."""
    bad = np.flatnonzero(~np.isfinite(clip))
    if bad.size:
        return f"expected finite samples, got {clip[bad[0]]} at sample {bad[0]}; clean or cut the recording there"
    peak = float(np.abs(clip).max())
    return f"expected samples whose square fits float32, got a peak of {peak:g}; scale the waveform to [-1, 1]"

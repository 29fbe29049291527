"""Several front ends over one waveform: what they have in common is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from engine import _kernels
from engine.errors import AudioError, ConfigError
from engine.frontend.log_mel import (
    as_clips,
    as_waveform,
    check_out,
    compiled_plan,
    warn_of_empty_filters,
    why_not_finite,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from engine.frontend.config import FrontendConfig


class LogMelBank:
    """The log-mel frames of several configurations over one waveform, as of a ``LogMel`` each, bit for bit.

    For several models over one recording, or features of several resolutions. What configurations share:

    - The spectrum, where they cut the same windows and agree on ``n_fft``, ``spectrum``, DC removal and pre-emphasis:
      only filters, logarithm and normalisation differ. Two then take two thirds of the time of two ``LogMel``, three
      half of the time of three.
    - The layout of the waveform, where they agree on ``hop_length``, on what lies beyond the waveform's ends and on the
      settings for the whole input. That saves 5 to 10 percent.

    Others are computed apart, in the same call.

    Parameters
    ----------
    configs : sequence of FrontendConfig
        At least one, all of one sample rate.
    threads : int
        Upper bound on the threads of one call; results do not depend on it.

    Raises
    ------
    ConfigError
        When there is no configuration, or they have different sample rates.

    Warns
    -----
    UserWarning
        As ``LogMel``, for empty mel filters.

    Examples
    --------
    >>> import numpy as np
    >>> from engine import FrontendConfig, LogMelBank
    >>> coarse = FrontendConfig(16000, win_length=400, hop_length=160, n_fft=512, n_mels=40)
    >>> fine = FrontendConfig(16000, win_length=400, hop_length=160, n_fft=512, n_mels=64, log="dB")
    >>> [frames.shape for frames in LogMelBank([coarse, fine])(np.zeros(16000, np.float32))]
    [(101, 40), (101, 64)]
    """

    def __init__(self, configs: Sequence[FrontendConfig], threads: int = 1) -> None:
        self.configs = tuple(configs)
        rates = sorted({config.sample_rate for config in self.configs})
        if not rates:
            raise ConfigError("expected at least one configuration, got none; pass LogMelBank([config, ...])")
        if len(rates) > 1:
            raise ConfigError(
                f"expected configurations of one sample rate, got {', '.join(f'{rate} Hz' for rate in rates)}; "
                "make a bank for each rate"
            )
        if threads < 1:
            raise ConfigError(f"expected at least 1 thread, got {threads}; pass threads=1 or more")
        self.threads = threads
        plans = [compiled_plan(config) for config in self.configs]
        for plan, config in zip(plans, self.configs, strict=True):
            warn_of_empty_filters(plan, config)
        self._bank = _kernels.LogMelBank(plans)

    def __repr__(self) -> str:
        """Return how many configurations there are, and their rate."""
        return f"LogMelBank({len(self.configs)} configurations, {self.configs[0].sample_rate} Hz)"

    def __reduce__(self) -> tuple[type[LogMelBank], tuple[tuple[FrontendConfig, ...], int]]:
        """Pickle as the configurations; the plans are made again."""
        return LogMelBank, (self.configs, self.threads)

    @overload
    def __call__(
        self, waveform: NDArray[np.float32], out: Sequence[NDArray[np.float32]] | None = None
    ) -> list[NDArray[np.float32]]: ...
    @overload
    def __call__(
        self, waveform: Sequence[NDArray[np.float32]], out: None = None
    ) -> list[list[NDArray[np.float32]]]: ...
    def __call__(
        self,
        waveform: NDArray[np.float32] | Sequence[NDArray[np.float32]],
        out: Sequence[NDArray[np.float32]] | None = None,
    ) -> list[NDArray[np.float32]] | list[list[NDArray[np.float32]]]:
        """Compute every configuration's log-mel spectrogram.

        Parameters
        ----------
        waveform : ndarray of float32, shape (n_samples,) or (batch, n_samples), or a list of arrays (n_samples_i,)
            At the configurations' sample rate, read in place as by ``LogMel``.
        out : sequence of ndarray of float32, optional
            Where to write the results, one array per configuration; C-contiguous and of the result's shape. Not for
            lists.

        Returns
        -------
        list of ndarray of float32, shape (n_frames, n_mels) or (batch, n_frames, n_mels); or a list of lists of such
            What ``LogMel(config)(waveform)`` gives, in the order of the configurations. The arrays are new, or those of
            ``out``.

        Raises
        ------
        TypeError, AudioError
            As ``LogMel``.
        """
        if not isinstance(waveform, list | tuple):
            clip = as_waveform(waveform)
            if out is not None:
                if not isinstance(out, list | tuple) or len(out) != len(self.configs):
                    kind = f"{len(out)}" if isinstance(out, list | tuple) else type(out).__name__
                    raise TypeError(f"expected out as a list of {len(self.configs)} arrays, got {kind}; pass one each")
                for array, config in zip(out, self.configs, strict=True):
                    check_out(array, config, clip)
            values, bad = self._bank.log_mel(clip, out, self.threads)
            if bad >= 0:
                raise AudioError(why_not_finite(clip[bad] if clip.ndim == 2 else clip))
            return values
        if out is not None:
            raise TypeError("expected out=None for a list of waveforms, got arrays; pass one array or drop out")
        clips = as_clips(waveform)
        results, bad = self._bank.log_mel_many(clips, self.threads)
        if bad >= 0:
            raise AudioError(f"waveform {bad}: {why_not_finite(clips[bad])}")
        return results

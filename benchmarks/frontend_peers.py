"""Log-mel by other libraries, each as fast as it goes: plans, banks and buffers are made before the clock starts."""

from __future__ import annotations

import importlib
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.frontend import LogMel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from engine.frontend import FrontendConfig

    Clips = NDArray[np.float32]
    # Clips (batch, n_samples) -> one (n_frames, n_mels) per clip, by calling the returned function.
    Maker = Callable[[FrontendConfig, Clips, int], Callable[[], Sequence[Any]] | None]

PACKAGES = [
    "sound-engine",
    "numpy",
    "mkl-fft",
    "mkl",
    "scipy",
    "librosa",
    "torch",
    "torchaudio",
    "kaldi-native-fbank",
    "transformers",
]


def is_kaldi(config: FrontendConfig) -> bool:
    """Return whether the configuration is Kaldi's kind of filter bank."""
    return config.mel_scale == "kaldi"


def computes_the_same(peer: str, config: FrontendConfig) -> bool:
    """Return whether a peer's values are meant to equal ours, and not only to cost as much."""
    if peer == "kaldi-native-fbank":
        return is_kaldi(config)
    # It centres an odd window one sample further on.
    return peer != "transformers audio_utils" or config.win_length % 2 == 0


class Assembled:
    """A real FFT over windowed frames and one matrix product, float32 and in place: what a careful user would write.

    Frames are taken in chunks that stay in the second-level cache: a whole clip at once takes several times as long
    where n_fft is 2048.
    """

    CHUNK_BYTES = 1 << 19

    def __init__(self, config: FrontendConfig, rfft: Callable[[NDArray[np.float32]], NDArray[np.complex64]]) -> None:
        self.config, self.rfft = config, rfft
        self.bank = np.ascontiguousarray(LogMel(config).filters().T)
        self.kaldi = is_kaldi(config)
        window = np.hanning(config.win_length + (not self.kaldi))[: config.win_length]
        self.window = (window**0.85 if self.kaldi else window).astype(np.float32)
        self.at = 0 if self.kaldi else (config.n_fft - config.win_length) // 2
        self.frames = np.zeros((self.CHUNK_BYTES // (4 * config.n_fft), config.n_fft), np.float32)

    def __call__(self, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-mel of one clip (n_samples,), shape (n_frames, n_mels)."""
        c = self.config
        signal = clip if self.kaldi else np.pad(clip, c.n_fft // 2, mode="reflect")[self.at :]
        pieces = np.lib.stride_tricks.sliding_window_view(signal, c.win_length)[:: c.hop_length][
            : c.n_frames(len(clip))
        ]
        mel = np.empty((len(pieces), c.n_mels), np.float32)
        for start in range(0, len(pieces), len(self.frames)):
            chunk = pieces[start : start + len(self.frames)]
            frames = self.frames[: len(chunk)]
            self.cut(chunk, frames[:, self.at : self.at + c.win_length])
            spectrum = self.rfft(frames)
            power = np.square(spectrum.real)
            power += np.square(spectrum.imag)
            np.matmul(power, self.bank, out=mel[start : start + len(chunk)])
        np.maximum(mel, np.float32(c.log_floor), out=mel)
        return np.log(mel, out=mel)

    def cut(self, pieces: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the windowed pieces, after Kaldi's filters where the configuration has them."""
        if not self.kaldi:
            np.multiply(pieces, self.window, out=out)
            return
        factor = np.float32(self.config.preemphasis)
        centred = pieces - pieces.mean(axis=1, keepdims=True)
        np.multiply(centred[:, :-1], -factor, out=out[:, 1:])
        np.multiply(centred[:, 0], -factor, out=out[:, 0])
        out += centred
        out *= self.window


def one_after_another(
    make: Callable[[], Callable[[Any], Any]], clips: Sequence[Any], threads: int
) -> Callable[[], Any]:
    """Return the loop over clips: on one thread, or a thread per share of the clips, each with buffers of its own."""
    if threads == 1:
        work = make()
        return lambda: [work(clip) for clip in clips]
    workers = [make() for _ in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def share(t: int) -> list[Any]:
        return [workers[t](clip) for clip in clips[t::threads]]

    def run() -> list[Any]:
        shares = list(pool.map(share, range(threads)))
        return [shares[i % threads][i // threads] for i in range(len(clips))]

    return run


def engine(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any]:
    """Ours, into an array that is used again."""
    front_end = LogMel(config, threads)
    out = np.empty((len(clips), config.n_frames(clips.shape[1]), config.n_mels), np.float32)
    return lambda: front_end(clips, out=out)


def mkl_fft(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any]:
    """Put MKL's transform under the assembled front end."""
    module = importlib.import_module("mkl_fft")
    return one_after_another(lambda: Assembled(config, module.rfft), list(clips), min(threads, len(clips)))


def scipy_fft(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any]:
    """Put pocketfft under the assembled front end."""
    module = importlib.import_module("scipy.fft")
    return one_after_another(lambda: Assembled(config, module.rfft), list(clips), min(threads, len(clips)))


def librosa(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any] | None:
    """feature.melspectrogram; it has no Kaldi front end."""
    module = importlib.import_module("librosa")
    if is_kaldi(config):
        return None

    def work(clip: NDArray[np.float32]) -> Any:
        mel = module.feature.melspectrogram(
            y=clip, sr=config.sample_rate, n_fft=config.n_fft, hop_length=config.hop_length,
            win_length=config.win_length, n_mels=config.n_mels, htk=True, norm=None, pad_mode="reflect",
        )  # fmt: skip
        return np.log(np.maximum(mel, config.log_floor)).T

    return one_after_another(lambda: work, list(clips), min(threads, len(clips)))


def _torchaudio_clip(config: FrontendConfig, threads: int) -> Callable[[Any], Any]:
    torch, module = importlib.import_module("torch"), import_torchaudio()
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    if is_kaldi(config):
        fbank = importlib.import_module("torchaudio.compliance.kaldi").fbank
        return lambda clip: fbank(
            clip[None],
            num_mel_bins=config.n_mels,
            dither=0.0,
            sample_frequency=config.sample_rate,
            low_freq=config.f_min,
        )
    transform = module.transforms.MelSpectrogram(
        config.sample_rate, config.n_fft, config.win_length, config.hop_length, n_mels=config.n_mels
    )
    return lambda clips: torch.log(torch.clamp(transform(clips), min=config.log_floor)).transpose(-1, -2)


def torchaudio(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any]:
    """MelSpectrogram or compliance.kaldi.fbank on one clip after another, threads inside."""
    work = _torchaudio_clip(config, threads)
    tensors = list(importlib.import_module("torch").from_numpy(clips))
    return lambda: [work(clip) for clip in tensors]


def torchaudio_batch(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any] | None:
    """One tensor for all clips; its Kaldi front end takes one clip only."""
    work = _torchaudio_clip(config, threads)
    if is_kaldi(config) or len(clips) == 1:
        return None
    batch = importlib.import_module("torch").from_numpy(clips)
    return lambda: work(batch)


def kaldi_native_fbank(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any]:
    """OnlineFbank from lists of floats, as it takes them.

    It knows Kaldi's kind only: for the other configurations it computes as many frames and bands of the same sizes.
    """
    module = importlib.import_module("kaldi_native_fbank")
    options = module.FbankOptions()
    options.frame_opts.samp_freq = config.sample_rate
    options.frame_opts.frame_length_ms = (config.win_length + 0.5) * 1000 / config.sample_rate
    options.frame_opts.frame_shift_ms = (config.hop_length + 0.5) * 1000 / config.sample_rate
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = config.n_mels

    def work(samples: list[float]) -> NDArray[np.float32]:
        fbank = module.OnlineFbank(options)
        fbank.accept_waveform(config.sample_rate, samples)
        fbank.input_finished()
        return np.array([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])

    return one_after_another(lambda: work, clips.tolist(), min(threads, len(clips)))


def transformers(config: FrontendConfig, clips: Clips, threads: int) -> Callable[[], Any]:
    """audio_utils.spectrogram, under the feature extractors of Whisper, AST and others without torch."""
    module = _import_transformers_audio()
    kaldi = is_kaldi(config)
    window = module.window_function(config.win_length, "povey" if kaldi else "hann", periodic=not kaldi)
    bank = np.ascontiguousarray(LogMel(config).filters().T)

    def work(clip: NDArray[np.float32]) -> Any:
        return module.spectrogram(
            clip, window, frame_length=config.win_length, hop_length=config.hop_length, fft_length=config.n_fft,
            power=2.0, center=not kaldi, preemphasis=config.preemphasis or None, remove_dc_offset=config.remove_dc,
            mel_filters=bank, mel_floor=config.log_floor, log_mel="log",
        ).T  # fmt: skip

    return one_after_another(lambda: work, list(clips), min(threads, len(clips)))


PEERS: dict[str, Maker] = {
    "mkl_fft + matmul": mkl_fft,
    "scipy.fft + matmul": scipy_fft,
    "librosa": librosa,
    "torchaudio, clip by clip": torchaudio,
    "torchaudio, one batch": torchaudio_batch,
    "kaldi-native-fbank": kaldi_native_fbank,
    "transformers audio_utils": transformers,
}


def import_torchaudio() -> Any:
    """Import torchaudio; beside a torch for the CPU without its compiled part, which its front ends do not use."""
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension: Any = types.ModuleType("torchaudio._extension")
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = False  # noqa: SLF001  (what torchaudio itself reads)
        extension.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = extension
        return importlib.import_module("torchaudio")


def _import_transformers_audio() -> Any:
    """Import transformers.audio_utils, which imports torchaudio where it finds one."""
    try:
        import_torchaudio()
    except ImportError:
        return importlib.import_module("transformers.audio_utils")
    return importlib.import_module("transformers.audio_utils")

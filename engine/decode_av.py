"""Encoded audio that libsndfile cannot read - M4A, MP4, AAC, WebM, WMA - to blocks of samples, through PyAV (FFmpeg).

FFmpeg knows formats that name other files and addresses to read (playlists, for one). Here it gets bytes and the name
of the one format that they begin like; it may open nothing, and it runs no decoder that is not listed below.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from engine.byte_stream import ByteStream
from engine.errors import AudioError
from engine.mp4 import check_sample_counts
from engine.samples import as_float32

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Samples, all channels together, after which a block is complete: 1 MiB of float32. The last frame may go beyond.
MAX_BLOCK_SAMPLES = 1 << 18
# Samples of each channel that one frame may have, whatever its header announces.
_MAX_FRAME_SAMPLES = 1 << 20
# Bytes that FFmpeg may read to learn the parameters of the streams.
_PROBE_BYTES = 1 << 20
_CODECS = (
    *("aac", "aac_latm", "alac", "amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "wavpack"),
    *("opus", "libopus", "vorbis", "flac", "mp2float", "mp2", "mp3float", "mp3", "ac3", "eac3"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms"),
    *(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")),
    *("pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw"),
)


class AvDecoder:
    """One recording in a container of FFmpeg, read once from start to end in blocks of bounded size.

    The first audio stream is taken; video and every other stream are passed over. Samples that an encoder puts in
    front are left out where the file says how many (MP4, Matroska, WebM; a bare AAC stream does not, and begins 1024
    samples early). What AAC adds to fill its last frame, up to 1023 samples, may stay.

    Parameters
    ----------
    source : str or ByteStream
        A path to an existing file, or the bytes of a file.
    label : str
        How messages call the source.
    container : str
        What the file is, for messages.
    demuxer : str
        FFmpeg's name of the one format to read it as.

    Attributes
    ----------
    name : str or None
        The path; None for bytes.
    sample_rate : int
        In Hz, of the first decoded frame.
    channels : int

    Raises
    ------
    AudioError
        When PyAV is not installed, or the source cannot be opened, has no audio stream, or none with a known coding.
    """

    def __init__(self, source: str | ByteStream, label: str, container: str, demuxer: str) -> None:
        try:
            import av
        except ImportError:
            remedy = "run pip install 'sound-engine[av]' or convert it to WAV or FLAC"
            raise AudioError(f"expected audio that libsndfile can read, got {label}: {container}; {remedy}") from None
        self._errors = (av.FFmpegError, OSError, ValueError, MemoryError)
        self.name = source if isinstance(source, str) else None
        self.label = label
        self._file = Path(source).open("rb") if isinstance(source, str) else None  # noqa: SIM115 - close() closes it
        self._stream = ByteStream(self._file) if isinstance(source, str) else source
        self._container: Any = None
        self._frames: Iterator[Any] = iter(())
        self._position = 0
        self.sample_rate = self.channels = 0
        try:
            if demuxer == "mov":
                check_sample_counts(self._stream, label)
            self._stream.seek(0)
            try:
                self._container = _open(av, self._stream, demuxer)
            except self._errors as error:
                self._stream.raise_kept_error()
                reason = f"{container} that cannot be opened: FFmpeg reports: {_reason(error)}"
                raise AudioError(f"expected intact audio, got {label}: {reason}; replace the file") from None
            audio = self._audio_stream(container)
            frames = self._decoded(audio)
            # Only a decoded frame tells: the rate in the header of HE-AAC may be half of what the decoder gives.
            first = next(frames, None)
            self._frames = iter(()) if first is None else chain((first,), frames)
            parameters = audio.codec_context if first is None else first
            self.sample_rate = parameters.sample_rate
            self.channels = parameters.layout.nb_channels
        except BaseException:
            self.close()
            raise

    def read(self) -> NDArray[np.float32]:
        """Return the next samples, shape (k, channels), full scale at 1; k is 0 at the end and only there.

        Raises
        ------
        AudioError
            Where the data is damaged, or the rate or the number of channels changes.
        """
        parts: list[NDArray[np.float32]] = []
        missing = MAX_BLOCK_SAMPLES
        for frame in self._frames:
            samples = self._samples(frame)
            parts.append(samples)
            self._position += samples.shape[1]
            missing -= samples.size
            if missing <= 0:
                break
        return np.concatenate(parts, axis=1).T if parts else np.empty((0, self.channels), np.float32)

    def close(self) -> None:
        """Release FFmpeg's handles; a file object that was given stays open."""
        self._frames = iter(())
        if self._container is not None:
            self._container.close()
        if self._file is not None:
            self._file.close()

    def _audio_stream(self, container: str) -> Any:
        streams = self._container.streams
        if not streams.audio:
            held = ", ".join(sorted({stream.type for stream in streams})) or "no streams"
            raise AudioError(
                f"expected an audio stream, got {self.label}: {container} with {held}; choose another file"
            )
        audio = streams.audio[0]
        codec = audio.codec_context
        if codec is None or codec.name not in _CODECS:
            coding = "unknown" if codec is None else codec.name
            raise AudioError(
                f"expected a coding such as AAC, ALAC or Opus, got {self.label}: {container} with the coding "
                f"{coding!r}; convert it to WAV or FLAC"
            )
        codec.thread_count = 1
        codec.options = {"max_samples": str(_MAX_FRAME_SAMPLES)}
        return audio

    def _decoded(self, audio: Any) -> Iterator[Any]:
        """Give the frames of the stream, in order."""
        try:
            for packet in self._container.demux(audio):
                if packet.is_corrupt:
                    self._refuse_damage("a packet is cut short")
                for frame in packet.decode():
                    if frame.is_corrupt:
                        self._refuse_damage("a frame is corrupt")
                    if frame.samples:
                        yield frame
        except self._errors as error:
            self._stream.raise_kept_error()
            self._refuse_damage(f"FFmpeg reports: {_reason(error)}")
        self._stream.raise_kept_error()

    def _elapsed_s(self) -> float:
        return self._position / max(1, self.sample_rate)

    def _refuse_damage(self, reason: str) -> NoReturn:
        place = f"damaged at {self._elapsed_s():.3f} s"
        raise AudioError(f"expected intact audio, got {self.label}, {place}: {reason}; replace the file")

    def _samples(self, frame: Any) -> NDArray[np.float32]:
        """Return the samples of a frame, shape (channels, n_samples)."""
        if (frame.sample_rate, frame.layout.nb_channels) != (self.sample_rate, self.channels):
            before = f"{self.sample_rate} Hz with {self.channels} channels"
            after = f"{frame.sample_rate} Hz with {frame.layout.nb_channels} from {self._elapsed_s():.3f} s"
            raise AudioError(
                f"expected one rate and number of channels, got {self.label}: {before}, then {after}; split the file"
            )
        samples = frame.to_ndarray()
        if not frame.format.is_planar:
            samples = samples.reshape(-1, self.channels).T
        return samples if samples.dtype == np.float32 else as_float32(samples)


def _open(av: Any, stream: ByteStream, demuxer: str) -> Any:
    options = {
        "format_whitelist": demuxer,
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(_CODECS),
        "probesize": str(_PROBE_BYTES),
    }
    # Titles and comments need not be Unicode; PyAV 19 knows that by itself and has no such argument.
    lenient = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
    return av.open(stream, "r", format=demuxer, container_options=options, io_open=_open_nothing, **lenient)


def _open_nothing(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"the file asks for {url!r}, and a recording may not open another file")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")

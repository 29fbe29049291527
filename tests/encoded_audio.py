"""Audio encoded for the tests, and what a decoder makes of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from engine.decode import open_decoder
from engine.errors import AudioError

RATE = 8000
AAC_FRAME = 1024
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
SAMPLE_FORMATS = {"uint8": "u8", "int16": "s16", "int32": "s32", "float32": "flt", "float64": "dbl"}


def noise(n_samples, channels=1):
    return (np.random.default_rng(5).uniform(-1, 1, (n_samples, channels))).astype(np.float32)


def encoded(samples, container="WAV", subtype="PCM_16", rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def drained(source):
    decoder = open_decoder(source)
    blocks = []
    while len(block := decoder.read()):
        blocks.append(block)
    decoder.close()
    return np.concatenate([*blocks, np.empty((0, decoder.channels), np.float32)])


def refusal(source):
    with pytest.raises(AudioError) as caught:
        drained(source)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert "\n" not in message
    return message


class Failing(io.BytesIO):
    """A file object whose reads raise ``error`` once ``good_reads`` of them have passed."""

    def __init__(self, data, error, good_reads=10**9):
        super().__init__(data)
        self.error = error
        self.good_reads = good_reads

    def read(self, count=-1):
        self.good_reads -= 1
        if self.good_reads < 0:
            raise self.error
        return super().read(count)


def av_encoded(samples, container, codec, rate=48_000, layout="mono", *, more=(), options=None, video=False, title=""):
    """Encode samples, shape (n_samples, channels), of the type that the codec takes, with PyAV.

    ``more`` is further audio streams; ``video`` puts a second of black in front of them; samples may be None.
    """
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        output.metadata["title"] = title
        video_stream = output.add_stream("mpeg4", rate=25) if video else None
        recordings = [part for part in (samples, *more) if part is not None]
        audio_streams = [output.add_stream(codec, rate=rate, layout=layout) for _ in recordings]
        for stream, part in zip(audio_streams, recordings, strict=True):
            stream.bit_rate = 64_000 * part.shape[1]
            kind = SAMPLE_FORMATS[part.dtype.name]
            stream.format = next(known.name for known in stream.codec.audio_formats if known.name in (kind, kind + "p"))
        if video_stream:
            video_stream.width = video_stream.height = 64
            video_stream.pix_fmt = "yuv420p"
            black = [av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24") for _ in range(25)]
            for frame in [*black, None]:
                output.mux(video_stream.encode(frame))
        for stream, part in zip(audio_streams, recordings, strict=True):
            planes = np.ascontiguousarray(part.T if stream.format.is_planar else part.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(planes, format=stream.format.name, layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            output.mux(stream.encode(frame) + stream.encode(None))
    return file.getvalue()


def sine(n_samples, rate, channels=1):
    """Sweeps, a tone of its own in each channel; their start shows in a correlation as one peak."""
    time_s = np.arange(n_samples)[:, None] / rate
    tone = np.arange(1, channels + 1) * rate / 50
    return (0.3 * np.sin(2 * np.pi * (tone * time_s + rate / 20 * time_s**2))).astype(np.float32)


def aac(n_samples=5000, rate=48_000, channels=1, container="mp4", **options):
    return av_encoded(sine(n_samples, rate, channels), container, "aac", rate, LAYOUTS[channels], **options)

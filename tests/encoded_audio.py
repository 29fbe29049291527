"""Audio encoded for the tests, and what a decoder makes of it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from engine.decode import open_decoder
from engine.errors import AudioError

RATE = 8000


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

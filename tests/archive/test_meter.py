"""What is measured of a recording, against one computation over all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.archive.meter import Meter

LEVELS = st.sampled_from([0.0, 5e-5, -9.99e-5, 1e-4, -0.3, 0.99997, -1.0, 1.5, 32767 / 32768, -32768 / 32768])


class Blocks:
    name, label, sample_rate = "a.wav", "'a.wav'", 8000

    def __init__(self, samples, sizes):
        self.channels = samples.shape[1]
        self.closed = False
        self._blocks = [*np.split(samples, sizes), samples[:0]]

    def read(self):
        while len(self._blocks) > 1 and not len(self._blocks[0]):
            self._blocks.pop(0)
        return self._blocks.pop(0)

    def close(self):
        self.closed = True


@given(
    samples=hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.integers(1, 3)), elements=LEVELS.map(np.float32)),
    cuts=st.lists(st.integers(0, 40), max_size=4),
)
def test_blocks_are_measured_as_the_whole(samples, cuts):
    recording = Blocks(samples, sorted(min(cut, len(samples)) for cut in cuts))
    meter = Meter(recording)
    read = []
    while len(block := meter.read()):
        read.append(block)
    level = np.abs(samples.astype(np.float64))
    assert np.array_equal(np.concatenate([samples[:0], *read]), samples)
    assert meter.n_frames == len(samples)
    assert meter.peak == pytest.approx(level.max(initial=0))
    assert meter.clipped == sum(value >= 32767 / 32768 for value in level.ravel())
    assert meter.silent == sum(value < np.float32(1e-4) for value in level.ravel())


def test_it_looks_like_the_recording_and_closes_it():
    recording = Blocks(np.zeros((4, 2), np.float32), [])
    meter = Meter(recording)
    assert (meter.name, meter.label, meter.sample_rate, meter.channels) == ("a.wav", "'a.wav'", 8000, 2)
    meter.close()
    assert recording.closed

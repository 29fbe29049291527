"""What is measured of a recording, against one computation over all of it."""

from __future__ import annotations

import os
import subprocess
import sys

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


def test_what_is_not_a_number_is_neither_loud_nor_silent():
    samples = np.array([[np.nan], [0.5], [-np.nan], [np.inf], [0.0]], np.float32)
    meter = Meter(Blocks(samples, []))
    meter.read()
    assert (meter.n_frames, meter.peak, meter.clipped, meter.silent) == (5, np.inf, 1, 1)


@pytest.mark.parametrize("n", [2, 15, 16, 17, 5000])
def test_every_place_in_a_block_counts(n):
    for place in range(0, n, max(1, n // 50)):
        samples = np.full((n, 1), 0.5, np.float32)
        samples[place] = -1
        meter = Meter(Blocks(samples, []))
        meter.read()
        assert (meter.peak, meter.clipped, meter.silent) == (1, 1, 0)
        samples[place] = -1e-5
        meter = Meter(Blocks(samples, []))
        meter.read()
        assert (meter.peak, meter.clipped, meter.silent) == (0.5, 0, 1)


COUNTED = """
import numpy as np
from engine import _kernels
print(_kernels.isa())
rng = np.random.default_rng(0)
for n in (0, 1, 3, 4, 7, 8, 16, 31, 1000):
    levels = np.float32([0, 5e-5, 1e-4, -1e-4, 0.5, -32767 / 32768, 1, np.nan, -np.inf])
    print(_kernels.levels(rng.choice(levels, n), 32767 / 32768, 1e-4))
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_counts_alike(isa):
    native, forced = (
        subprocess.run([sys.executable, "-c", COUNTED], env=env, capture_output=True, text=True, check=False)
        for env in (os.environ, os.environ | {"ENGINE_ISA": isa})
    )
    if "expected the environment variable ENGINE_ISA" in forced.stderr:
        pytest.skip(f"this processor has no {isa}")
    assert forced.returncode == native.returncode == 0
    assert forced.stdout.splitlines()[0] == isa
    assert forced.stdout.splitlines()[1:] == native.stdout.splitlines()[1:]

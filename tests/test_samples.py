"""Arrays as audio: which numbers and shapes are taken, and how they are scaled."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import AudioError
from engine.samples import BLOCK_SAMPLES, ArraySamples


def drained(array):
    samples = ArraySamples(array, 8000)
    blocks = [np.empty((0, samples.channels), np.float32)]
    while len(block := samples.read()):
        blocks.append(block)
    return np.concatenate(blocks)


@pytest.mark.parametrize(
    ("dtype", "given", "taken"),
    [
        ("int8", [-128, 0, 127], [-1, 0, 127 / 128]),
        ("uint8", [0, 128, 255], [-1, 0, 127 / 128]),
        ("int16", [-32768, 0, 32767], [-1, 0, 32767 / 32768]),
        ("uint16", [0, 32768, 65535], [-1, 0, 32767 / 32768]),
        ("int32", [-(2**31), 0, 2**30], [-1, 0, 0.5]),
        ("uint32", [0, 2**31, 3 * 2**30], [-1, 0, 0.5]),
        (">i2", [-32768, 1, 32767], [-1, 2**-15, 32767 / 32768]),
        ("float16", [-1, 0.25, 3], [-1, 0.25, 3]),
        ("float32", [-1, 0.1, 3], [-1, np.float32(0.1), 3]),
        ("float64", [-1, 0.1, 3], [-1, np.float32(0.1), 3]),
    ],
)
def test_numbers_are_brought_to_float32_at_full_scale_one(dtype, given, taken):
    samples = drained(np.array(given, dtype))
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples[:, 0], np.array(taken, np.float32))


def test_lists_of_floats_and_lists_of_frames():
    np.testing.assert_array_equal(drained([0.5, -0.5]), [[0.5], [-0.5]])
    np.testing.assert_array_equal(drained([[0.5, 0.25], [1.0, 0.0]]), [[0.5, 0.25], [1, 0]])


@pytest.mark.parametrize("n_samples", [0, 1, BLOCK_SAMPLES - 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 1, 2 * BLOCK_SAMPLES])
def test_blocks_join_to_the_array(n_samples):
    array = np.arange(n_samples, dtype=np.float32)
    np.testing.assert_array_equal(drained(array), array[:, None])


def test_blocks_are_bounded_and_leave_the_array_alone():
    array = np.zeros((BLOCK_SAMPLES, 3), np.float32)
    block = ArraySamples(array, 8000).read()
    assert block.shape == (BLOCK_SAMPLES // 3, 3)
    block += 1
    assert not array.any()


@pytest.mark.parametrize("shape", [(10,), (10, 1)])
def test_a_waveform_that_needs_no_conversion_comes_whole_as_a_view_that_cannot_be_written(shape):
    array = np.arange(10, dtype=np.float32).reshape(shape)
    samples = ArraySamples(array, 8000)
    block = samples.read()
    assert np.shares_memory(block, array)
    with pytest.raises(ValueError, match="read-only"):
        block += 1
    assert array.flags.writeable
    assert len(samples.read()) == 0


def test_arrays_that_need_a_conversion_are_copied():
    frames = np.zeros((10, 2), np.float32)
    for array in (frames, frames[:, :1], frames[::2, 0], frames[:, 0].astype(">f4"), np.zeros(10, np.float64)):
        block = ArraySamples(array, 8000).read()
        assert not np.shares_memory(block, array)
        assert block.flags.writeable


def test_strided_reversed_and_read_only_arrays():
    array = np.arange(12, dtype=np.float32)
    array.flags.writeable = False
    np.testing.assert_array_equal(drained(array[::-2])[:, 0], array[::-2])


@pytest.mark.parametrize("dtype", ["bool", "complex64", "object", "int64", "uint64", "U3", "datetime64[s]"])
def test_other_numbers_are_refused(dtype):
    with pytest.raises(AudioError, match="dtype"):
        ArraySamples(np.zeros(10, dtype), 8000)


def test_a_list_of_whole_numbers_is_refused_because_its_full_scale_is_unknown():
    with pytest.raises(AudioError, match=r"int64; convert it, for instance with samples.astype\('int16'\)"):
        ArraySamples([100, -200, 300], 8000)


@pytest.mark.parametrize("shape", [(), (2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(AudioError, match="shape"):
        ArraySamples(np.zeros(shape, np.float32), 8000)


def test_channels_first_is_refused_only_where_it_is_certain():
    for shape in [(1, 65), (2, 8000), (64, 65)]:
        with pytest.raises(AudioError, match="transpose"):
            ArraySamples(np.zeros(shape, np.float32), 8000)
    for shape in [(2, 64), (1, 2), (65, 65), (8000, 2)]:
        assert ArraySamples(np.zeros(shape, np.float32), 8000).channels == shape[1]


def test_ragged_lists_are_refused():
    with pytest.raises(AudioError, match="list"):
        ArraySamples([[0.5, 0.5], [0.5]], 8000)

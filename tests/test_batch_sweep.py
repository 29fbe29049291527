"""The size of batches: found on devices that are made up, with a clock that they move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.batch_sweep import LARGEST_BATCH, LARGEST_BYTES, REPEATS, SMALLEST_GAIN, sweep_batches
from engine.errors import DeviceError, DeviceMemoryError


class Device:
    """Takes ``seconds(size)`` for a batch; its clock stands still between runs.

    Parameters
    ----------
    seconds : callable
    memory : int or None
        Windows that there is memory for.
    """

    def __init__(self, seconds, memory=None):
        self.seconds = seconds
        self.memory = memory
        self.now = 0.0
        self.ran = []

    def run(self, size):
        self.ran.append(size)
        if self.memory is not None and size > self.memory:
            raise DeviceMemoryError("expected the network to run, it is full; lower batch_size")
        self.now += self.seconds(size)

    def sweep(self, window_bytes=1000):
        return sweep_batches(self.run, (10, 25), window_bytes, lambda: self.now)


def parallel(width):
    """A device that takes up to ``width`` windows in the time of one."""
    return Device(lambda size: 0.001 * -(-size // width))


@pytest.mark.parametrize("width", [1, 2, 8, 64])
def test_the_size_that_fills_the_device_is_found(width):
    device = parallel(width)
    found = device.sweep()
    assert (found.size, found.ended, found.shape) == (width, "no faster", (10, 25))
    # Two sizes beyond show that there is nothing to gain.
    assert [trial.size for trial in found.trials] == [1 << i for i in range((4 * width).bit_length())]
    for trial in found.trials:
        assert trial.windows_per_s == pytest.approx(min(trial.size, width) / 0.001)


def test_a_pause_in_growth_is_not_the_end():
    device = Device({1: 1.0, 2: 2.0, 4: 1.0, 8: 2.0, 16: 4.0}.get)
    assert (device.sweep().size, max(device.ran)) == (4, 16)


def test_what_is_hardly_faster_is_not_worth_its_size():
    device = Device(lambda size: 1.0 if size == 1 else size / 1.04)
    assert device.sweep().size == 1


@pytest.mark.parametrize(("memory", "size"), [(1, 1), (5, 4), (64, 64)])
def test_memory_that_is_short_ends_it(memory, size):
    device = Device(lambda size: 0.001, memory)
    found = device.sweep()
    assert (found.size, found.ended) == (size, "memory is short")
    assert device.ran[-1] == 2 * size


def test_no_memory_for_one_window_is_an_error():
    with pytest.raises(DeviceMemoryError, match="it is full"):
        Device(lambda size: 0.001, memory=0).sweep()


def test_other_errors_come_through():
    def run(size):
        if size == 4:
            raise DeviceError("expected the network to run, it broke; check it")

    with pytest.raises(DeviceError, match="it broke"):
        sweep_batches(run, (1,), 4)


def test_batches_end_somewhere():
    device = Device(lambda size: 0.001)
    assert (device.sweep().size, device.sweep().ended) == (LARGEST_BATCH, "largest")
    # What waits for a batch is held on the host.
    assert Device(lambda size: 0.001).sweep(LARGEST_BYTES // 8).size == 8
    assert Device(lambda size: 0.001).sweep(10 * LARGEST_BYTES).size == 1


def test_the_first_run_of_a_shape_and_slow_ones_do_not_count():
    seen = {}

    def seconds(size):
        seen[size] = seen.get(size, 0) + 1
        # The first run of each shape and the second are slow spells.
        return 5.0 if seen[size] <= 2 else 0.001 * max(size, 4)

    device = Device(seconds)
    assert device.sweep().size == 4
    assert device.ran[:4] == [1] * (1 + REPEATS)


def test_it_says_what_it_found():
    text = str(parallel(2).sweep())
    assert text == "2 at a time (windows per second for 1: 1000, 2: 2000, 4: 2000, 8: 2000; no faster)"
    assert parallel(2).sweep().to_dict()["trials"][1] == {"size": 2, "windows_per_s": pytest.approx(2000)}


@given(st.lists(st.floats(1e-4, 10), min_size=9, max_size=9))
def test_whatever_the_times_the_choice_is_the_smallest_near_the_best(times):
    device = Device(lambda size: times[size.bit_length() - 1])
    found = device.sweep()
    best = max(trial.windows_per_s for trial in found.trials)
    for trial in found.trials:
        good = trial.windows_per_s * SMALLEST_GAIN >= best
        assert (trial.size == found.size) <= good
        assert trial.size >= found.size or not good

"""What may be asked for, and which devices there are."""

from __future__ import annotations

import pytest

import engine.bench.plan as plan_module
from engine.bench.plan import Plan, find_devices
from engine.errors import ConfigError, DeviceError


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"models": ()}, "at least one of models"),
        ({"durations_s": ()}, "at least one of durations_s"),
        ({"batches": (1, 0)}, "whole numbers from 1 as batches"),
        ({"clients": (-1,)}, "whole numbers from 1 as clients"),
        ({"repeats": 0}, "whole numbers from 1 as repeats"),
        ({"cold": -1}, "whole numbers from 0 as cold"),
        ({"durations_s": (0.0,)}, "expected durations_s above 0"),
        ({"durations_s": (float("nan"),)}, "expected durations_s above 0"),
        ({"limit_s": float("inf")}, "expected limit_s above 0"),
    ],
)
def test_numbers_out_of_range(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        Plan(**changes)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(plan_module, "cuda_obstacle", lambda index: None if index < 2 else "there are 2 CUDA devices")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(plan_module, "cuda_obstacle", lambda index: "the driver is missing; install it")


@pytest.mark.usefixtures("two_gpus")
def test_all_is_everything_there_is():
    assert find_devices(["all"]) == (["cpu", "cuda:0", "cuda:1"], [])
    assert find_devices(["cuda:1", "all", "cpu"]) == (["cuda:1", "cpu", "cuda:0"], [])


@pytest.mark.usefixtures("no_gpu")
def test_all_skips_what_is_not_there_with_a_line():
    assert find_devices(["all"]) == (["cpu"], ["cuda: the driver is missing; install it"])


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_device_that_was_named_must_be_there(name):
    with pytest.raises(DeviceError, match="expected cuda:0 to run, but the driver is missing; install it, or leave it"):
        find_devices(["cpu", name])


@pytest.mark.usefixtures("two_gpus")
def test_names_are_brought_to_one_form():
    assert find_devices(["cuda", "cuda:0", "cpu"]) == (["cuda:0", "cpu"], [])


@pytest.mark.parametrize("name", ["auto", "tpu", ""])
def test_other_names(name):
    with pytest.raises(ConfigError, match=r"expected .*device"):
        find_devices([name])

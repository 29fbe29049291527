from __future__ import annotations

import ctypes
import sys
import types

import onnxruntime
import pytest

from engine import devices
from engine.devices import CUDA_PROVIDER, DRIVER_LIBRARY, cuda_obstacle, parse_device
from engine.errors import ConfigError


@pytest.fixture
def machine(monkeypatch):
    """A pretended machine: the driver's number of GPUs (None: no driver) and what preload_dlls prints."""

    def make(gpus, printed="", status=0):
        def driver(name):
            if gpus is None:
                raise OSError(f"{name}: cannot open shared object file")
            assert name == DRIVER_LIBRARY
            return types.SimpleNamespace(cuInit=lambda flags: status, cuDeviceGetCount=count)

        def count(pointer):
            pointer._obj.value = gpus
            return 0

        devices.missing_cuda_libraries.cache_clear()
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA_PROVIDER])
        monkeypatch.setattr(ctypes, "CDLL", driver)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: sys.stdout.write(printed))

    yield make
    devices.missing_cuda_libraries.cache_clear()


@pytest.mark.parametrize(
    ("device", "parsed"),
    [("auto", "auto"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:0", "cuda:0"), ("cuda:12", "cuda:12")],
)
def test_devices_have_one_spelling_each(device, parsed):
    assert parse_device(device) == parsed


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:0 ", "", None, 0])
def test_other_names_are_refused(device):
    with pytest.raises(ConfigError, match="'cuda:N'"):
        parse_device(device)


def test_nothing_is_in_the_way_where_all_is_there(machine, capsys):
    machine(gpus=2)
    assert cuda_obstacle(0) is None
    assert cuda_obstacle(1) is None


def test_index_beyond_the_gpus(machine):
    machine(gpus=2)
    assert "there are 2 CUDA devices" in cuda_obstacle(2)


def test_missing_driver_is_named(machine):
    machine(gpus=None)
    assert DRIVER_LIBRARY in cuda_obstacle(0)


def test_driver_that_fails_tells_its_error(machine):
    machine(gpus=1, status=100)
    assert "error 100" in cuda_obstacle(0)


def test_missing_libraries_are_named_with_the_install_line_and_nothing_is_printed(machine, capfd):
    report = (
        "Failed to load /site-packages/nvidia/lib/libcublas.so.13: bad file\n"
        "Failed to load libcublasLt.so.13: libcublasLt.so.13: cannot open shared object file\n"
        "Failed to load libcurand.so.10: libcurand.so.10: cannot open shared object file\n"
        "Please follow the instructions to install CUDA.\n"
    )
    machine(gpus=1, printed=report)
    obstacle = cuda_obstacle(0)
    assert "libcublasLt.so.13, libcurand.so.10 is missing" in obstacle
    assert "pip install 'sound-engine[cuda]'" in obstacle
    assert capfd.readouterr() == ("", "")


def test_build_without_cuda_is_told(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "no CUDA" in cuda_obstacle(0)

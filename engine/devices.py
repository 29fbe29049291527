"""The names of devices, and what stands between this machine and CUDA.

``onnxruntime.get_available_providers()`` lists what a build contains, not what a machine can run, and a session that
cannot use CUDA runs on the CPU without an exception. So the libraries and the driver are asked before.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import re
import sys

import onnxruntime

from engine.errors import ConfigError

logger = logging.getLogger("engine")

CUDA_PROVIDER = "CUDAExecutionProvider"
INSTALL_CUDA = "pip install 'sound-engine[cuda]'"
DRIVER_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def parse_device(device: str) -> str:
    """Return "auto", "cpu" or "cuda:N" ("cuda" is "cuda:0"); any other name is a ConfigError."""
    if device in ("auto", "cpu"):
        return device
    if match := re.fullmatch(r"cuda(?::(\d{1,3}))?", str(device)):
        return f"cuda:{int(match[1] or 0)}"
    raise ConfigError(f"expected a device among 'auto', 'cpu', 'cuda' and 'cuda:N', got {device!r}; choose one of them")


def cuda_obstacle(index: int) -> str | None:
    """Return why CUDA device ``index`` cannot run here and what to do about it; None where nothing is in the way."""
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return f"this build of onnxruntime has no CUDA; install it with {INSTALL_CUDA} where that is supported"
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return f"{DRIVER_LIBRARY} is missing; install the NVIDIA driver, and the libraries with {INSTALL_CUDA}"
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0:
        return f"the NVIDIA driver answered with error {status}; check that nvidia-smi shows a GPU"
    if index >= count.value:
        return f"there are {count.value} CUDA devices, counted from 0; choose one of them"
    if missing := missing_cuda_libraries():
        return f"{', '.join(missing)} is missing; install the CUDA libraries with {INSTALL_CUDA}"
    return None


@functools.cache
def missing_cuda_libraries() -> tuple[str, ...]:
    """Load the CUDA libraries that onnxruntime needs, and return the names of those that are not there."""
    # preload_dlls reports by printing, and a library must not print.
    with contextlib.redirect_stdout(io.StringIO()) as report:
        onnxruntime.preload_dlls()
    return tuple(re.findall(r"Failed to load ([^\s:/]+):", report.getvalue()))


@functools.cache
def log_once(level: int, message: str) -> None:
    """Log a message about a device, the first time that it is given."""
    logger.log(level, message)

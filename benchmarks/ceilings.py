"""What one thread of this machine can do at most: the yardstick of the distance tables."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_suffix(".cc")


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Return the compiled loops; None without a C++ compiler."""
    compiler = shutil.which("c++")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "ceilings.so"
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
        subprocess.run(command, check=True)
        loaded = ctypes.CDLL(str(library))
        loaded.fma_peak.restype = loaded.read_bandwidth.restype = ctypes.c_double
    return loaded


def measure() -> dict[str, float]:
    """Return the multiply-add peak in GFLOP/s and the read bandwidth in GB/s; nothing without a C++ compiler."""
    library = _library()
    if library is None:
        return {}
    memory = np.ones(1 << 26, np.float32)
    return {
        "gflop_per_s": max(library.fma_peak() for _ in range(5)) / 1e9,
        "gb_per_s": max(memory.nbytes / read_s(memory) for _ in range(5)) / 1e9,
    }


def read_s(values: np.ndarray) -> float:
    """Return the seconds that one thread takes to read float32 values, whose number is a multiple of 64, and add them.

    Raises
    ------
    RuntimeError
        There is no C++ compiler.
    """
    library = _library()
    if library is None:
        raise RuntimeError("expected a C++ compiler to measure the memory with, found none; install g++")
    pointer, size = ctypes.c_void_p(values.ctypes.data), ctypes.c_long(values.size)
    return values.nbytes / library.read_bandwidth(pointer, size)

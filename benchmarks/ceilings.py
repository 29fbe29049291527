"""What one thread of this machine can do at most: the yardstick of the distance tables."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_suffix(".cc")


def measure() -> dict[str, float]:
    """Return the multiply-add peak in GFLOP/s and the read bandwidth in GB/s; nothing without a C++ compiler."""
    compiler = shutil.which("c++")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "ceilings.so"
        command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", str(SOURCE), "-o", str(library)]
        subprocess.run(command, check=True)
        loaded = ctypes.CDLL(str(library))
        loaded.fma_peak.restype = loaded.read_bandwidth.restype = ctypes.c_double
        memory = np.ones(1 << 26, np.float32)
        pointer, size = ctypes.c_void_p(memory.ctypes.data), ctypes.c_long(memory.size)
        return {
            "gflop_per_s": max(loaded.fma_peak() for _ in range(5)) / 1e9,
            "gb_per_s": max(loaded.read_bandwidth(pointer, size) for _ in range(5)) / 1e9,
        }

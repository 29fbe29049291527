"""What timings depend on: the machine, the versions, the instruction set."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import _kernels
from engine.threads import available_cpus

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = ("sound-engine", "numpy", "onnxruntime-gpu", "onnxruntime", "soundfile", "soxr")
INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd", "asimddp")
# What steers onnxruntime, BLAS and the kernels from outside.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "ENGINE_ISA",
)


def machine() -> dict[str, Any]:
    """Return the processor, the CPUs there are and those this process may use, the load, the system and Python."""
    flags = _cpu_info("flags", "Features").split()
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "processor": _cpu_info("model name") or platform.processor() or platform.machine(),
        "instruction_sets": [flag for flag in INSTRUCTION_SETS if flag in flags],
        "cores": os.cpu_count(),
        "cpus": available_cpus(),
        "affinity": affinity,
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "kernels": _kernels.isa(),
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the installed versions by distribution name; "absent" where there is none."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def variables() -> dict[str, str]:
    """Return the environment variables of this process that timings depend on."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def _cpu_info(*fields: str) -> str:
    """Return the first of these fields of /proc/cpuinfo, or nothing."""
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in fields:
                return value.strip()
    return ""

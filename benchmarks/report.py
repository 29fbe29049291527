"""What every benchmark shares: the machine, the settings of its libraries, round-robin timing, tables and files."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

RESULTS = Path(__file__).parent / "results"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Timing:
    """Minimum and median of one candidate's runs, in seconds."""

    minimum_s: float
    median_s: float


def peer_environment(threads: int) -> dict[str, str]:
    """Return the environment in which every peer is at its best with ``threads`` threads.

    The variables are read when the libraries load, so a benchmark sets them for a process of its own. OpenBLAS takes
    its older kernels on processors that it does not know, and on machines that export another OPENBLAS_CORETYPE.
    """
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    if "avx512f" in _cpu_info("flags", "Features").split():
        environment["OPENBLAS_CORETYPE"] = "SkylakeX"
    return environment | dict.fromkeys(THREAD_VARIABLES, str(threads))


def settings() -> dict[str, str]:
    """Return the variables of this process that steer BLAS, FFT and our own kernels."""
    names = (*THREAD_VARIABLES, "OPENBLAS_CORETYPE", "ENGINE_ISA")
    return {name: os.environ[name] for name in names if name in os.environ}


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: processor, usable CPUs, memory, system, Python."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = _cpu_info("flags", "Features").split()
    wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd")
    return {
        "processor": _cpu_info("model name") or platform.processor() or platform.machine(),
        "instruction_sets": [flag for flag in wanted if flag in flags],
        "cpus": cpus,
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed versions by distribution name; "absent" where there is none."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def round_robin(candidates: Mapping[str, Callable[[], float]], rounds: int, limit_s: float) -> dict[str, Timing]:
    """Run the candidates in turn, so that a slow spell of the machine meets them all.

    Each gives the seconds of one run of its own. One warm-up round is thrown away; after ``limit_s`` seconds no further
    round starts, but three always run.
    """
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - start > limit_s:
            break
        for name, run in candidates.items():
            seconds[name].append(run())
    return {name: Timing(min(s), statistics.median(s)) for name, s in seconds.items()}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(name: str, report: Mapping[str, Any], text: str) -> Path:
    """Write ``results/NAME.json`` and the printed table ``results/NAME.md``; return the first."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path


def _cpu_info(*fields: str) -> str:
    """Return the first of these fields of /proc/cpuinfo, or nothing."""
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in fields:
                return value.strip()
    return ""

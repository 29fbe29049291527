"""What every benchmark shares: the machine, the settings of its libraries, round-robin timing, tables and files."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.bench.machine import machine, variables, versions

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
    if "avx512f" in machine()["instruction_sets"]:
        environment["OPENBLAS_CORETYPE"] = "SkylakeX"
    return environment | dict.fromkeys(THREAD_VARIABLES, str(threads))


def circumstances(module: str, packages: Iterable[str]) -> dict[str, Any]:
    """Return what a result depends on: the command, the machine, the versions and the variables that steer them."""
    return {
        "command": f"python -m {module} {' '.join(sys.argv[1:])}".strip(),
        "machine": machine(),
        "versions": versions(packages),
        "settings": variables(),
    }


def heading(result: Mapping[str, Any], *more: str) -> str:
    """Return the circumstances of a result as text, and what it holds under the names in ``more``."""
    lines = (
        f"{key}: {', '.join(f'{name} {value}' for name, value in result[key].items())}"
        for key in ("machine", "versions", "settings", *more)
    )
    return "\n\n".join([f"`{result['command']}`", "\n".join(lines)])


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

"""The first call in a fresh process: what imports, opening the model and the first result take, and the memory.

``python -m engine.bench.cold`` is that process. It imports next to nothing before its clock runs, takes its job as JSON
on standard input and gives its answer as JSON on standard output.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

# In the order in which they happen; "first result" is all of them but the first.
PHASES = ("cold import onnxruntime", "cold import engine", "cold load", "cold first call")
FIRST_RESULT = "cold first result"
SECOND_CALL = "cold second call"


def run_cold(model: Path, device: str, threads: int, seconds: float) -> dict[str, Any]:
    """Return what a fresh process measured: seconds by name, and "peak_bytes" where the system tells.

    Raises
    ------
    EngineError
        The process failed. Why a model or a device cannot be used says the engine better in this process: open the
        model here before.
    """
    import subprocess

    from engine.errors import EngineError

    job = {"model": str(model), "device": device, "threads": threads, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, "-m", "engine.bench.cold"], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EngineError(f"expected a fresh process to run {model} on {device}, it failed: {reason}; run it alone")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Open a model and call it twice on a clip of samples; see ``run_cold``."""
    clock = time.perf_counter
    marks = [clock()]
    import onnxruntime  # noqa: F401  (its import is measured)

    marks.append(clock())
    from engine.tagger import Tagger  # noqa: F401  (what an application imports)
    from engine.verb import Verb

    marks.append(clock())
    verb = Verb(job["model"], job["device"], job["threads"])
    marks.append(clock())

    from engine.bench.clip import clip  # not a part of what is measured

    rate = verb.card.sample_rate
    source = (clip(job["seconds"], rate or 1), rate)
    begin = clock()
    verb(source)
    first = clock()
    verb(source)
    second = clock()
    seconds = [after - before for before, after in pairwise(marks)] + [first - begin]
    answer: dict[str, Any] = dict(zip(PHASES, seconds, strict=True))
    return answer | {
        FIRST_RESULT: sum(seconds[1:]),
        SECOND_CALL: second - first,
        "peak_bytes": _peak_bytes(),
    }


def _peak_bytes() -> int | None:
    """Return the most memory that this process held, None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux's getrusage counts in the memory of the process that started this one.
        held = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(held[0][1]) * 1024 if held else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(json.loads(sys.stdin.read()))))

"""Whether ``engine bench`` tells the truth: ``python -m benchmarks.stopwatch [--rounds 7]``.

Two kinds of fresh processes take turns: ``engine bench``, and a loop of ten lines that knows nothing of it and times
the same call, ``Tagger`` on the same clip with one thread. Each round gives a ratio of their medians; a busy spell that
meets only one of them spoils one round. What counts is the median of the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from engine.bench.report import read_report

SECONDS = (1, 10)
REPEATS = 300
LIMIT = 0.15
# One argument: the length of the clip.
LOOP = """
import statistics, sys, time
from engine import Tagger
from engine.bench.clip import clip
tagger, source, seconds = Tagger(device="cpu", threads=1), (clip(float(sys.argv[1]), 44100), 44100), []
for _ in range(320):
    begin = time.perf_counter()
    tagger(source)
    seconds.append(time.perf_counter() - begin)
print(statistics.median(seconds[20:]))
"""


def bench_medians_s() -> dict[int, float]:
    """Return the medians of the calls in a report of ``engine bench``, by the length of the clip."""
    durations = ",".join(map(str, SECONDS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        arguments = ["--device", "cpu", "--threads", "1", "--duration", durations, "--repeats", str(REPEATS)]
        subprocess.run(
            [sys.executable, "-m", "engine", "bench", *arguments, "--cold", "0", "-o", str(path)],
            check=True,
            capture_output=True,
        )
        rows = read_report(path).rows
    return {int(row.audio_s): row.summary.median for row in rows if row.measure == "call"}


def loop_medians_s() -> dict[int, float]:
    """Return the medians that the loop finds, by the length of the clip."""
    found = {}
    for seconds in SECONDS:
        done = subprocess.run([sys.executable, "-c", LOOP, str(seconds)], check=True, capture_output=True, text=True)
        found[seconds] = float(done.stdout)
    return found


def main() -> None:
    """Measure, print the table, write it to benchmarks/results/, and fail where the two disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    result: dict[str, Any] = report.circumstances(
        "benchmarks.stopwatch", ("sound-engine", "numpy", "onnxruntime-gpu", "onnxruntime")
    )
    taken = [(bench_medians_s(), loop_medians_s()) for _ in range(rounds)]
    result["rows"] = []
    for seconds in SECONDS:
        bench, loop = ([pair[i][seconds] * 1e3 for pair in taken] for i in range(2))
        ratios = [a / b for a, b in zip(bench, loop, strict=True)]
        result["rows"].append({"seconds": seconds, "engine_bench_ms": bench, "loop_ms": loop, "ratios": ratios})
    cells = [
        [
            f"call {row['seconds']} s",
            f"{statistics.median(row['engine_bench_ms']):.3f}",
            f"{statistics.median(row['loop_ms']):.3f}",
            f"{statistics.median(row['ratios']):.3f}",
            f"{min(row['ratios']):.3f} to {max(row['ratios']):.3f}",
        ]
        for row in result["rows"]
    ]
    header = ["", "engine bench, median ms", "loop, median ms", "ratio", f"of {rounds} rounds"]
    text = "\n\n".join([report.heading(result), report.table(header, cells)])
    print(text)
    print(f"wrote {report.write('stopwatch', result, text)}")
    if any(abs(statistics.median(row["ratios"]) - 1) > LIMIT for row in result["rows"]):
        sys.exit(f"expected ratios within {LIMIT:.0%} of 1; measure again on a quiet machine")


if __name__ == "__main__":
    main()

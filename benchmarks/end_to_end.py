"""Decoded audio to scores beside pipelines of other parts: ``python -m benchmarks.end_to_end``.

One recording of ten seconds at the model's rate, the shipped model, one thread. The pipelines take turns in one
process, a block of runs at a time, and each run says how long its log-mel and its network took. What the stages imply
is the ratio of their sums; what was measured is the ratio of the whole runs: where it falls behind, the engine spends
time beside its stages that a peer does not. A peer whose scores are not the engine's within 0.001 ends the benchmark.

``--int8 FILE`` measures a quantised variant of the model beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from benchmarks.end_to_end_peers import PACKAGES, Engine, Librosa, Pipeline, Torch
from engine.bench.clip import clip
from engine.bench.sampling import take_turns
from engine.bench.summary import summarise
from engine.registry import find_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.bench.summary import Summary

SECONDS = 10
LARGEST_DIFFERENCE = 1e-3
COLD_STARTS = 9
MEASURES = ("log-mel", "network", "both", "whole")
KINDS = ("minimum", "median")
ENGINE, INT8 = "engine", "engine, int8"
# What a user's first script does.
FIRST_RESULT = """
import time
begin = time.perf_counter()
import onnxruntime
imported = time.perf_counter()
from engine import Tagger
Tagger(device="cpu", threads=1)("examples/rain.flac").top(1)
print(imported - begin, time.perf_counter() - imported)
"""


class Runs:
    """Runs of a pipeline, with their stages."""

    measures = MEASURES

    def __init__(self, pipeline: Pipeline, samples: NDArray[np.float32]) -> None:
        self.pipeline = pipeline
        self.samples = samples

    def repeat(self, times: int) -> list[list[float]]:
        """Return the seconds of so many runs, a list for each of the measures."""
        seconds: list[list[float]] = [[] for _ in MEASURES]
        for _ in range(times):
            begin = time.perf_counter()
            self.pipeline.run(self.samples)
            whole_s = time.perf_counter() - begin
            log_mel_s, network_s = self.pipeline.log_mel_s, self.pipeline.network_s
            # Summed run by run: medians of parts do not add up to the median of a whole.
            parts = (log_mel_s, network_s, log_mel_s + network_s, whole_s)
            for taken, second in zip(seconds, parts, strict=True):
                taken.append(second)
        return seconds


def measure(pipelines: dict[str, Pipeline], rate: int, repeats: int) -> list[dict[str, Any]]:
    """Time every pipeline and its stages in turns; return a row for each."""
    samples = clip(SECONDS, rate)
    expected = pipelines[ENGINE].run(samples)
    for name, pipeline in pipelines.items():
        difference = float(np.abs(pipeline.run(samples) - expected).max())
        if name != INT8 and difference > LARGEST_DIFFERENCE:
            raise RuntimeError(f"{name} differs from the engine by {difference:.2g}")
    taken = take_turns([Runs(pipeline, samples) for pipeline in pipelines.values()], repeats, limit_s=60)
    found = {
        name: {samples.measure: summarise(samples.blocks_s) for samples in measures}
        for name, measures in zip(pipelines, taken, strict=True)
    }
    return [{"name": name} | {kind: _ratios(found, name, kind) for kind in KINDS} for name in pipelines]


def _ratios(found: dict[str, dict[str, Summary]], name: str, kind: str) -> dict[str, float]:
    log_mel, network, both, whole = (getattr(found[name][measure], kind) for measure in MEASURES)
    our_both, our_whole = (getattr(found[ENGINE][measure], kind) for measure in MEASURES[2:])
    implied, measured = both / our_both, whole / our_whole
    return {
        "log_mel_ms": log_mel * 1e3,
        "network_ms": network * 1e3,
        "whole_ms": whole * 1e3,
        "implied": implied,
        "measured": measured,
        "share": measured / implied,
    }


def markdown(rows: list[dict[str, Any]], kind: str) -> str:
    """Return the rows as a table of minima or medians."""
    header = ["", "log-mel ms", "network ms", "whole ms", "ratio of the stages", "ratio of the wholes", "share of it"]
    names = {
        "log_mel_ms": ".3f",
        "network_ms": ".3f",
        "whole_ms": ".3f",
        "implied": ".2f",
        "measured": ".2f",
        "share": ".2f",
    }
    cells = [[row["name"], *(format(row[kind][name], form) for name, form in names.items())] for row in rows]
    return f"### {kind.capitalize()}\n\n" + report.table(header, cells)


def first_results() -> dict[str, float]:
    """Return the medians over fresh processes: importing onnxruntime, and from there to the first result."""
    environment = {name: value for name, value in os.environ.items() if name not in report.THREAD_VARIABLES}
    taken = []
    for _ in range(COLD_STARTS):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_RESULT], env=environment, capture_output=True, text=True, check=True
        )
        taken.append([float(number) for number in done.stdout.split()])
    imports, results = zip(*taken, strict=True)
    return {
        "import_onnxruntime_s": round(statistics.median(imports), 3),
        "first_result_s": round(statistics.median(results), 3),
        "slowest_first_result_s": round(max(results), 3),
        "processes": COLD_STARTS,
    }


def main() -> None:
    """Measure, print the tables and write them to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=300, help="of each pipeline")
    parser.add_argument("--int8", type=Path, metavar="FILE", help="a quantised variant of the shipped model")
    arguments = parser.parse_args()
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    warnings.simplefilter("ignore")  # libraries on filters that hold no bin
    path = find_model()
    ours = Engine(path)
    pipelines: dict[str, Pipeline] = {
        ENGINE: ours,
        "librosa + onnxruntime": Librosa(path),
        "torchaudio + torch eager": Torch(path, folded=False),
        "torchaudio + torch eager, normalisation folded": Torch(path, folded=True),
    }
    if arguments.int8 is not None:
        pipelines[INT8] = Engine(arguments.int8)
    result = report.circumstances("benchmarks.end_to_end", PACKAGES)
    result["first_result"] = first_results()
    result["rows"] = measure(pipelines, ours.model.sample_rate, arguments.repeats)
    tables = [markdown(result["rows"], kind) for kind in KINDS]
    text = "\n\n".join([report.heading(result, "first_result"), *tables])
    print(text)
    print(f"wrote {report.write('end-to-end-1-thread', result, text)}")


if __name__ == "__main__":
    main()

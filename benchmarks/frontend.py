"""Log-mel against the peers: ``python -m benchmarks.frontend [--threads 1,2] [--batch 1,32] [--clock cpu]``.

a  44.1 kHz, window 1102, hop 441, n_fft 2048, 64 bands
b  16 kHz, 400, 160, 512, 128 bands, Kaldi style: pre-emphasis, DC removal, Povey window
c  16 kHz, 400, 160, 512, 64 bands
d  44.1 kHz, 367, 367, 512, 39 bands

Times are milliseconds per clip of ten seconds. Peers run at their best settings, one clip per thread where they have no
better way, and candidates take turns in one process; the engine's other instruction sets take theirs in processes of
their own. A peer whose values are not the engine's within 0.01 ends the run. On a busy machine ``--clock cpu`` measures
processor time; with one thread that is the time it would take alone. A last table is of ``engine.LogMelBank``: several
configurations over one clip, together and one by one.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import frontend_bank, frontend_peers, report
from engine import FrontendConfig, _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SECONDS = 10
LARGEST_DIFFERENCE = 0.01
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
# The front end of "avx512vnni" is that of "avx512".
INSTRUCTION_SETS = ("avx512", "avx2", "neon", "baseline")
KALDI: dict[str, Any] = {
    "window": "povey",
    "framing": "valid",
    "preemphasis": 0.97,
    "remove_dc": True,
    "mel_scale": "kaldi",
    "f_min": 20.0,
    "log_floor": 2.0**-23,
}
CONFIGURATIONS = {
    "a": FrontendConfig(44100, 1102, 441, 2048, 64),
    "b": FrontendConfig(16000, 400, 160, 512, 128, **KALDI),
    "c": FrontendConfig(16000, 400, 160, 512, 64),
    "d": FrontendConfig(44100, 367, 367, 512, 39),
}


def clips_for(config: FrontendConfig, batch: int) -> NDArray[np.float32]:
    """Return noise, shape (batch, n_samples)."""
    noise = np.random.default_rng(0).standard_normal((batch, SECONDS * config.sample_rate), dtype=np.float32)
    return noise * np.float32(0.1)


class OtherInstructionSet:
    """The engine in a process of its own with ENGINE_ISA set, which computes when it is asked to."""

    def __init__(self, isa: str, threads: int, clock: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.frontend", "--serve", "--threads", str(threads), "--clock", clock],
            env=os.environ | {"ENGINE_ISA": isa},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, request: object) -> Any:
        """Send one request and return its answer; None when the process has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(threads: int, clock: str) -> None:
    """Answer requests on stdin: [case, batch] prepares and gives the instruction set, "run" gives a run's seconds."""
    work: Callable[[], object] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        answer: object
        if request == "run":
            assert work is not None
            answer = seconds_of(work, clock)
        else:
            config = CONFIGURATIONS[request[0]]
            work = frontend_peers.engine(config, clips_for(config, request[1]), threads)
            answer = _kernels.isa()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def seconds_of(work: Callable[[], object], clock: str) -> float:
    """Run once and return the time it took."""
    begin = CLOCKS[clock]()
    work()
    return CLOCKS[clock]() - begin


def rounds_for(batch: int) -> int:
    """Return how often everybody runs where the command line does not say."""
    return 60 if batch == 1 else 9


def measure(
    name: str, batch: int, others: dict[str, OtherInstructionSet], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Time everybody on one configuration; return a table with one row for each, fastest first."""
    config, threads = CONFIGURATIONS[name], arguments.threads[0]
    clips = clips_for(config, batch)
    ours = frontend_peers.engine(config, clips, threads)
    expected = np.array(ours())
    work, absent = {f"engine {_kernels.isa()}": ours}, []
    for peer, make in frontend_peers.PEERS.items():
        try:
            theirs = make(config, clips, threads)
        except ImportError:
            absent.append(peer)
            continue
        if theirs is None:
            continue
        if frontend_peers.computes_the_same(peer, config):
            pairs = zip(theirs(), expected, strict=True)
            difference = max(float(np.abs(np.asarray(value) - mine).max()) for value, mine in pairs)
            if difference > LARGEST_DIFFERENCE:
                raise RuntimeError(f"{peer} differs from the engine by {difference:.2g} in configuration {name}")
        work[peer] = theirs
    candidates = {title: functools.partial(seconds_of, run, arguments.clock) for title, run in work.items()}
    for isa, other in others.items():
        other.ask([name, batch])
        candidates[f"engine {isa}"] = functools.partial(other.ask, "run")
    timings = report.round_robin(candidates, arguments.rounds or rounds_for(batch), limit_s=60)
    best = min(timing.minimum_s for title, timing in timings.items() if title in frontend_peers.PEERS)
    rows = [
        {
            "name": title,
            "min_ms": timing.minimum_s * 1e3 / batch,
            "median_ms": timing.median_s * 1e3 / batch,
            "times_best_peer": timing.minimum_s / best,
        }
        for title, timing in sorted(timings.items(), key=lambda item: item[1].minimum_s)
    ]
    return {"title": f"({name}) batch of {batch}, per clip", "rows": rows, "absent": absent}


def markdown(result: dict[str, Any]) -> str:
    """Return one table as text."""
    rows = [
        [row["name"], f"{row['min_ms']:.3f}", f"{row['median_ms']:.3f}", f"{row['times_best_peer']:.2f}"]
        for row in result["rows"]
    ]
    absent = f"\n\nabsent: {', '.join(result['absent'])}" if result["absent"] else ""
    return f"### {result['title']}\n\n" + report.table(["", "min ms", "median ms", "times best peer"], rows) + absent


def run(arguments: argparse.Namespace) -> None:
    """Measure with one number of threads, print the tables and write them to benchmarks/results/."""
    # Threads go to clips, not into the transform or the product of one: MKL and OpenBLAS keep to one each.
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    warnings.simplefilter("ignore")  # libraries on filters that hold no bin
    threads = arguments.threads[0]
    result: dict[str, Any] = {
        **report.circumstances("benchmarks.frontend", frontend_peers.PACKAGES),
        "tables": [],
        "banks": [],
    }
    others = {
        isa: OtherInstructionSet(isa, threads, arguments.clock)
        for isa in INSTRUCTION_SETS
        if not _kernels.isa().startswith(isa)
    }
    others = {isa: other for isa, other in others.items() if other.ask(["c", 1]) == isa}
    for batch in arguments.batch:
        for name in arguments.cases:
            result["tables"].append(measure(name, batch, others, arguments))
            print(markdown(result["tables"][-1]), end="\n\n", flush=True)
        timed = functools.partial(seconds_of, clock=arguments.clock)
        rounds = arguments.rounds or rounds_for(batch)
        result["banks"].append(frontend_bank.measure(clips_for, timed, batch, threads, rounds))
        print(frontend_bank.markdown(result["banks"][-1]), end="\n\n", flush=True)
    for other in others.values():
        other.close()
    tables = [markdown(table) for table in result["tables"]] + [frontend_bank.markdown(b) for b in result["banks"]]
    text = "\n\n".join([report.heading(result), *tables])
    file = f"frontend-{threads}-thread{'s' * (threads > 1)}"
    print(f"wrote {report.write(file, result, text)}")


def main() -> None:
    """Run one process per number of threads."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", type=lambda text: text.split(","), default=list(CONFIGURATIONS), help="all by default"
    )
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="comma-separated; 1,2 by default")
    parser.add_argument(
        "--batch", type=numbers, default=[1, 32], help="clips per call, comma-separated; 1,32 by default"
    )
    parser.add_argument("--rounds", type=int, help="60 for single clips and 9 for batches by default")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.threads[0], arguments.clock)
    elif len(arguments.threads) == 1:
        run(arguments)
    else:
        for threads in arguments.threads:
            command = [sys.executable, "-m", "benchmarks.frontend", *sys.argv[1:], "--threads", str(threads)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

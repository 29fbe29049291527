"""What ``Tagger`` adds to its parts: ``python -m benchmarks.overhead [--rounds 60] [--clock cpu]``.

Both tag five seconds of noise, decoded and at the model's rate, with the shipped model on one thread.

bare    zeros(window), a copy of the samples, LogMel, onnxruntime with both outputs: what nobody can leave out
Tagger  all of it, from the check that the samples are finite to the clip

They take turns, twenty calls each and each going first every other time. A round's figure is the mean of its calls;
figures are microseconds per call. On a busy machine ``--clock cpu`` measures processor time; with one thread that is
the time it would take alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from benchmarks import report
from engine import LogMel, Tagger
from engine.registry import find_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SECONDS = 5
CALLS = 20
TARGET = 0.05
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
FIGURES = {"min": 0, "p25": 25, "median": 50}


def bare_parts(tagger: Tagger) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return the front end and the runtime put together by hand, with the settings that ``Tagger`` gives them."""
    card = tagger.card
    assert card.frontend is not None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.use_deterministic_compute = True
    runtime = onnxruntime.InferenceSession(find_model(None), settings, providers=["CPUExecutionProvider"])
    log_mel, window = LogMel(card.frontend), card.window
    outputs = [card.outputs.scores.name, card.outputs.embedding.name]  # type: ignore[union-attr]

    def run(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        filled = np.zeros(window, np.float32)
        filled[: samples.size] = samples
        values: list[NDArray[np.float32]] = runtime.run(outputs, {card.input.name: log_mel(filled)[np.newaxis]})
        return values

    return run


def measure(rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Return the seconds per call of each round for both, after checking that they give the same bits."""
    tagger = Tagger(device="cpu", threads=1)
    bare = bare_parts(tagger)
    rate = tagger.card.sample_rate
    assert rate is not None
    samples = np.random.default_rng(0).standard_normal(SECONDS * rate, dtype=np.float32) * np.float32(0.1)
    clip, (scores, embedding) = tagger((samples, rate)), bare(samples)
    if not (np.array_equal(clip.scores, scores[0]) and np.array_equal(clip.embedding, embedding[0])):
        raise RuntimeError("Tagger and its parts give different values: the comparison would mean nothing")
    work: dict[str, Callable[[], object]] = {"bare": lambda: bare(samples), "Tagger": lambda: tagger((samples, rate))}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for done in range(-2, rounds):  # two rounds to warm up
        for name in sorted(work, reverse=done % 2 == 0):
            begin = clock()
            for _ in range(CALLS):
                work[name]()
            if done >= 0:
                seconds[name].append((clock() - begin) / CALLS)
    return seconds


def main() -> None:
    """Measure, print the table and write it to benchmarks/results/."""
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    result = report.circumstances("benchmarks.overhead", ("numpy", "onnxruntime-gpu", "onnxruntime"))
    seconds = measure(arguments.rounds, CLOCKS[arguments.clock])
    figures = {
        figure: {name: float(np.percentile(values, percentile)) * 1e6 for name, values in seconds.items()}
        for figure, percentile in FIGURES.items()
    }
    rows = []
    for figure, value in figures.items():
        value["overhead_us"] = value["Tagger"] - value["bare"]
        value["overhead"] = value["overhead_us"] / value["bare"]
        share = f"{value['overhead']:.1%}"
        rows.append([figure, f"{value['bare']:.0f}", f"{value['Tagger']:.0f}", f"{value['overhead_us']:.0f}", share])
    result |= {"rounds": arguments.rounds, "calls": CALLS, "target": TARGET, "figures": figures}
    table = report.table(["of the rounds", "bare us", "Tagger us", "more us", "more"], rows)
    text = "\n\n".join([report.heading(result), table, f"target: less than {TARGET:.0%} more"])
    print(text)
    print(f"wrote {report.write('overhead', result, text)}")


if __name__ == "__main__":
    main()

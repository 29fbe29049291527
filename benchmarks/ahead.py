"""What working ahead of a device is worth: ``python -m benchmarks.ahead [--rounds 15]``.

A second processor stands in for the device: the network runs there on one thread, bound to buffers as on a GPU, and the
front end here. Five minutes at the model's rate, the shipped model; the ways take turns.

one window      the CPU as everybody uses it
in turn         batches of eight, front end and network one after the other
ahead           the front end prepares a batch while the network runs the one before
auto            the same, with batches of the size that was measured
network alone   what a device that never waits would take
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from engine.bench.clip import clip
from engine.listener import Listener
from engine.model import Model
from engine.registry import find_model
from tests.test_device_buffers import OnAnotherDevice

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 300
BATCH = 8


def ways(model: Model, on_cpu: Model) -> dict[str, Callable[[], object]]:
    """Return the ways to hear the recording by name; each gives the same windows."""
    rate = model.sample_rate
    samples = clip(SECONDS, rate)
    source = (samples, rate)
    network, front_end = model._network, model._front_end  # noqa: SLF001  (their time apart is what this is about)
    assert front_end is not None
    frames = [front_end(np.resize(samples, model.card.window))] * BATCH
    n_windows = -(-len(samples) // model.card.window)
    options = replace(model._resolved(rate, {}), batch_size=BATCH)  # noqa: SLF001
    return {
        "one window": lambda: on_cpu(source),
        "in turn": lambda: list(Listener(network, front_end, options, rate, "the clip").hear([samples])),
        "ahead": lambda: model(source, batch_size=BATCH),
        "auto": lambda: model(source, batch_size="auto"),
        "network alone": lambda: [network.run(frames, {}) for _ in range(-(-n_windows // BATCH))],
    }


def main() -> None:
    """Measure, print the table and write it to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    path = find_model()
    on_cpu = Model.open(path, "cpu", 1)
    model = Model(OnAnotherDevice(path, "cpu", 1), on_cpu.card)
    work = ways(model, on_cpu)

    def timed(call: Callable[[], object]) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    found = report.round_robin({name: lambda call=call: timed(call) for name, call in work.items()}, rounds, 120)
    result: dict[str, Any] = report.circumstances("benchmarks.ahead", ("numpy", "onnxruntime-gpu", "onnxruntime"))
    result["sweeps"] = [sweep.to_dict() for sweep in model.batch_sweeps]
    result["ms"] = {name: [timing.minimum_s * 1e3, timing.median_s * 1e3] for name, timing in found.items()}
    rows = [[name, f"{minimum:.1f}", f"{median:.1f}"] for name, (minimum, median) in result["ms"].items()]
    table = report.table(["", "minimum ms", "median ms"], rows)
    text = "\n\n".join([report.heading(result), table, f"auto: {model.batch_sweeps[0]}"])
    print(text)
    print(f"wrote {report.write('ahead', result, text)}")


if __name__ == "__main__":
    main()

"""What a query costs a library: ``python -m benchmarks.ranking [--rounds 15]``.

It needs the extras bench and train. TL-IMINET with random weights, whose speed is that of any weights, on one thread,
with all references encoded.

pair by pair   the whole network in a bare runtime for each reference, both spectrograms at hand: what the towers save
encode         one reference of four seconds through the front end and the reference tower, paid once for each
query          a query of four seconds: trimmed, levelled, through its front end and its tower
head           the comparison of that query with the library

The runs of a round take turns; figures are minimum and median in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks import report
from engine import LogMel, Ranker
from engine.bench.clip import clip
from engine.session import Session
from training.export_two_tower import IMINET_SECONDS, export_two_tower, iminet_card
from training.networks.two_tower import tl_iminet
from training.run import commit

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (100, 1_000, 10_000, 30_000)
PAIRS = 20


def exported(folder: str) -> Path:
    """Return the file of a TL-IMINET with random weights."""
    torch.manual_seed(0)
    path = Path(folder, "random.onnx")
    card = iminet_card("random", training_data="none", licence="Apache-2.0", attribution="", commit="")
    export_two_tower(tl_iminet(), card, path)
    return path


def candidates(path: Path) -> dict[str, Callable[[], float]]:
    """Return what is measured, by name; each gives the seconds of one run."""
    ranker = Ranker(path, device="cpu", threads=1)
    card, towers = ranker.card, ranker.towers
    assert towers is not None
    assert card.query is not None
    assert card.query.frontend is not None
    assert card.frontend is not None
    sounds = {rate: clip(IMINET_SECONDS, rate) for rate in (16_000, 44_100)}
    whole = Session(path, "cpu", 1)
    query_log_mel = LogMel(card.query.frontend)(sounds[16_000])[np.newaxis]
    log_mel = LogMel(card.frontend)(sounds[44_100])[np.newaxis]
    feeds = {card.query.input.name: query_log_mel, card.input.name: log_mel}
    query = ranker.embedding((sounds[16_000], 16_000))
    rows = np.random.default_rng(0).random((SIZES[-1], card.embedding_size or 0), np.float32)

    def seconds(run: Callable[[], object], times: int = 1) -> Callable[[], float]:
        def timed() -> float:
            begin = time.perf_counter()
            for _ in range(times):
                run()
            return (time.perf_counter() - begin) / times

        return timed

    runs = {
        "pair by pair, one reference": seconds(lambda: whole.run([towers.card.query.similarity], feeds), PAIRS),
        "encode, one reference": seconds(lambda: ranker.encode([(sounds[44_100], 44_100)])),
        "query": seconds(lambda: ranker.embedding((sounds[16_000], 16_000))),
    }
    for n in SIZES:
        runs[f"head, {n:,} references"] = seconds(lambda n=n: towers.similarities(query, rows[:n]))
    return runs


def main() -> None:
    """Measure, print the table and write it to benchmarks/results/."""
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    result = report.circumstances("benchmarks.ranking", ("numpy", "onnxruntime-gpu", "onnxruntime", "torch"))
    result["commit"] = commit()
    with tempfile.TemporaryDirectory() as folder:
        timings = report.round_robin(candidates(exported(folder)), arguments.rounds, limit_s=120.0)
    rows = [[name, f"{1e3 * t.minimum_s:.2f}", f"{1e3 * t.median_s:.2f}"] for name, t in timings.items()]
    result["ms"] = {name: {"minimum": 1e3 * t.minimum_s, "median": 1e3 * t.median_s} for name, t in timings.items()}
    pair, query = timings["pair by pair, one reference"], timings["query"]
    head = timings[f"head, {SIZES[-1]:,} references"]
    ratio = SIZES[-1] * pair.minimum_s / (query.minimum_s + head.minimum_s)
    result["ratio"] = ratio
    text = "\n\n".join(
        [
            report.heading(result),
            f"commit: {result['commit']}",
            report.table(["", "minimum ms", "median ms"], rows),
            f"{SIZES[-1]:,} references pair by pair would take {ratio:.0f} times as long as query and head.",
        ]
    )
    print(text)
    print(f"wrote {report.write('ranking', result, text)}")


if __name__ == "__main__":
    main()

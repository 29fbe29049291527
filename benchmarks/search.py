"""One query over an index beside its peers: ``python -m benchmarks.search [--items 1000000] [--threads 1]``.

All search the same Gaussian vectors of length one for the ten nearest of one query. ``Index.search`` is the whole
call, hits and all; ``topk`` its kernel. NumPy has the product by BLAS and a partition. The vectors are mapped from the
index's file by the first two, and are plain arrays for the others; all have been read before. The limit is the memory
bandwidth, as every search reads each vector once: "reading the vectors" is a loop over the same mapped bytes on one
thread that only adds them up, in the same rotation. Reading a fresh array in large pages is among the limits of the
machine, and may be faster.

A second table updates an index after one in a hundred files was changed, of clips and of longer recordings: its time
over that of the build.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from benchmarks import ceilings, report
from engine.distance import topk
from engine.embedder import Embedder
from engine.index import Index
from engine.index.items import schema
from engine.index.layout import header_for, write_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE, K = 128, 10
READING = "reading the vectors"
PACKAGES = ("sound-engine", "numpy", "faiss-cpu", "usearch", "pyarrow")


def blocks(n_items: int) -> Iterator[np.ndarray]:
    """Yield the vectors in blocks, float32, the same ones at each call."""
    for start in range(0, n_items, 1 << 16):
        rows = np.random.default_rng(start).standard_normal((min(1 << 16, n_items - start), SIZE), dtype=np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def made_index(folder: Path, n_items: int) -> Index:
    """Return an index of random vectors, a recording for every hundred of them."""
    import pyarrow as pa

    rows = np.arange(n_items)
    columns: dict[str, Any] = {
        "path": pa.array([f"{i // 100:06d}.wav" for i in range(n_items)]),
        "start_s": rows % 100 * 1.0,
        "end_s": rows % 100 + 1.0,
        "recording_id": rows // 100,
        "duration_s": np.full(n_items, 100.0),
        "tags": pa.array([[]] * n_items, pa.list_(pa.string())),
        "size": rows,
        "mtime_ns": rows,
        "sha256": pa.nulls(n_items, pa.string()),
    }
    with Embedder() as embedder:
        header = header_for(embedder.card, "cosine")
    write_version(folder, header, blocks(n_items), pa.table(columns, schema=schema()))
    return Index.open(folder)


def contenders(index: Index, query: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    """Return the searches by name; a peer that is not installed is left out."""
    mapped, plain = index.vectors, np.array(index.vectors)

    def numpy_search() -> np.ndarray:
        scores = plain @ query
        best = np.argpartition(-scores, K)[:K]
        return best[np.argsort(-scores[best])]

    found: dict[str, Callable[[], Any]] = {
        "Index.search": lambda: index.search(query, K, threads=threads),
        "topk": lambda: topk(query[None], mapped, K, "cosine", threads=threads),
        "NumPy": numpy_search,
    }
    try:
        import faiss

        faiss.omp_set_num_threads(threads)
        flat = faiss.IndexFlatIP(SIZE)
        flat.add(plain)
        found["faiss IndexFlatIP"] = lambda: flat.search(query[None], K)
    except ImportError:
        pass
    try:
        from usearch.index import MetricKind
        from usearch.index import search as usearch

        found["usearch exact"] = lambda: usearch(plain, query, K, MetricKind.Cos, exact=True, threads=threads)
    except ImportError:
        pass
    return found


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def update_share(n_files: int, seconds: float) -> dict[str, float]:
    """Return the seconds of a build of recordings from the examples, and of an update after a hundredth has changed."""
    examples = [
        soundfile.read(path, dtype="int16")
        for path in sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.flac"))
    ]

    def write(path: Path, seed: int) -> None:
        samples, rate = examples[seed % len(examples)]
        samples = np.resize(np.roll(samples, seed), round(seconds * rate))
        soundfile.write(path, samples, rate)

    with tempfile.TemporaryDirectory() as name, Embedder(device="cpu", threads=1) as embedder:
        folder = Path(name) / "in"
        folder.mkdir()
        for i in range(n_files):
            write(folder / f"{i:05d}.flac", i)
        with Index.create(Path(name) / "lib.index", embedder) as index:
            build_s = timed(lambda: (index.add([folder]), index.save()))
        for i in range(0, n_files, 100):
            write(folder / f"{i:05d}.flac", n_files + i)
        with Index.open(Path(name) / "lib.index", embedder) as index:
            update_s = timed(lambda: (index.update(), index.save()))
    return {"files": n_files, "seconds": seconds, "build_s": build_s, "update_s": update_s, "share": update_s / build_s}


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    environment = report.peer_environment(options.threads)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606

    gigabytes = options.items * SIZE * 4 / 1e9
    before = ceilings.measure()
    with tempfile.TemporaryDirectory() as folder:
        index = made_index(Path(folder), options.items)
        query = np.random.default_rng(1).standard_normal(SIZE).astype(np.float32)
        query /= np.linalg.norm(query)
        calls = {
            name: functools.partial(timed, call) for name, call in contenders(index, query, options.threads).items()
        }
        if before:
            calls[READING] = functools.partial(ceilings.read_s, index.vectors)
        timings = report.round_robin(calls, options.rounds, limit_s=180)
        index.close()
    after = ceilings.measure()
    limits = {key: max(value, after[key]) for key, value in before.items()}
    updates = [update_share(options.files, 5.0), update_share(max(100, options.files // 12), 60.0)]

    result = report.circumstances("benchmarks.search", PACKAGES) | {"limits_of_one_thread": limits}
    rows, ours = [], timings["Index.search"].minimum_s
    for name, timing in sorted(timings.items(), key=lambda item: item[1].minimum_s):
        reading = timings.get(READING)
        shares = (reading.minimum_s / timing.minimum_s, reading.median_s / timing.median_s) if reading else ()
        milliseconds = (f"{timing.minimum_s * 1e3:.1f}", f"{timing.median_s * 1e3:.1f}")
        rate = gigabytes / timing.minimum_s
        rows.append(
            [name, *milliseconds, f"{timing.minimum_s / ours:.2f}", f"{rate:.1f}", *map("{:.2f}".format, shares)]
        )
    result |= {
        "items": options.items,
        "timings": {name: vars(timing) for name, timing in timings.items()},
        "updates": updates,
    }
    header = ["", "min ms", "median ms", "times ours", "GB/s"]
    if READING in timings:
        header += ["share of reading, by minima", "by medians"]
    text = "\n\n".join(
        [
            f"# One query over {options.items:,} x {SIZE}, {options.threads} threads",
            report.heading(result, "limits_of_one_thread"),
            report.table(header, rows),
            *(
                f"Update of {update['files']} files of {update['seconds']:.0f} s after one in a hundred has changed: "
                f"{update['update_s']:.2f} s, {100 * update['share']:.1f} % of the build ({update['build_s']:.1f} s)."
                for update in updates
            ),
        ]
    )
    print(text)
    print(f"wrote {report.write('search', result, text)}")


if __name__ == "__main__":
    main()

"""Distances against the peers: ``python -m benchmarks.distance [--cases i,ii] [--threads 1] [--clock cpu]``.

``--full-search 160000`` instead times one search of 160,000 x 6,144 half floats in a mapped file, and its memory.

i    nearest neighbour of every row of 16,000 x 6,144 but itself, squared Euclidean
ii   top 10 of 100,000 x 128 for 1,000 queries, squared Euclidean and cosine
iii  the full matrix of 4,096 x 4,096 x 128 squared distances
iv   top 10 of 1,000,000 x 128 for one query
v    a semi-hard negative for every pair of equal label in a batch of 512 x 128, 32 labels

Peers run at their best settings, known norms and built indices given to them for free; contenders take turns in one
process. What the engine does for exactness (norms, bounds, comparing in double) is inside its times. On a busy machine
``--clock cpu`` measures processor time; with one thread that is the time it would take alone.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import ceilings, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from engine.distance import Metric

PACKAGES = ["numpy", "faiss-cpu", "scikit-learn", "scipy", "torch", "simsimd", "usearch", "pytorch-metric-learning"]


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class Contender:
    """One row of a table: `run` does the whole task, or `share` of it where the whole would take too long."""

    name: str
    run: Callable[[], object]
    share: float = 1.0

    def seconds(self, clock: str) -> float:
        """Run once; return the time of the whole task."""
        begin = CLOCKS[clock]()
        self.run()
        return (CLOCKS[clock]() - begin) / self.share


@dataclass
class Table:
    """A task, what it needs at least (floating-point operations or bytes), and which peers were not installed."""

    title: str
    gflop: float | None = None
    gigabytes: float | None = None
    absent: list[str] = field(default_factory=list)


def peer(name: str, table: Table) -> ModuleType | None:
    """Import a peer, or list it as absent."""
    try:
        return importlib.import_module(name)
    except ImportError:
        table.absent.append(name)
        return None


def random_rows(seed: int, n: int, d: int) -> np.ndarray:
    """Return Gaussian rows: the hardest case, since their distances concentrate."""
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


def faiss_search(table: Table, database: np.ndarray, metric: str, threads: int) -> Callable[..., object] | None:
    """Return the search of a flat faiss index that holds the database."""
    faiss = peer("faiss", table)
    if faiss is None:
        return None
    faiss.omp_set_num_threads(threads)
    kind = faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2
    index = kind(database.shape[1])
    index.add(database)
    search: Callable[..., object] = index.search
    return search


def torch_of(table: Table, threads: int) -> Any:
    """Return torch with its number of threads set, or None."""
    torch = peer("torch", table)
    if torch is not None:
        torch.set_num_threads(threads)
    return torch


def case_i(threads: int) -> Iterator[tuple[Table, list[Contender]]]:
    """Nearest other row; peers without such a search get 1,000 queries and their times are scaled."""
    from engine import _kernels
    from engine.distance import nearest_self, topk

    x = random_rows(0, 16000, 6144)
    some = x[:1000]
    share = len(some) / len(x)
    norms = np.einsum("ij,ij->i", x, x)
    table = Table("(i) nearest other row, 16,000 x 6,144", gflop=2e-9 * len(x) ** 2 * x.shape[1])
    contenders = [
        Contender("engine nearest_self", lambda: nearest_self(x, 1, "sqeuclidean", threads=threads)),
        Contender(
            "engine nearest_self, float32 only",
            lambda: _kernels.nearest_self(x, 1, "sqeuclidean", None, threads, encode=False),
        ),
        Contender("engine topk (1,000 queries)", lambda: topk(some, x, 2, "sqeuclidean", threads=threads), share),
        Contender("numpy matmul + argmin (1,000)", lambda: (norms - 2 * (some @ x.T)).argmin(1), share),
    ]
    search = faiss_search(table, x, "sqeuclidean", threads)
    if search:
        contenders.append(Contender("faiss IndexFlatL2 k=2 (1,000)", lambda: search(some, 2), share))
    torch = torch_of(table, threads)
    if torch:
        a, b, n = torch.from_numpy(some), torch.from_numpy(x), torch.from_numpy(norms)
        run = lambda: torch.addmm(n, a, b.T, alpha=-2).topk(2, largest=False)  # noqa: E731
        contenders.append(Contender("torch addmm + topk (1,000)", run, share))
    metrics = peer("sklearn.metrics", table)
    if metrics:
        run_sklearn = lambda: metrics.pairwise_distances_argmin(some, x)  # noqa: E731
        contenders.append(Contender("sklearn pairwise_distances_argmin (1,000)", run_sklearn, share))
    yield table, contenders


def case_ii(threads: int) -> Iterator[tuple[Table, list[Contender]]]:
    """Top 10 for many queries; the vectors of the cosine table have unit length, which the engine does not know."""
    q, x = random_rows(1, 1000, 128), random_rows(2, 100_000, 128)
    metrics: tuple[Metric, ...] = ("sqeuclidean", "cosine")
    for metric in metrics:
        if metric == "cosine":
            q, x = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (q, x))
        yield _top_10(metric, q, x, threads)


def _top_10(metric: Metric, q: np.ndarray, x: np.ndarray, threads: int) -> tuple[Table, list[Contender]]:
    from engine import _kernels
    from engine.distance import topk

    norms = np.einsum("ij,ij->i", x, x)
    table = Table(f"(ii) top 10, 1,000 x 100,000 x 128, {metric}", gflop=2e-9 * len(q) * x.size)
    contenders = [
        Contender("engine topk", lambda: topk(q, x, 10, metric, threads=threads)),
        Contender(
            "engine topk, float32 only",
            lambda: _kernels.top_k(q, x, 10, metric, None, None, False, None, threads, encode=False),
        ),
        Contender("numpy matmul + argpartition", lambda: np.argpartition(norms - 2 * (q @ x.T), 10, axis=1)[:, :10]),
    ]
    search = faiss_search(table, x, metric, threads)
    if search:
        contenders.append(Contender("faiss IndexFlat", lambda: search(q, 10)))
    torch = torch_of(table, threads)
    if torch:
        a, b, n = torch.from_numpy(q), torch.from_numpy(x), torch.from_numpy(norms)
        run = lambda: torch.addmm(n, a, b.T, alpha=-2).topk(10, largest=False)  # noqa: E731
        contenders.append(Contender("torch addmm + topk", run))
    neighbors = peer("sklearn.neighbors", table)
    if neighbors:
        brute = neighbors.NearestNeighbors(n_neighbors=10, algorithm="brute", metric=metric).fit(x)
        contenders.append(Contender("sklearn brute", lambda: brute.kneighbors(q)))
    peer("simsimd", table)  # for case iii: loaded after usearch it refuses its input
    usearch = peer("usearch.index", table)
    if usearch:
        kind = usearch.MetricKind.Cos if metric == "cosine" else usearch.MetricKind.L2sq
        run_usearch = lambda: usearch.search(x, q[:50], 10, kind, exact=True, threads=threads)  # noqa: E731
        contenders.append(Contender("usearch exact (50 queries)", run_usearch, 50 / len(q)))
    return table, contenders


def case_iii(threads: int) -> Iterator[tuple[Table, list[Contender]]]:
    """Fill the full matrix, in memory that is there already where a peer can."""
    from engine.distance import pairwise

    a, b = random_rows(3, 4096, 128), random_rows(4, 4096, 128)
    out = np.zeros((len(a), len(b)), np.float32)
    norms_a, norms_b = (np.einsum("ij,ij->i", rows, rows) for rows in (a, b))

    def numpy_trick() -> None:
        np.matmul(a, b.T, out=out)
        np.multiply(out, -2, out=out)
        np.add(out, norms_a[:, None], out=out)
        np.add(out, norms_b, out=out)

    table = Table("(iii) full squared distances, 4,096 x 4,096 x 128", gflop=2e-9 * len(a) * b.size)
    contenders = [
        Contender("engine pairwise, out=", lambda: pairwise(a, b, "sqeuclidean", out=out, threads=threads)),
        Contender("engine pairwise, new array", lambda: pairwise(a, b, "sqeuclidean", threads=threads)),
        Contender("numpy matmul, reused output", numpy_trick),
    ]
    faiss = peer("faiss", table)
    if faiss:
        faiss.omp_set_num_threads(threads)
        contenders.append(Contender("faiss pairwise_distances", lambda: faiss.pairwise_distances(a, b)))
    torch = torch_of(table, threads)
    if torch:
        ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        contenders.append(Contender("torch.cdist", lambda: torch.cdist(ta, tb)))
    metrics = peer("sklearn.metrics", table)
    if metrics:
        run = lambda: metrics.pairwise.euclidean_distances(a, b, squared=True)  # noqa: E731
        contenders.append(Contender("sklearn euclidean_distances", run))
    spatial = peer("scipy.spatial.distance", table)
    if spatial:
        run_scipy = lambda: spatial.cdist(a[:512], b, "sqeuclidean")  # noqa: E731
        contenders.append(Contender("scipy cdist (512 rows)", run_scipy, 512 / len(a)))
    simsimd = peer("simsimd", table)
    if simsimd:
        run_simsimd = lambda: simsimd.cdist(a, b, "sqeuclidean", threads=threads)  # noqa: E731
        contenders.append(Contender("simsimd cdist", run_simsimd))
    yield table, contenders


def case_iv(threads: int) -> Iterator[tuple[Table, list[Contender]]]:
    """One query over 512 MB: memory bandwidth."""
    from engine.distance import topk

    x, q = random_rows(5, 1_000_000, 128), random_rows(6, 1, 128)
    norms = np.einsum("ij,ij->i", x, x)
    table = Table("(iv) one query, top 10 of 1,000,000 x 128", gigabytes=1e-9 * x.nbytes)
    contenders = [
        Contender("engine topk", lambda: topk(q, x, 10, "sqeuclidean", threads=threads)),
        Contender("numpy gemv + argpartition", lambda: np.argpartition(norms - 2 * (x @ q[0]), 10)[:10]),
    ]
    search = faiss_search(table, x, "sqeuclidean", threads)
    if search:
        contenders.append(Contender("faiss IndexFlatL2", lambda: search(q, 10)))
    torch = torch_of(table, threads)
    if torch:
        tx, tq, tn = torch.from_numpy(x), torch.from_numpy(q[0]), torch.from_numpy(norms)
        run = lambda: torch.addmv(tn, tx, tq, alpha=-2).topk(10, largest=False)  # noqa: E731
        contenders.append(Contender("torch addmv + topk", run))
    simsimd = peer("simsimd", table)
    if simsimd:
        run_simsimd = lambda: np.argpartition(np.asarray(simsimd.cdist(q, x, "sqeuclidean"))[0], 10)[:10]  # noqa: E731
        contenders.append(Contender("simsimd cdist + argpartition", run_simsimd))
    yield table, contenders


def case_v(threads: int) -> Iterator[tuple[Table, list[Contender]]]:
    """Mining a batch. The miner of pytorch-metric-learning returns one triplet per anchor, not one per pair."""
    from engine.distance import semi_hard

    x, labels = random_rows(7, 512, 128), np.repeat(np.arange(32), 16)
    table = Table("(v) semi-hard negatives, 512 x 128, 32 labels")
    contenders = [Contender("engine semi_hard", lambda: semi_hard(x, labels=labels, threads=threads))]
    torch, miners = torch_of(table, threads), peer("pytorch_metric_learning.miners", table)
    if torch:
        tx, tl = torch.from_numpy(x), torch.from_numpy(labels)

        def closest_per_pair() -> object:
            distances = torch.cdist(tx, tx)
            same = tl[:, None] == tl
            a, p = torch.nonzero(same & ~torch.eye(len(tx), dtype=torch.bool), as_tuple=True)
            rows = distances[a].masked_fill(same[a] | (distances[a] <= distances[a, p][:, None]), torch.inf)
            return rows.min(1)

        contenders.append(Contender("torch closest per pair, vectorised", closest_per_pair))
        if miners:
            miner = miners.BatchEasyHardMiner(pos_strategy="easy", neg_strategy="semihard")
            contenders.append(Contender("pytorch-metric-learning, 1 per anchor", lambda: miner(tx, tl)))
    yield table, contenders


CASES = {"i": (case_i, 2), "ii": (case_ii, 9), "iii": (case_iii, 15), "iv": (case_iv, 15), "v": (case_v, 40)}


def race(
    table: Table, contenders: list[Contender], limits: dict[str, float], rounds: int, clock: str
) -> dict[str, Any]:
    """Time the contenders in turn; return the table with one row for each, fastest first."""
    timings = report.round_robin({c.name: functools.partial(c.seconds, clock) for c in contenders}, rounds, limit_s=120)
    ours = timings[contenders[0].name].minimum_s
    rows = []
    for name, timing in sorted(timings.items(), key=lambda item: item[1].minimum_s):
        row: dict[str, Any] = {"name": name, "min_ms": timing.minimum_s * 1e3, "median_ms": timing.median_s * 1e3}
        row["times_ours"] = timing.minimum_s / ours
        for rate, amount in (("gflop_per_s", table.gflop), ("gb_per_s", table.gigabytes)):
            if amount is not None:
                row[rate] = amount / timing.minimum_s
                if rate in limits:
                    row["share_of_limit"] = row[rate] / limits[rate]
        rows.append(row)
    return {"title": table.title, "rows": rows, "absent": table.absent}


def markdown(result: dict[str, Any]) -> str:
    """Return one table as text."""
    columns = {
        "min_ms": "min ms",
        "median_ms": "median ms",
        "times_ours": "times ours",
        "gflop_per_s": "GFLOP/s",
        "gb_per_s": "GB/s",
        "share_of_limit": "share of limit",
    }
    used = [key for key in columns if key in result["rows"][0]]
    rows = [[row["name"], *(f"{row[key]:.2f}" for key in used)] for row in result["rows"]]
    absent = f"\n\nabsent: {', '.join(result['absent'])}" if result["absent"] else ""
    return f"### {result['title']}\n\n" + report.table(["", *(columns[key] for key in used)], rows) + absent


def full_search(n: int, threads: int) -> None:
    """Find the nearest other row of n x 6,144 float16 rows that are mapped from a file, and print time and memory."""
    import resource

    from engine.distance import nearest_self

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        rows = np.lib.format.open_memmap(path, "w+", np.float16, (n, 6144))
        for first in range(0, n, 1000):
            rows[first : first + 1000] = random_rows(first, len(rows[first : first + 1000]), 6144)
        del rows
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        rows = np.load(path, mmap_mode="r")
        wall, cpu = time.perf_counter(), time.process_time()
        nearest_self(rows, 1, "sqeuclidean", threads=threads)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{n:,} x 6,144 half floats, {rows.nbytes / 1e9:.2f} GB, threads {threads}: {wall:.0f} s, {cpu:.0f} s of "
            f"processor time, peak memory {peak / 1e6:.2f} GB with the mapped file ({before / 1e6:.2f} GB before)"
        )


def main() -> None:
    """Run the cases, print their tables and write them to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="instead of each case's own number")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--full-search", type=int, metavar="ROWS", help="only this search of ROWS x 6,144; 160000")
    arguments = parser.parse_args()
    if arguments.full_search:
        full_search(arguments.full_search, arguments.threads)
        return
    environment = report.peer_environment(arguments.threads)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606

    limits = ceilings.measure()
    result: dict[str, Any] = {
        **report.circumstances("benchmarks.distance", PACKAGES),
        "limits_of_one_thread": limits,
        "tables": [],
    }
    for name in arguments.cases.split(","):
        case, rounds = CASES[name]
        for table, contenders in case(arguments.threads):
            raced = race(table, contenders, limits, arguments.rounds or rounds, arguments.clock)
            result["tables"].append(raced)
            print(markdown(raced), end="\n\n")
    text = "\n\n".join([report.heading(result, "limits_of_one_thread"), *map(markdown, result["tables"])])
    threads = f"{arguments.threads}-thread{'s' * (arguments.threads > 1)}"
    print(f"wrote {report.write(f'distance-{threads}', result, text)}")


if __name__ == "__main__":
    main()

"""Spherical k-means beside scikit-learn's: ``python -m benchmarks.clustering [--rows 1000000] [--threads 2]``.

Rows are Gaussians of as many means as clusters, normalised. scikit-learn's ``KMeans`` on normalised rows is the nearest
peer: it has no cosine and no sizes. Each runs in a process of its own, with the same most iterations and one start;
quality is the mean cosine of a row and its normalised centroid, memory the largest resident size above the rows'.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

from benchmarks import report

CANDIDATES = ("equal sizes", "any sizes", "scikit-learn KMeans")
MAX_ITERATIONS = 20


def rows_of(n_rows: int, size: int, n_clusters: int) -> np.ndarray:
    """Return normalised rows, float32, the same ones in every process."""
    generator = np.random.default_rng(0)
    means = generator.standard_normal((n_clusters, size), dtype=np.float32)
    rows = generator.standard_normal((n_rows, size), dtype=np.float32)
    rows += 0.8 * means[generator.integers(0, n_clusters, n_rows)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def resident(field: str) -> int:
    """Return a figure of /proc/self/status in bytes."""
    with open("/proc/self/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def measure(name: str, n_rows: int, size: int, n_clusters: int, threads: int) -> dict[str, Any]:
    """Cluster once and return seconds, iterations, quality, sizes and memory."""
    from sklearn.cluster import KMeans

    from training.clusters import spherical_kmeans

    rows = rows_of(n_rows, size, n_clusters)
    before = resident("VmRSS")
    start = time.perf_counter()
    if name.startswith("scikit"):
        fitted = KMeans(n_clusters, n_init=1, max_iter=MAX_ITERATIONS, random_state=0).fit(rows)
        seconds, members, n_iterations = time.perf_counter() - start, fitted.labels_, fitted.n_iter_
        centroids = fitted.cluster_centers_ / np.linalg.norm(fitted.cluster_centers_, axis=1, keepdims=True)
    else:
        found = spherical_kmeans(
            rows, n_clusters, 0, balanced=name == "equal sizes", max_iterations=MAX_ITERATIONS, threads=threads
        )
        seconds, members, n_iterations = time.perf_counter() - start, found.members, found.n_iterations
        centroids = found.centroids
    peak = resident("VmHWM")
    sizes = np.bincount(members, minlength=n_clusters)
    cosine = float(np.mean([(rows[i] @ centroids[members[i]]) for i in range(0, n_rows, 97)]))
    return {
        "seconds": seconds,
        "iterations": int(n_iterations),
        "cosine": cosine,
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        "memory_bytes": peak - before,
    }


def main() -> None:
    """Measure all candidates in turn, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--candidate", choices=CANDIDATES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = (options.rows, options.size, options.clusters, options.threads)
    if options.candidate:
        print(json.dumps(measure(options.candidate, *shape)))
        return
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CANDIDATES}
    for _ in range(options.rounds):
        for name in CANDIDATES:
            command = [sys.executable, "-m", "benchmarks.clustering", "--candidate", name]
            command += [f"--{key}={getattr(options, key)}" for key in ("rows", "size", "clusters", "threads")]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=report.peer_environment(options.threads)
            )
            runs[name].append(json.loads(done.stdout))
    result = report.circumstances("benchmarks.clustering", ["sound-engine", "numpy", "scipy", "scikit-learn"])
    result |= {"rows": options.rows, "size": options.size, "clusters": options.clusters, "runs": runs}
    peer = min(run["seconds"] for run in runs["scikit-learn KMeans"])
    lines = []
    for name in CANDIDATES:
        best = min(runs[name], key=lambda run: run["seconds"])
        figures = (f"{best['seconds']:.1f}", f"{np.median([run['seconds'] for run in runs[name]]):.1f}")
        quality = (f"{peer / best['seconds']:.2f}", str(best["iterations"]), f"{best['cosine']:.4f}")
        sizes = (f"{best['smallest']} to {best['largest']}", f"{best['memory_bytes'] / 1e9:.2f}")
        lines.append((name, *figures, *quality, *sizes))
    header = ("", "min s", "median s", "times as fast", "iterations", "mean cosine", "sizes", "GB beside the rows")
    title = f"{options.rows:,} x {options.size} into {options.clusters} clusters, {options.threads} threads"
    text = "\n\n".join([f"# Spherical k-means: {title}", report.heading(result), report.table(header, lines)])
    print(text)
    report.write("clustering", result, text)


if __name__ == "__main__":
    main()

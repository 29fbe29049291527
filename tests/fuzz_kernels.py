"""Throw random calls at the compiled module: whatever comes in, it returns a well-formed result or raises.

A crash, a hang or a read outside an array ends the process; under ``make sanitize`` so does what a plain run survives.
Run 100,000 cases with::

    python -m tests.fuzz_kernels --cases 100000 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

# What a refusal looks like. Anything else is a fault of the module.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, MemoryError, OverflowError)
DTYPES = ["f4", "f4", "f4", "f4", "f8", "f2", "i2", "i8", "?", "c8", "O", "S3", ">f4"]
ODD_NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    15,
    16,
    17,
    64,
    2**15,
    2**31 - 1,
    2**31,
    -(2**31),
    2**62,
    0.5,
    float("nan"),
    float("inf"),
]


METRICS = ["cosine", "sqeuclidean", "euclidean", "inner_product", "inner_product", "hamming"]


class Fuzzer:
    """Draws arguments and calls; one generator, so that a seed gives the same cases again."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.outcomes: Counter[str] = Counter()

    def pick(self, choices: list[Any]) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def array(self, ndim: int | None = None, longest: int = 2000) -> Any:
        """Return an array, mostly float32 and contiguous; sometimes of another type, strided, or with odd values."""
        if self.chance(0.02):
            return self.pick([None, 3, "text", [1.0, 2.0], [[1.0], [2.0, 3.0]], object()])
        if ndim is None or self.chance(0.05):
            ndim = int(self.random.integers(0, 4))
        shape = [int(self.random.integers(0, self.pick([2, 20, longest]))) for _ in range(ndim)]
        while int(np.prod(shape)) > 200_000:
            shape[int(np.argmax(shape))] //= 2
        dtype = self.pick(DTYPES) if self.chance(0.2) else "f4"
        values = np.asarray(self.random.standard_normal(shape) * self.pick([0.0, 1e-30, 1.0, 1e30]), "f4").reshape(
            shape
        )
        if values.size and self.chance(0.1):
            values.flat[int(self.random.integers(values.size))] = self.pick([np.nan, np.inf, -np.inf])
        if dtype not in ("f4", "c8", "f8", ">f4"):
            values = np.nan_to_num(values, posinf=1, neginf=-1) % 100
        result: Any = np.asarray(values, dtype)
        if result.ndim and self.chance(0.1):
            result = result[::-1] if self.chance(0.5) else result[::2]
        if result.ndim > 1 and self.chance(0.05):
            result = result.T
        if result.ndim and self.chance(0.02):
            result = np.broadcast_to(result[:1], (50, *result.shape[1:]))
        return result

    def settings(self) -> dict[str, Any]:
        """Return settings of a front end: mostly in range, sometimes not, sometimes unknown."""
        n_fft = int(self.pick([16, 17, 32, 60, 64, 100, 128, 133, 256, 400, 512]))
        n_mels = int(self.pick([1, 2, 15, 16, 17, 40]))
        values: dict[str, Any] = {
            "sample_rate": 16000,
            "n_fft": n_fft,
            "win_length": int(self.random.integers(1, n_fft + 1)),
            "hop_length": int(self.pick([1, 2, 7, 16, 100, 160, 5000])),
            "n_mels": n_mels,
            "f_min": self.pick([0.0, 20.0, 1000.0]),
            "f_max": self.pick([8000.0, 4000.0]),
            "window": self.pick(["hann", "hamming", "povey", "blackman", "rectangular"]),
            "window_periodic": self.chance(0.5),
            "framing": self.pick(["center", "center_trimmed", "valid", "mirror"]),
            "pad_mode": self.pick(["reflect", "constant"]),
            "preemphasis": self.pick([0.0, 0.97]),
            "preemphasis_scope": self.pick(["frame", "clip"]),
            "remove_dc": self.chance(0.3),
            "remove_clip_mean": self.chance(0.2),
            "spectrum": self.pick(["power", "magnitude"]),
            "mel_scale": self.pick(["htk", "slaney", "kaldi"]),
            "log": self.pick(["ln", "log10", "dB"]),
            "log_reference_max": self.chance(0.2),
            "log_range": self.pick([0.0, 80.0]),
            "zscore": self.chance(0.2),
        }
        if self.chance(0.3):
            values["mean"], values["std"] = [0.5] * n_mels, [2.0] * n_mels
        if self.chance(0.2):
            values[self.pick(sorted(values))] = self.pick([*ODD_NUMBERS, "", "hann", None, [], [1.0] * 5])
        if self.chance(0.03):
            values["unknown"] = 1
        return values

    def log_mel(self) -> str:
        plan = _kernels.LogMelPlan(**self.settings())
        x = self.array(1 if self.chance(0.7) else 2)
        out = None
        if self.chance(0.3) and isinstance(x, np.ndarray) and x.ndim in (1, 2):
            shape = (*x.shape[:-1], plan.n_frames(x.shape[-1]), plan.n_mels)
            out = np.empty(shape, np.float32) if self.chance(0.7) else self.array()
        values, bad = plan.log_mel(x, out, self.pick([1, 1, 2, 3, 0, -1, 100]))
        assert values.dtype == np.float32
        assert values.shape == (*x.shape[:-1], plan.n_frames(x.shape[-1]), plan.n_mels)
        assert bad >= 0 or np.isfinite(values).all()
        return "log_mel"

    def log_mel_many(self) -> str:
        plan = _kernels.LogMelPlan(**self.settings())
        clips = [self.array(1, longest=500) for _ in range(int(self.random.integers(0, 6)))]
        results, _ = plan.log_mel_many(clips, self.pick([1, 2, 3]))
        assert [len(result) for result in results] == [plan.n_frames(len(clip)) for clip in clips]
        return "log_mel_many"

    def bank(self) -> str:
        settings = self.settings()
        plans = [_kernels.LogMelPlan(**settings)]
        for _ in range(int(self.random.integers(0, 4))):
            other = self.settings()
            shared = [name for name in sorted(settings) if name not in ("mean", "std") and self.chance(0.8)]
            plans.append(_kernels.LogMelPlan(**other | {name: settings[name] for name in shared}))
        if self.chance(0.02):
            plans = self.pick([[], [None], None, 3, [3]])
        bank = _kernels.LogMelBank(plans)
        if self.chance(0.3):
            clips = [self.array(1, longest=500) for _ in range(int(self.random.integers(0, 6)))]
            results, _ = bank.log_mel_many(clips, self.pick([1, 2, 3]))
            assert [[len(v) for v in values] for values in results] == [
                [plan.n_frames(len(clip)) for clip in clips] for plan in plans
            ]
            return "bank many"
        x, outs = self.array(1 if self.chance(0.7) else 2), None
        if self.chance(0.3) and isinstance(x, np.ndarray) and x.ndim in (1, 2):
            shapes = [(*x.shape[:-1], plan.n_frames(x.shape[-1]), plan.n_mels) for plan in plans]
            outs = [np.empty(shape, np.float32) if self.chance(0.9) else self.array() for shape in shapes]
            outs = outs[: self.pick([None, None, None, 1])]
        values, bad = bank.log_mel(x, outs, self.pick([1, 1, 2, 3, 0, -1, 100]))
        for plan, mine in zip(plans, values, strict=True):
            alone, alone_bad = plan.log_mel(x)
            assert bad >= 0 or alone_bad < 0
            assert bad >= 0 or np.array_equal(mine, alone)
        return "bank"

    def stream(self) -> str:
        plan = _kernels.LogMelPlan(**self.settings())
        stream = _kernels.LogMelStream(plan)
        received, frames = 0, 0
        for _ in range(int(self.random.integers(0, 8))):
            block = self.array(1, longest=1500)
            frames += len(stream.push(block)[0])
            received += len(block)
        frames += len(stream.flush()[0])
        assert frames == plan.n_frames(received)
        return "stream"

    def spectra(self) -> str:
        plan = _kernels.LogMelPlan(**self.settings())
        x = self.array(1)
        result = plan.stft(x) if self.chance(0.5) else plan.spectrogram(x)
        assert result.shape == (plan.n_frames(len(x)), plan.n_bins)
        return "spectra"

    def small_calls(self) -> str:
        if self.chance(0.5):
            length = self.pick([*ODD_NUMBERS, 400])
            assert len(_kernels.window(self.pick(["hann", "povey", "", "x" * 1000]), length, True)) == length
        else:
            plan = _kernels.LogMelPlan(**self.settings())
            assert plan.n_frames(self.pick(ODD_NUMBERS)) >= 0
            assert plan.filters().shape == (plan.n_mels, plan.n_bins)
        return "small calls"

    def rows(self, d: int) -> Any:
        """Return rows of d numbers, float32 or float16, sometimes something else."""
        if self.chance(0.1):
            return self.array(2)
        n = int(self.random.integers(0, self.pick([2, 20, 200])))
        values = self.random.standard_normal((n, d)) * self.pick([0.0, 1.0, 1.0, 1e3]) + self.pick([0.0, 0.0, 1000.0])
        if values.size and self.chance(0.05):
            values.flat[int(self.random.integers(values.size))] = self.pick([np.nan, np.inf])
        if n and self.chance(0.2):
            values[:] = values[0]
        return values.astype(self.pick(["f4", "f4", "f4", "f2"]))[:: self.pick([1, 1, 1, 2, -1])]

    def groups(self, n: int) -> Any:
        if self.chance(0.1):
            return self.array(1)
        return self.random.integers(0, self.pick([1, 3, 50]), n)

    def pairwise(self) -> str:
        d = int(self.random.integers(0, self.pick([3, 40, 600])))
        a, b = self.rows(d), self.rows(d)
        shape = (len(a), len(b)) if self.chance(0.9) else (3, 4)
        out = np.empty(shape, np.float32) if self.chance(0.95) else self.array(2)
        _kernels.pairwise(a, b, self.pick(METRICS), out, self.pick([1, 2, 3, 0, -5]))
        return "pairwise"

    def top_k(self) -> str:
        d = int(self.random.integers(0, self.pick([3, 40, 600])))
        queries, database = self.rows(d), self.rows(d)
        k = self.pick([0, 1, 2, 10, 300, -1])
        metric, threads, encode = self.pick(METRICS), self.pick([1, 2, 3]), self.pick([None, True, True, False])
        if self.chance(0.4):
            groups = self.groups(len(database)) if self.chance(0.5) else None
            indices, distances = _kernels.nearest_self(database, k, metric, groups, threads, encode)
            queries = database
        else:
            grouped = self.chance(0.3)
            query_groups = self.groups(len(queries)) if grouped else None
            database_groups = self.groups(len(database)) if grouped else None
            itself = self.chance(0.2)
            allowed = self.random.random(len(database)) < 0.5 if self.chance(0.3) else None
            indices, distances = _kernels.top_k(
                queries, database, k, metric, query_groups, database_groups, itself, allowed, threads, encode
            )
        assert indices.shape == distances.shape == (len(queries), k)
        assert ((indices >= -1) & (indices < max(len(database), 1))).all()
        return "top_k"

    def semi_hard(self) -> str:
        d = int(self.random.integers(0, 40))
        anchors = self.rows(d)
        positives = self.rows(d) if self.chance(0.3) else None
        candidates = self.rows(d) if self.chance(0.3) else None
        labels = candidate_labels = None
        if self.chance(0.8):
            labels = self.groups(len(anchors))
            candidate_labels = self.groups(len(anchors if candidates is None else candidates))
        metric, threads = self.pick(METRICS), self.pick([1, 2])
        triplets, flags = _kernels.semi_hard(anchors, positives, candidates, labels, candidate_labels, metric, threads)
        assert triplets.shape == (len(flags), 3)
        return "semi_hard"

    def levels(self) -> str:
        samples = self.array(1)
        limits = [float(self.pick(ODD_NUMBERS)) for _ in range(2)]
        peak, loud, silent = _kernels.levels(samples, *limits)
        assert peak >= 0
        assert 0 <= loud <= len(samples)
        assert 0 <= silent <= len(samples)
        return "levels"

    def run(self, cases: int) -> None:
        """Run that many cases and count what came of them."""
        calls: list[Callable[[], str]] = [self.log_mel, self.log_mel_many, self.bank, self.stream, self.spectra]
        calls += [self.small_calls, self.pairwise, self.top_k, self.semi_hard, self.levels]
        for _ in range(cases):
            call = self.pick(calls)
            try:
                self.outcomes[call()] += 1
            except REFUSALS as refusal:
                self.outcomes[f"refused: {type(refusal).__name__}"] += 1


def main() -> None:
    """Read the command line, run, print the counts."""
    parser = argparse.ArgumentParser(description="Throw random calls at the compiled kernels.")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fuzzer = Fuzzer(arguments.seed)
    with np.errstate(all="ignore"):
        fuzzer.run(arguments.cases)
    sys.stdout.write(f"{arguments.cases} cases, instruction set {_kernels.isa()}: {dict(fuzzer.outcomes)}\n")


if __name__ == "__main__":
    main()

"""Archive runs against the bound of their own stages, and against a process pool and a torch DataLoader.

    python -m benchmarks.archive --data DIR [--workers 1,2] [--rounds 3] [--copies 2] [--formats OGG,FLAC,WAV]

DIR holds the recordings: every .ogg, .flac and .wav below it is written in each format to a temporary folder first
(16 bits for FLAC and WAV). Candidates run in turns, ``--rounds`` times; the best of each is taken, since what else the
machine does can only slow them. All have the same network.

The bound is the time of the stages, one recording after another, in as many processes at once as there are workers:
two threads of one core, or two cores of one memory, do not do twice what one does. "alone" is the same from one
process by itself, times the workers. The time of a run is that from when its first recording is begun to when its
last table is written; the pool's clock begins when its processes have their model open, too, the DataLoader's
includes its start. That of ours is printed beside it.

On one thread the whole shard function is set against the same function with tables that are written plainly: without
plan, fingerprints, checksums, temporary names and synchronising. That is the cost of being resumable. And it is set
against the work alone, which hashes and measures nothing and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from benchmarks import report
from benchmarks.archive_peers import data_loader, process_pool
from benchmarks.archive_work import STAGES, PlainStore, bare, stages_at_once, whole
from benchmarks.frontend_peers import import_torchaudio
from benchmarks.memory import Memory
from engine.archive.read import open_archive
from engine.archive.run import run
from engine.archive.store import WINDOWS, Store
from engine.audio import load
from engine.bench.stages import StagedModel
from engine.card import read_card
from engine.errors import AudioError
from engine.registry import find_model
from engine.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


PACKAGES = ["sound-engine", "numpy", "onnxruntime-gpu", "onnxruntime", "soundfile", "soxr", "torch", "torchaudio"]
SUFFIXES = {".ogg", ".flac", ".wav"}
SUBTYPES = {"OGG": "VORBIS", "FLAC": "PCM_16", "WAV": "PCM_16"}
# Of the recordings, for torch eager.
LOADER_STEP = 4


def written(data: Path, folder: Path, kind: str, copies: int) -> list[str]:
    """Write every recording below ``data`` in one format; return the paths, each copy under a name of its own."""
    folder.mkdir()
    paths: list[str] = []
    sources = sorted(path for path in data.rglob("*") if path.suffix in SUFFIXES)
    for number, source in enumerate(sources):
        first = folder / f"{number:05d}-0.{kind.lower()}"
        if source.suffix == first.suffix:
            first.write_bytes(source.read_bytes())
        else:
            try:
                samples, rate = load(source)
            except AudioError as error:
                raise SystemExit(f"expected recordings that can be read, got {source}: {error}") from error
            soundfile.write(first, samples, rate, format=kind, subtype=SUBTYPES[kind])
        paths.append(str(first))
        for copy in range(1, copies):
            other = folder / f"{number:05d}-{copy}.{kind.lower()}"
            os.link(first, other)
            paths.append(str(other))
    return sorted(paths)


def ours(folder: Path, out: Path, workers: int) -> dict[str, float]:
    """Run the archive job; return its seconds from the first recording on, and in all."""
    summary = run([folder], out, device="cpu", workers=workers)
    if summary.n_failed:
        raise RuntimeError(f"{summary.n_failed} recordings failed")
    rows = [row for batch in open_archive(out).files(("done_at", "wall_s")) for row in batch.to_pylist()]
    first = min(row["done_at"].timestamp() - row["wall_s"] for row in rows)
    last = max(path.stat().st_mtime for path in (out / WINDOWS).iterdir())
    return {"seconds": last - first, "whole": summary.elapsed_s}


def peak_memory(folder: Path, out: Path, workers: int) -> float:
    """Return the memory of a run of its own in MB: reading it holds up what is measured."""
    with Memory() as memory:
        run([folder], out, device="cpu", workers=workers)
    return memory.peak_mb


def measure(kind: str, data: Path, place: Path, workers: Sequence[int], *, rounds: int, copies: int) -> dict[str, Any]:
    """Measure everything for one format, in turns."""
    folder = place / kind
    paths = written(data, folder, kind, copies)
    audio_s = sum(soundfile.info(path).duration for path in paths)
    few = paths[::LOADER_STEP]
    few_s = sum(soundfile.info(path).duration for path in few)
    shipped = find_model()
    session = Session(shipped, "cpu", 1)
    model = StagedModel(session, read_card(session.metadata))
    bare(model, paths[:1])  # what is imported and made ready at first use belongs to nobody
    whole(model, paths[:1], place / f"{kind}-first", Store)
    # Of each round the stages of each process.
    staged: dict[int, list[list[dict[str, float]]]] = {n: [] for n in {1, *workers}}
    cost: list[tuple[float, float, float]] = []
    runs: dict[int, list[dict[str, float]]] = {n: [] for n in workers}
    peers: dict[str, dict[int, list[float]]] = {name: {n: [] for n in workers} for name in ("pool", "loader")}
    for number in range(rounds):
        for n, rounds_of_n in staged.items():
            rounds_of_n.append(stages_at_once(shipped, paths, n))
        folders = [place / f"{kind}-{name}-{number}" for name in ("plain", "whole")]
        cost.append((
            bare(model, paths), whole(model, paths, folders[0], PlainStore), whole(model, paths, folders[1], Store)
        ))  # fmt: skip
        for n in workers:
            runs[n].append(ours(folder, place / f"{kind}-{n}-{number}", n))
            peers["pool"][n].append(process_pool(shipped, paths, n))
            peers["loader"][n].append(data_loader(shipped, few, n))
        print(f"{kind}, round {number + 1}: load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    memory_mb = {n: peak_memory(folder, place / f"{kind}-memory-{n}", n) for n in workers}
    best = {stage: min(taken[stage] for (taken,) in staged[1]) for stage in STAGES}
    alone, plain, resumable = (min(each[k] for each in cost) for k in range(3))
    rows = []
    for n in workers:
        seconds = min(taken["seconds"] for taken in runs[n])
        rows.append({
            "format": kind,
            "workers": n,
            "bound": audio_s * n / min(statistics.mean(sum(one.values()) for one in taken) for taken in staged[n]),
            "alone": audio_s * n / sum(best.values()),
            "engine": audio_s / seconds,
            "pool": audio_s / min(peers["pool"][n]),
            "loader": few_s / min(peers["loader"][n]),
            "start_s": statistics.median(taken["whole"] - taken["seconds"] for taken in runs[n]),
            "memory_mb": memory_mb[n],
        })  # fmt: skip
    return {
        "format": kind,
        "recordings": len(paths),
        "audio_s": audio_s,
        "stages_s": best,
        "resumable": resumable / plain - 1,
        "ledger": plain / alone - 1,
        "rows": rows,
        "every_round": {"stages": staged, "cost": cost, "engine": runs, **peers},
    }


def markdown(found: Sequence[dict[str, Any]]) -> str:
    """Return the tables: stages, then throughput in seconds of sound per second."""
    header = [
        "",
        "recordings",
        "hours",
        *(f"{stage} ms/min" for stage in STAGES),
        "hashes, levels and tables",
        "cost of resuming",
    ]
    per_minute = [
        [
            one["format"], str(one["recordings"]), f"{one['audio_s'] / 3600:.2f}",
            *(f"{one['stages_s'][stage] / one['audio_s'] * 60e3:.1f}" for stage in STAGES),
            f"{one['ledger']:+.1%}", f"{one['resumable']:+.1%}",
        ]
        for one in found
    ]  # fmt: skip
    names = ["", "workers", "alone x", "bound x", "engine x", "share", "pool x", "engine / pool", "DataLoader x"]
    rates = [
        [
            row["format"], str(row["workers"]), f"{row['alone']:.0f}", f"{row['bound']:.0f}", f"{row['engine']:.0f}",
            f"{row['engine'] / row['bound']:.2f}", f"{row['pool']:.0f}", f"{row['engine'] / row['pool']:.2f}",
            f"{row['loader']:.0f}", f"{row['engine'] / row['loader']:.1f}", f"{row['start_s']:.1f}",
            f"{row['memory_mb']:.0f}",
        ]
        for one in found
        for row in one["rows"]
    ]  # fmt: skip
    table = report.table([*names, "engine / DataLoader", "start s", "peak MB"], rates)
    return f"{report.table(header, per_minute)}\n\n{table}"


def main() -> None:
    """Measure, print the tables and write them to benchmarks/results/."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole_numbers: Callable[[str], list[int]] = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--data", type=Path, action="append", required=True, metavar="DIR")
    parser.add_argument("--workers", type=whole_numbers, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=2, help="of each recording, for runs that are long enough")
    parser.add_argument("--formats", type=lambda text: text.split(","), default=list(SUBTYPES))
    arguments = parser.parse_args()
    environment = report.peer_environment(threads=1)
    if dict(os.environ) != environment:  # libraries read it when they load: start again
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606
    import_torchaudio()  # processes of a pool would each say that it is missing, and be started again
    warnings.simplefilter("ignore")  # libraries on filters that hold no bin
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        for number, folder in enumerate(arguments.data):
            place = data / str(number)
            place.mkdir(parents=True)
            for n_linked, path in enumerate(sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES)):
                (place / f"{n_linked:05d}{path.suffix}").symlink_to(path.absolute())
        found = [
            measure(kind, data, Path(name), arguments.workers, rounds=arguments.rounds, copies=arguments.copies)
            for kind in arguments.formats
        ]
    result = report.circumstances("benchmarks.archive", PACKAGES)
    result["command"] = (
        "python -m benchmarks.archive "
        + " ".join(f"--data {folder.name}" for folder in arguments.data)
        + f" --workers {','.join(map(str, arguments.workers))} --rounds {arguments.rounds}"
        + f" --copies {arguments.copies} --formats {','.join(arguments.formats)}"
    )
    result["load"] = {"before": f"{load_before[0]:.1f}", "after": f"{os.getloadavg()[0]:.1f}"}
    result["formats"] = found
    text = "\n\n".join([report.heading(result, "load"), markdown(found)])
    print(text)
    some = [kind.lower() for kind in arguments.formats if len(arguments.formats) < len(SUBTYPES)]
    name = "-".join(["archive", *some])
    print(f"wrote {report.write(name, result, text)}")


if __name__ == "__main__":
    main()

"""What a benchmark found: rows of repeated timings beside what they depend on, as values and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.bench.summary import Summary, summarise
from engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
Blocks: TypeAlias = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Row:
    """Repeated timings of one thing.

    Attributes
    ----------
    model : str
    device : str
        Read back from the session.
    threads : int
        That one call may use.
    measure : str
        "call", "decode flac", "log-mel", "batch", "clients", "cold load" and so on; see docs/benchmarking.md.
    count : int
        Windows of a "batch", threads that call at a time of "clients", 1 for the rest.
    audio_s : float
        Seconds of audio that one repeat works on.
    blocks_s : tuple of tuple of float
        Seconds of each repeat, in the order and the blocks in which they were taken.
    per_run : int or None
        For a "batch": how many windows went into the network at a time, read back from its calls.
    """

    model: str
    device: str
    threads: int
    measure: str
    count: int
    audio_s: float
    blocks_s: Blocks
    per_run: int | None = None

    @property
    def key(self) -> tuple[str, str, int, str, int, float]:
        """What two reports call the same thing."""
        return self.model, self.device, self.threads, self.measure, self.count, self.audio_s

    @property
    def setting(self) -> tuple[str, str, int]:
        """Model, device and threads."""
        return self.model, self.device, self.threads

    @property
    def title(self) -> str:
        """The row's name inside its setting."""
        if self.measure == "batch":
            return f"batch of {self.count}, {self.per_run} at a time"
        if self.measure == "clients":
            return f"call {self.audio_s:g} s, {self.count} client{'s' * (self.count > 1)}"
        return self.measure if self.measure.startswith("cold") else f"{self.measure} {self.audio_s:g} s"

    @cached_property
    def summary(self) -> Summary:
        """The repeats in numbers."""
        return summarise(self.blocks_s)

    @property
    def clips_per_s(self) -> float:
        """Clips in a second; in a batch every window is one.

        Clients that call again at once are always in a call, so that as many calls end in a mean call's time as there
        are clients: Little, "A Proof for the Queuing Formula L = lambda W" (1961).
        """
        return (self.count if self.measure in ("clients", "batch") else 1) / self.summary.mean

    @property
    def x_real_time(self) -> float:
        """Seconds of audio per second (xRT); its inverse is the real-time factor (RTF)."""
        clips = self.count if self.measure == "batch" else 1
        return self.audio_s / clips * self.clips_per_s

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values: the repeats, and what follows from them."""
        derived = {"clips_per_s": self.clips_per_s, "xrt": self.x_real_time, "rtf": 1 / self.x_real_time}
        return asdict(self) | {"summary": asdict(self.summary) | {"noisy": self.summary.noisy}} | derived


@dataclass(frozen=True)
class Memory:
    """The most memory that fresh processes held, one number for each, after opening the model and two calls.

    Attributes
    ----------
    model, device : str
    threads : int
    peak_bytes : tuple of int
        Of the host, the libraries included; empty where the system does not tell.
    """

    model: str
    device: str
    threads: int
    peak_bytes: tuple[int, ...]

    @property
    def setting(self) -> tuple[str, str, int]:
        """Model, device and threads."""
        return self.model, self.device, self.threads


@dataclass(frozen=True)
class Report:
    """Everything that one benchmark found.

    Attributes
    ----------
    created : str
        ISO 8601, UTC.
    settings, machine, versions : dict
        JSON values.
    models : tuple of dict
        Name, file, hashes and sample rate of each model.
    rows : tuple of Row
    memory : tuple of Memory
    skipped : tuple of str
        What ``device="all"`` left out, and why.
    batch_sweeps : tuple of dict
        What ``batch_size="auto"`` measured on a device, and for which model and threads; see ``BatchSweep``.
    """

    created: str
    settings: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    models: tuple[dict[str, Any], ...]
    rows: tuple[Row, ...]
    memory: tuple[Memory, ...] = ()
    skipped: tuple[str, ...] = field(default=())
    batch_sweeps: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> str:
        """Return the report as JSON text that ``read_report`` reads back."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["rows"] = [row.to_dict() for row in self.rows]
        plain["memory"] = [asdict(memory) for memory in self.memory]
        return json.dumps({"engine_bench": SCHEMA} | plain, indent=1, allow_nan=False) + "\n"


def read_report(path: Path) -> Report:
    """Read a report that ``engine bench`` wrote; what follows from the repeats is computed anew.

    Raises
    ------
    ConfigError
        There is no such file, or it is no report.
    """
    advice = "give a file that `engine bench -o` wrote"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"expected a report of engine bench at {path}, got {error}; {advice}") from error
    except ValueError as error:
        raise ConfigError(f"expected a report of engine bench, {path} is no JSON: {error}; {advice}") from error
    if not isinstance(values, dict) or values.get("engine_bench") != SCHEMA:
        raise ConfigError(f"expected a report of engine bench, schema {SCHEMA}, {path} is none; {advice}")
    try:
        return Report(
            **{name: values[name] for name in ("created", "settings", "machine", "versions")},
            models=tuple(values["models"]),
            rows=tuple(map(_row, values["rows"])),
            memory=tuple(Memory(**item | {"peak_bytes": tuple(item["peak_bytes"])}) for item in values["memory"]),
            skipped=tuple(values["skipped"]),
            batch_sweeps=tuple(values.get("batch_sweeps", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"expected a whole report of engine bench, {path} is damaged: {error!r}; {advice}") from error


def _row(values: dict[str, Any]) -> Row:
    kept = {item.name: values[item.name] for item in fields(Row)}
    kept["blocks_s"] = tuple(tuple(map(float, block)) for block in kept["blocks_s"])
    if not kept["blocks_s"] or not all(kept["blocks_s"]) or not sum(map(sum, kept["blocks_s"])) > 0:
        raise ValueError("a row without repeats")
    return Row(**kept)

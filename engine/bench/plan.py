"""What a benchmark is asked to measure, and which devices there are for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.devices import cuda_obstacle, parse_device
from engine.errors import ConfigError, DeviceError
from engine.options import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.options import BatchSize

ALL_DEVICES = "all"


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes
    ----------
    models : tuple of str or None
        Names or paths; None is the default model.
    devices : tuple of str
        "cpu", "cuda" and "cuda:N", or "all": everything that can run here.
    threads : tuple of int or None
        That a call may use; None is every CPU this process may use.
    batches : tuple of int or "auto"
        Windows in a recording that is given with ``batch_size`` of the same number; "auto" is the number that
        ``batch_size="auto"`` finds best.
    durations_s : tuple of float
        Lengths of the clips in seconds.
    clients : tuple of int
        Threads that share one model, with clips of the first duration.
    stages : bool
        Whether to measure the stages of a call as well.
    repeats : int
        Of each row, of each client; see ``engine.bench.summary.repeats_for``.
    limit_s : float
        A row that would take longer is repeated less often.
    cold : int
        Fresh processes to start for each model, device and number of threads.

    Raises
    ------
    ConfigError
        A number is out of range, or there is nothing to measure.
    """

    models: tuple[str | None, ...] = (None,)
    devices: tuple[str, ...] = (ALL_DEVICES,)
    threads: tuple[int | None, ...] = (None,)
    batches: tuple[BatchSize, ...] = ()
    durations_s: tuple[float, ...] = (10.0,)
    clients: tuple[int, ...] = ()
    stages: bool = False
    repeats: int = 300
    limit_s: float = 10.0
    cold: int = 6

    def __post_init__(self) -> None:
        for name in ("models", "devices", "threads", "durations_s"):
            if not getattr(self, name):
                raise ConfigError(f"expected at least one of {name}, got none; leave {name} out for the default")
        counts = [("batches", size) for size in self.batches if size != AUTO]
        counts += [("clients", number) for number in self.clients]
        counts += [("repeats", self.repeats), ("cold", self.cold + 1)]
        for name, number in counts:
            if number < 1:
                raise ConfigError(f"expected whole numbers from {int(name != 'cold')} as {name}; correct it")
        for name, seconds in [("durations_s", s) for s in self.durations_s] + [("limit_s", self.limit_s)]:
            if not 0 < seconds <= 86400:
                raise ConfigError(f"expected {name} above 0 and up to a day, got {seconds!r}; correct it")


def find_devices(asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the devices to measure, and a line on each that "all" leaves out.

    Raises
    ------
    DeviceError
        A device that was asked for by name cannot run here.
    ConfigError
        There is no device of that name.
    """
    devices: list[str] = []
    skipped: list[str] = []
    for name in asked:
        if name == ALL_DEVICES:
            devices += ["cpu", *_cuda_devices(skipped)]
            continue
        device = parse_device(name)
        if device == "auto":
            raise ConfigError("expected devices by name or 'all', got 'auto'; say which ones to measure")
        if device != "cpu" and (obstacle := cuda_obstacle(int(device.removeprefix("cuda:")))):
            raise DeviceError(f"expected {device} to run, but {obstacle}, or leave it out")
        devices.append(device)
    return list(dict.fromkeys(devices)), skipped


def _cuda_devices(skipped: list[str]) -> list[str]:
    devices: list[str] = []
    while (obstacle := cuda_obstacle(len(devices))) is None:
        devices.append(f"cuda:{len(devices)}")
    if not devices:
        skipped.append(f"cuda: {obstacle}")
    return devices
